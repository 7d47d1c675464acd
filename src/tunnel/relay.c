/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket to stream: on_read() reads the socket straight into the record that is being put
 * together. The socket is polled for reading only after a read came back empty, so a request and
 * its answer cost no epoll_ctl(2). A large read is followed by one into the conduit.
 *
 * Stream to socket: bytes go straight to the socket; what it does not take waits in `queue`, and
 * the peer gets credit only for what was taken, so the queue never exceeds one stream window
 * (relay_out.h).
 *
 *   state of a direction   socket -> stream          stream -> socket
 *   open                   !read_over                !write_over
 *   end                    EOF: END_STREAM           END_STREAM: shutdown(SHUT_WR) after the queue
 *   broken                 any error: RST_STREAM     RST_STREAM: SO_LINGER 0, close
 */
#include "tunnel/relay.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/limits.h"
#include "net/socket.h"
#include "tunnel/conduit.h"
#include "tunnel/relay_out.h"

struct relay {
	uv_loop_t *loop;
	uv_poll_t poll; /* once started */
	struct h2_stream *stream; /* NULL: closed */
	int fd;
	int mask; /* what poll waits for */
	bool started, over;
	bool readable; /* the stream was told, or may read without asking poll */
	bool bulk; /* the last read was large: the next one goes into the conduit */
	bool read_over; /* nothing more comes from the socket */
	bool end_due; /* the stream's end follows the queue */
	bool write_over; /* shutdown(SHUT_WR) is done */
	bool broken; /* close with a reset */
	struct relay_out out; /* stream bytes that the socket did not take yet */
	struct relay_stats stats;
	void (*on_done)(void *user, const struct relay_stats *stats);
	void *user;
	void (*on_cancel)(void *user);
	void *cancel_user;
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void set_mask(struct relay *relay, int mask)
{
	if (mask == relay->mask || relay->over)
		return;
	relay->mask = mask;
	if (mask == 0)
		uv_poll_stop(&relay->poll);
	else
		uv_poll_start(&relay->poll, mask, on_poll);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct relay *relay = container_of(handle, struct relay, poll);

	buf_done(&relay->out.queue);
	free(relay);
}

/* Resets the stream and forgets it: no event of it reaches the relay any more. */
static void drop_stream(struct relay *relay, uint32_t code)
{
	struct h2_stream *stream = TAKE_PTR(relay->stream);

	if (!stream)
		return;
	h2_stream_set_events(stream, &(struct h2_stream_events){0}, NULL);
	h2_stream_reset(stream, code);
}

static void free_unstarted(struct relay *relay, uint32_t code)
{
	drop_stream(relay, code);
	buf_done(&relay->out.queue);
	free(relay);
}

/* The end of a relay that had a socket. */
static void relay_finish(struct relay *relay)
{
	if (relay->over)
		return;
	relay->over = true;
	drop_stream(relay, relay->broken ? NGHTTP2_CONNECT_ERROR : NGHTTP2_NO_ERROR);
	uv_close((uv_handle_t *)&relay->poll, on_poll_closed);
	if (relay->broken)
		socket_reset(relay->fd);
	else
		close(relay->fd);
	if (relay->on_done)
		relay->on_done(relay->user, &relay->stats);
}

static void relay_break(struct relay *relay)
{
	relay->broken = true;
	relay_finish(relay);
}

/* Ends the relay when nothing is left to do. */
static void check_over(struct relay *relay)
{
	if (relay->over || !relay->write_over)
		return;
	/* Without a stream nobody reads what the socket would still say. */
	if (!relay->stream)
		relay_finish(relay);
}

static void end_write(struct relay *relay)
{
	if (!relay->end_due || relay->write_over || buf_len(&relay->out.queue) > 0)
		return;
	relay->write_over = true;
	(void)shutdown(relay->fd, SHUT_WR);
}

/* Bytes the socket took of the queue's first queue_len and of data behind them; -errno when it is
 * broken. */
static ssize_t write_some(struct relay *relay, size_t queue_len, const uint8_t *data, size_t len)
{
	ssize_t n = relay_out_send(&relay->out, relay->fd, queue_len, data, len);

	if (n <= 0)
		return n;
	relay->stats.bytes_out += (uint64_t)n;
	if (relay->stream)
		h2_stream_consumed(relay->stream, (size_t)n);
	return n;
}

static void flush_queue(struct relay *relay)
{
	size_t len = MIN(buf_len(&relay->out.queue), (size_t)LIMIT_PUMP_BYTES);
	ssize_t n;

	relay->out.held = false;
	if (len > 0) {
		n = write_some(relay, len, NULL, 0);
		if (n < 0) {
			relay_break(relay);
			return;
		}
	}
	if (buf_len(&relay->out.queue) == 0) {
		/* A stalled reader's megabytes are not kept for its next stall. */
		buf_done(&relay->out.queue);
		set_mask(relay, relay->mask & ~UV_WRITABLE);
	} else {
		set_mask(relay, relay->mask | UV_WRITABLE);
	}
	end_write(relay);
	check_over(relay);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct relay *relay = container_of(poll, struct relay, poll);

	if (status < 0) {
		/* libuv stopped it on a socket error: whoever reads or writes next sees which. */
		relay->mask = 0;
		events = UV_READABLE | UV_WRITABLE;
		if (!relay->stream || relay->read_over) {
			relay_break(relay);
			return;
		}
	}
	if (events & UV_READABLE) {
		if (relay->readable)
			/* Told before and did not come: the stream has no credit. */
			set_mask(relay, relay->mask & ~UV_READABLE);
		relay->readable = true;
		if (relay->stream)
			h2_stream_resume(relay->stream);
	}
	if (events & UV_WRITABLE)
		flush_queue(relay);
}

static ssize_t on_read(void *user, uint8_t *out, size_t len)
{
	struct relay *relay = user;
	ssize_t n;

	if (!relay->started || relay->over || !relay->readable)
		return H2_READ_AGAIN;
	do
		n = recv(relay->fd, out, len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		relay->stats.bytes_in += (uint64_t)n;
		relay->bulk = (size_t)n >= CONDUIT_MIN_BYTES;
		if ((size_t)n < len)
			/* Drained: poll says when there is more, and it is level-triggered. */
			relay->readable = false;
	} else if (n == 0) {
		relay->read_over = true;
		set_mask(relay, relay->mask & ~UV_READABLE);
		return H2_READ_EOF;
	} else if (errno == EAGAIN) {
		relay->readable = false;
	} else {
		/* on_close() ends the relay when the stream is reset. */
		relay->broken = true;
		return H2_READ_ABORT;
	}
	if (!relay->readable)
		set_mask(relay, relay->mask | UV_READABLE);
	return n > 0 ? n : H2_READ_AGAIN;
}

static ssize_t on_conduct(void *user, size_t len)
{
	struct relay *relay = user;
	ssize_t n;

	if (!relay->started || relay->over || !relay->readable || !relay->bulk)
		return 0;
	n = conduit_fill(relay->fd, len);
	relay->bulk = n >= (ssize_t)CONDUIT_MIN_BYTES;
	if (n <= 0)
		return 0; /* why is on_read()'s to find out */
	relay->stats.bytes_in += (uint64_t)n;
	relay->readable = (size_t)n == len;
	set_mask(relay, relay->readable ? relay->mask : relay->mask | UV_READABLE);
	return n;
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct relay *relay = user;
	size_t before = buf_len(&relay->out.queue);
	bool writable = relay->started && (before == 0 || relay->out.held);
	ssize_t n = 0;

	if (relay->over || relay->broken)
		return;
	if (!relay_out_hold(&relay->out, len, writable) && writable) {
		n = write_some(relay, before, data, len);
		if (n < 0) {
			relay_break(relay);
			return;
		}
		n = MAX(n - (ssize_t)before, (ssize_t)0);
	}
	/* HTTP/2 flow control bounds what can be here: more is a peer that ignores it. */
	if ((size_t)n < len && buf_append(&relay->out.queue, data + n, len - (size_t)n) < 0) {
		relay_abort(relay);
		return;
	}
	if (relay->started)
		set_mask(relay, buf_len(&relay->out.queue) > 0 ? relay->mask | UV_WRITABLE
							       : relay->mask & ~UV_WRITABLE);
}

/* What the socket does not take of the conduit becomes bytes of the queue. */
static void queue_conduit(struct relay *relay)
{
	size_t rest = conduit_len();
	uint8_t *at = buf_reserve(&relay->out.queue, rest);

	if (!at || conduit_read(at, rest) != rest) {
		relay_abort(relay);
		return;
	}
	buf_commit(&relay->out.queue, rest);
	set_mask(relay, relay->started ? relay->mask | UV_WRITABLE : 0);
}

static void on_conducted(void *user)
{
	struct relay *relay = user;
	ssize_t n = 0;

	if (relay->out.held)
		flush_queue(relay);
	if (relay->over || relay->broken)
		return;
	if (relay->started && buf_len(&relay->out.queue) == 0)
		n = conduit_pour(relay->fd);
	if (n < 0) {
		relay_break(relay);
		return;
	}
	relay->stats.bytes_out += (uint64_t)n;
	h2_stream_consumed(relay->stream, (size_t)n);
	if (conduit_len() > 0)
		queue_conduit(relay);
}

static void on_end(void *user)
{
	struct relay *relay = user;

	relay->end_due = true;
	if (relay->started && !relay->over) {
		end_write(relay);
		check_over(relay);
	}
}

static void on_close(void *user, uint32_t code)
{
	struct relay *relay = user;

	relay->stream = NULL;
	if (!relay->started) { /* the stream went before there was a socket */
		if (relay->on_cancel) {
			relay->on_cancel(relay->cancel_user);
			free_unstarted(relay, NGHTTP2_NO_ERROR);
		}
		return;
	}
	/* An end in order is RFC 9113's NO_ERROR after the peer's END_STREAM; the queue may still
	 * be on its way to the socket. */
	if (code != NGHTTP2_NO_ERROR || !relay->end_due)
		relay->broken = true;
	if (relay->broken)
		relay_finish(relay);
	else
		check_over(relay);
}

const struct h2_stream_events relay_events = {
	.on_data = on_data,
	.on_conducted = on_conducted,
	.on_end = on_end,
	.on_read = on_read,
	.on_conduct = on_conduct,
	.on_close = on_close,
};

struct relay *relay_new(uv_loop_t *loop)
{
	struct relay *relay = XNEW(struct relay);

	relay->loop = loop;
	relay->fd = -1;
	buf_init(&relay->out.queue, LIMIT_STREAM_WINDOW_BYTES);
	return relay;
}

void relay_set_stream(struct relay *relay, struct h2_stream *stream)
{
	relay->stream = stream;
}

void relay_set_cancel(struct relay *relay, void (*on_cancel)(void *user), void *user)
{
	relay->on_cancel = on_cancel;
	relay->cancel_user = user;
}

int relay_start(struct relay *relay, int fd,
	void (*on_done)(void *user, const struct relay_stats *stats), void *user)
{
	int r = relay->stream ? uv_poll_init(relay->loop, &relay->poll, fd) : -ECANCELED;

	if (r < 0) {
		close(fd);
		free_unstarted(relay, NGHTTP2_INTERNAL_ERROR);
		return r;
	}
	relay->fd = fd;
	relay->started = true;
	relay->readable = true;
	relay->on_done = on_done;
	relay->user = user;
	h2_stream_set_events(relay->stream, &relay_events, relay);
	h2_stream_resume(relay->stream);
	if (buf_len(&relay->out.queue) > 0)
		set_mask(relay, UV_WRITABLE);
	else
		end_write(relay);
	return 0;
}

void relay_abort(struct relay *relay)
{
	if (relay->started)
		relay_break(relay);
	else
		free_unstarted(relay, NGHTTP2_CONNECT_ERROR);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/limits.h"
#include "dns/message.h"

#define PREFIX_BYTES 2 /* RFC 1035 4.2.2 */
/* Datagrams looked at per wake-up: one is the rule, more are somebody's guesses. */
#define DATAGRAMS 16

struct dns_exchange {
	uv_poll_t poll;
	int fd;
	bool tcp;
	uint16_t id; /* on the wire */
	uint8_t *query; /* with its TCP prefix and its own id */
	size_t query_len; /* without the prefix */
	size_t sent; /* TCP: bytes of prefix and query */
	struct buf in; /* TCP */
	dns_exchange_fn on_done;
	void *user;
};

static void exchange_free(struct dns_exchange *exchange)
{
	buf_done(&exchange->in);
	close(exchange->fd);
	free(exchange->query);
	free(exchange);
}

static void on_closed(uv_handle_t *handle)
{
	exchange_free(handle->data);
}

void dns_exchange_cancel(struct dns_exchange *exchange)
{
	exchange->on_done = NULL;
	if (!uv_is_closing((uv_handle_t *)&exchange->poll))
		uv_close((uv_handle_t *)&exchange->poll, on_closed);
}

static void finish(struct dns_exchange *exchange, int r, uint8_t *msg, size_t len)
{
	dns_exchange_fn on_done = exchange->on_done;

	if (r == 0)
		memcpy(msg, exchange->query + PREFIX_BYTES, sizeof(uint16_t));
	dns_exchange_cancel(exchange);
	on_done(exchange->user, exchange, r, msg, len);
}

/* The query as it goes out: with the wire's id in place of its own. */
static void fill_query(const struct dns_exchange *exchange, uint8_t *out)
{
	memcpy(out, exchange->query, PREFIX_BYTES + exchange->query_len);
	out[PREFIX_BYTES] = (uint8_t)(exchange->id >> 8);
	out[PREFIX_BYTES + 1] = (uint8_t)exchange->id;
}

static bool is_answer(const struct dns_exchange *exchange, const uint8_t *msg, size_t len)
{
	return dns_answer_matches(
		exchange->query + PREFIX_BYTES, exchange->query_len, exchange->id, msg, len);
}

static int send_datagram(const struct dns_exchange *exchange)
{
	uint8_t out[PREFIX_BYTES + LIMIT_DNS_MESSAGE_BYTES];

	fill_query(exchange, out);
	return send(exchange->fd, out + PREFIX_BYTES, exchange->query_len, MSG_NOSIGNAL) < 0
		       ? -errno
		       : 0;
}

static void read_datagrams(struct dns_exchange *exchange)
{
	uint8_t msg[LIMIT_DNS_MESSAGE_BYTES];

	for (unsigned int i = 0; i < DATAGRAMS; i++) {
		ssize_t len = recv(exchange->fd, msg, sizeof(msg), 0);

		if (len < 0) {
			if (errno != EAGAIN && errno != EINTR)
				finish(exchange, -errno, NULL, 0);
			return;
		}
		if (is_answer(exchange, msg, (size_t)len)) {
			finish(exchange, 0, msg, (size_t)len);
			return;
		}
	}
}

/* 1: all is out. */
static int write_stream(struct dns_exchange *exchange)
{
	uint8_t out[PREFIX_BYTES + LIMIT_DNS_MESSAGE_BYTES];
	size_t len = PREFIX_BYTES + exchange->query_len;
	ssize_t n;

	fill_query(exchange, out);
	n = send(exchange->fd, out + exchange->sent, len - exchange->sent, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	exchange->sent += (size_t)n;
	return exchange->sent == len;
}

/* 1: the message is whole. */
static int read_stream(struct dns_exchange *exchange)
{
	size_t have = buf_len(&exchange->in), want = PREFIX_BYTES;
	const uint8_t *prefix;
	ssize_t n;

	if (have >= PREFIX_BYTES) {
		prefix = buf_head(&exchange->in);
		want += (size_t)(prefix[0] << 8 | prefix[1]);
	}
	if (have < want) {
		n = recv(exchange->fd, buf_reserve(&exchange->in, want - have), want - have, 0);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (n == 0)
			return -ECONNRESET;
		buf_commit(&exchange->in, (size_t)n);
	}
	return have >= PREFIX_BYTES && buf_len(&exchange->in) == want;
}

/* libuv says EBADF for every error condition; the socket knows which. */
static int socket_error(const struct dns_exchange *exchange)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(exchange->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return error ? -error : -EIO;
}

static void on_stream(struct dns_exchange *exchange, int events);

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct dns_exchange *exchange = poll->data;

	if (status < 0)
		finish(exchange, socket_error(exchange), NULL, 0);
	else if (exchange->tcp)
		on_stream(exchange, events);
	else
		read_datagrams(exchange);
}

static void on_stream(struct dns_exchange *exchange, int events)
{
	int r = 0;

	if (events & UV_WRITABLE) {
		r = write_stream(exchange);
		if (r > 0)
			r = uv_poll_start(&exchange->poll, UV_READABLE, on_poll);
	} else if (events & UV_READABLE) {
		r = read_stream(exchange);
		if (r > 0) {
			uint8_t *msg = buf_head(&exchange->in) + PREFIX_BYTES;
			size_t len = buf_len(&exchange->in) - PREFIX_BYTES;

			r = is_answer(exchange, msg, len) ? 0 : -EPROTO;
			finish(exchange, r, msg, len);
			return;
		}
	}
	if (r < 0)
		finish(exchange, r, NULL, 0);
}

static int open_socket(struct dns_exchange *exchange, const struct ip_endpoint *server)
{
	struct sockaddr_storage sa;
	socklen_t sa_len = ip_endpoint_to_sockaddr(server, &sa);
	int flags = fcntl(exchange->fd, F_GETFL);

	if (flags < 0 || fcntl(exchange->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	/* Connected, so that the kernel drops what comes from elsewhere and reports ICMP errors. */
	if (connect(exchange->fd, (const struct sockaddr *)&sa, sa_len) < 0 && errno != EINPROGRESS)
		return -errno;
	return exchange->tcp ? 0 : send_datagram(exchange);
}

int dns_exchange_start(uv_loop_t *loop, int fd, bool tcp, const struct ip_endpoint *server,
	const uint8_t *msg, size_t len, dns_exchange_fn on_done, void *user,
	struct dns_exchange **ret_exchange)
{
	struct dns_exchange *exchange = XNEW(struct dns_exchange);
	int r;

	exchange->fd = fd;
	exchange->tcp = tcp;
	exchange->id = (uint16_t)arc4random();
	exchange->query = xcalloc(1, PREFIX_BYTES + len);
	exchange->query[0] = (uint8_t)(len >> 8);
	exchange->query[1] = (uint8_t)len;
	memcpy(exchange->query + PREFIX_BYTES, msg, len);
	exchange->query_len = len;
	exchange->on_done = on_done;
	exchange->user = user;
	buf_init(&exchange->in, PREFIX_BYTES + LIMIT_DNS_MESSAGE_BYTES);
	r = open_socket(exchange, server);
	if (r == 0)
		r = uv_poll_init(loop, &exchange->poll, fd);
	if (r < 0) {
		exchange_free(exchange);
		return r;
	}
	exchange->poll.data = exchange;
	r = uv_poll_start(&exchange->poll, tcp ? UV_WRITABLE : UV_READABLE, on_poll);
	if (r < 0) {
		dns_exchange_cancel(exchange);
		return r;
	}
	*ret_exchange = exchange;
	return 0;
}

bool dns_exchange_is_tcp(const struct dns_exchange *exchange)
{
	return exchange->tcp;
}

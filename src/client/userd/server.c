/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/server.h"

#include <errno.h>
#include <utlist.h>

#include "client/userd/proto.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"
#include "core/log.h"

/* Command lines at once; a person's scripts stay far below. */
#define PEERS_MAX 64
/* Commands that gave up on a daemon that stands still stay in the queue; the one that ends it needs
 * a place in it all the same. */
#define LISTEN_BACKLOG SOMAXCONN
#define READ_BYTES     16384

struct userd_peer {
	struct userd_server *server; /* NULL once the server is freed */
	uv_pipe_t pipe;
	struct buf in;
	uint8_t chunk[READ_BYTES];
	bool requested, answered, closing;
	struct userd_peer *next, *prev;
};

struct userd_server {
	struct userd_server_events events;
	void *user;
	uv_loop_t *loop;
	uv_poll_t poll;
	int fd;
	uid_t uid;
	unsigned int count;
	struct userd_peer *peers;
};

struct message {
	uv_write_t write;
	struct buf bytes;
	bool last;
};

static void on_peer_closed(uv_handle_t *handle)
{
	struct userd_peer *peer = handle->data;

	buf_done(&peer->in);
	free(peer);
}

static void close_peer(struct userd_peer *peer)
{
	struct userd_server *server = peer->server;

	if (peer->closing)
		return;
	peer->closing = true;
	if (server) {
		DL_DELETE(server->peers, peer);
		server->count--;
		if (peer->requested && !peer->answered)
			server->events.on_gone(server->user, peer);
	}
	uv_close((uv_handle_t *)&peer->pipe, on_peer_closed);
}

static void on_written(uv_write_t *write, int status)
{
	struct message *message = container_of(write, struct message, write);
	struct userd_peer *peer = write->data;

	if ((message->last || status < 0) && !peer->closing)
		close_peer(peer);
	buf_done(&message->bytes);
	free(message);
}

static void send_object(struct userd_peer *peer, json_object *object, bool last)
{
	struct message *message = XNEW(struct message);
	uv_buf_t bytes;

	buf_init(&message->bytes, USERD_FRAME_BYTES);
	message->last = last;
	message->write.data = peer;
	if (userd_put_frame(&message->bytes, object) < 0) {
		json_object *error = json_object_new_object();

		json_put_string(error, "error", "the answer is too large");
		json_put_string(error, "kind", err_kind_name(ERR_INTERNAL));
		(void)!userd_put_frame(&message->bytes, error);
		json_object_put(error);
	}
	json_object_put(object);
	bytes = uv_buf_init(
		(char *)buf_head(&message->bytes), (unsigned int)buf_len(&message->bytes));
	if (uv_write(&message->write, (uv_stream_t *)&peer->pipe, &bytes, 1, on_written) < 0) {
		buf_done(&message->bytes);
		free(message);
		close_peer(peer);
	}
}

void userd_peer_progress(struct userd_peer *peer, const char *line)
{
	json_object *object = json_object_new_object();

	json_put_string(object, "progress", line);
	send_object(peer, object, false);
}

void userd_peer_active(struct userd_peer *peer, json_object *result)
{
	json_object *object = json_object_new_object();

	json_object_object_add(object, "active", result);
	send_object(peer, object, false);
}

void userd_peer_done(struct userd_peer *peer, json_object *result)
{
	json_object *object = json_object_new_object();

	peer->answered = true;
	json_object_object_add(object, "result", result ? result : json_object_new_object());
	send_object(peer, object, true);
}

void userd_peer_failed(struct userd_peer *peer, const struct err *err, const char *hint)
{
	json_object *object = json_object_new_object();

	peer->answered = true;
	json_put_string(object, "error", err->msg);
	json_put_string(object, "kind", err_kind_name(err->kind));
	json_object_object_add(object, "code", json_object_new_int(err->code));
	json_put_string(object, "hint", hint);
	send_object(peer, object, true);
}

static void on_alloc(uv_handle_t *handle, size_t suggested UNUSED, uv_buf_t *ret_buf)
{
	struct userd_peer *peer = handle->data;

	*ret_buf = uv_buf_init((char *)peer->chunk, sizeof(peer->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf UNUSED)
{
	struct userd_peer *peer = stream->data;
	json_object *request = NULL;
	int r;

	if (n < 0) {
		close_peer(peer);
		return;
	}
	/* One request a connection: anything after it only shows that the peer is there. */
	if (peer->requested)
		return;
	r = buf_append(&peer->in, peer->chunk, (size_t)n);
	if (r == 0)
		r = userd_get_frame(&peer->in, &request);
	if (r < 0) {
		log_warn("request refused", "error=malformed");
		close_peer(peer);
		return;
	}
	if (r == 0 || !peer->server)
		return;
	peer->requested = true;
	peer->server->events.on_request(peer->server->user, peer, request);
	json_object_put(request);
}

static void on_acceptable(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
	struct userd_server *server = poll->data;
	auto_close int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct userd_peer *peer;
	struct err err = ERR_INIT;

	if (fd < 0)
		return;
	if (server->count >= PEERS_MAX || userd_check_peer(fd, server->uid, &err) < 0) {
		log_warn("peer refused", "error=%s", err.msg[0] ? err.msg : "too many");
		return;
	}
	peer = XNEW(struct userd_peer);
	buf_init(&peer->in, USERD_FRAME_BYTES);
	(void)uv_pipe_init(server->loop, &peer->pipe, 0);
	peer->pipe.data = peer;
	peer->server = server;
	DL_APPEND(server->peers, peer);
	server->count++;
	if (uv_pipe_open(&peer->pipe, fd) < 0) {
		close_peer(peer);
		return;
	}
	(void)take_fd(&fd);
	if (uv_read_start((uv_stream_t *)&peer->pipe, on_alloc, on_read) < 0)
		close_peer(peer);
}

static int listen_on(uid_t uid, struct err *err)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	socklen_t len = userd_address(uid, &address);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 ||
		listen(fd, LISTEN_BACKLOG) < 0)
		return err_set_errno(err, -errno, "user daemon's socket");
	return take_fd(&fd);
}

static void on_server_closed(uv_handle_t *handle)
{
	struct userd_server *server = handle->data;

	close(server->fd);
	free(server);
}

int userd_server_new(uv_loop_t *loop, const struct userd_server_events *events, void *user,
	struct userd_server **ret_server, struct err *err)
{
	uid_t uid = getuid();
	int fd = listen_on(uid, err);
	struct userd_server *server;

	if (fd < 0)
		return fd;
	server = XNEW(struct userd_server);
	server->loop = loop;
	server->events = *events;
	server->user = user;
	server->fd = fd;
	server->uid = uid;
	(void)uv_poll_init(loop, &server->poll, fd);
	server->poll.data = server;
	(void)uv_poll_start(&server->poll, UV_READABLE, on_acceptable);
	*ret_server = server;
	return 0;
}

void userd_server_free(struct userd_server *server)
{
	if (!server)
		return;
	while (server->peers) {
		struct userd_peer *peer = server->peers;

		DL_DELETE(server->peers, peer);
		peer->server = NULL;
		/* The others are closed when their answer is sent. */
		if (!peer->answered)
			close_peer(peer);
	}
	uv_close((uv_handle_t *)&server->poll, on_server_closed);
}

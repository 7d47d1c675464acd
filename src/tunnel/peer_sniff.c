/* SPDX-License-Identifier: Apache-2.0 */
/* The first bytes of a connection decide what it is: docs/tunnel.md, section 2. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "tunnel/peer_priv.h"
#include "tunnel/upgrade.h"
#include "tunnel/ws.h"

#define PREAMBLE_LEN (sizeof(TUNNEL_PREAMBLE) - 1)

/* A short answer of a connection's first bytes: a socket that does not take it at once is none. */
static void say(const struct tunnel_peer *peer, const char *text)
{
	(void)!send(peer->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void answer_status(struct tunnel_peer *peer, int status)
{
	char text[128];

	(void)snprintf(text, sizeof(text),
		"HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status,
		status == 200 ? "OK" : "Error");
	say(peer, text);
	peer_end(peer, "");
}

static void answer_upgrade(struct tunnel_peer *peer, const struct upgrade_request *request)
{
	char accept[WS_ACCEPT_BYTES], text[256];

	if (strcmp(request->path, TUNNEL_PATH) != 0) {
		answer_status(peer, 404);
		return;
	}
	if (!request->version_13 || !request->subprotocol || !request->key[0]) {
		answer_status(peer, 400);
		return;
	}
	ws_accept(request->key, accept);
	(void)snprintf(text, sizeof(text),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
		"Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
		accept, TUNNEL_SUBPROTOCOL);
	say(peer, text);
	peer_start_pipe(peer, SOCKET_WEBSOCKET);
}

static void take_http(struct tunnel_peer *peer, size_t head_len)
{
	struct upgrade_request request;
	struct tunnel_server *server = peer->server;
	int r = upgrade_parse((const char *)buf_head(&peer->in), head_len, &request);

	/* Nothing may follow the head: the manager speaks next. */
	if (r == -EOPNOTSUPP)
		answer_status(peer, 405);
	else if (r < 0 || buf_len(&peer->in) > head_len)
		answer_status(peer, 400);
	else if (request.websocket)
		answer_upgrade(peer, &request);
	else
		answer_status(peer, server->events.on_http(server->user, request.path));
}

/* Decides as soon as the bytes so far allow it. */
static void decide(struct tunnel_peer *peer)
{
	size_t len = buf_len(&peer->in), head_len;
	const char *data = (const char *)buf_head(&peer->in);

	if (memcmp(data, TUNNEL_PREAMBLE, MIN(len, PREAMBLE_LEN)) == 0) {
		if (len == PREAMBLE_LEN)
			peer_start_pipe(peer, SOCKET_RAW);
		else if (len > PREAMBLE_LEN)
			peer_end(peer, "");
		return;
	}
	/* Whatever else it is, a request line begins with a method. */
	if (data[0] < 'A' || data[0] > 'Z') {
		peer_end(peer, "");
		return;
	}
	head_len = upgrade_head_len(data, len);
	if (head_len > 0)
		take_http(peer, head_len);
	else if (buf_room(&peer->in) == 0)
		answer_status(peer, 431);
}

static void on_sniff(uv_poll_t *poll, int status, int events)
{
	struct tunnel_peer *peer = container_of(poll, struct tunnel_peer, poll);
	uint8_t bytes[2048];
	ssize_t n;

	(void)events;
	n = status < 0
		    ? 0
		    : recv(peer->fd, bytes, MIN(sizeof(bytes), buf_room(&peer->in)), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || buf_append(&peer->in, bytes, (size_t)n) < 0)
		peer_end(peer, "");
	else
		decide(peer);
}

void peer_sniff(struct tunnel_peer *peer)
{
	uv_poll_start(&peer->poll, UV_READABLE, on_sniff);
}

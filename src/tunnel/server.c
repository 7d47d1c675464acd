/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "core/log.h"
#include "tunnel/peer.h"

/* Connections taken per wake-up of the loop. */
#define ACCEPT_BATCH 64
/* Out of descriptors or memory: others must give some back first. */
#define ACCEPT_PAUSE_MS 100

static void on_listen(uv_poll_t *poll, int status, int events);

static void on_accept_pause(uv_timer_t *timer)
{
	struct tunnel_server *server = container_of(timer, struct tunnel_server, accept_pause);

	uv_poll_start(&server->listen_poll, UV_READABLE, on_listen);
}

static void pause_accept(struct tunnel_server *server)
{
	log_warn("cannot accept", "why=\"%s\"", strerror(errno));
	uv_poll_stop(&server->listen_poll);
	uv_timer_start(&server->accept_pause, on_accept_pause, ACCEPT_PAUSE_MS, 0);
}

static void on_listen(uv_poll_t *poll, int status, int events)
{
	struct tunnel_server *server = container_of(poll, struct tunnel_server, listen_poll);
	struct peer_link *oldest;
	int fd;

	(void)status, (void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
				      errno == ENOMEM)) {
			pause_accept(server);
			return;
		}
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0)
			continue; /* that connection is gone already (accept(2)) */
		if (server->handshake_count >= LIMIT_HANDSHAKES) {
			oldest = TAILQ_FIRST(&server->handshakes);
			peer_end(peer_from_link(oldest), "");
		}
		peer_new(server, fd);
	}
}

static int bind_any(int family, uint16_t port, int *ret_fd)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	auto_close int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0, r;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (family == AF_INET6) {
		if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
			return -errno;
		r = bind(fd, (const struct sockaddr *)&v6, sizeof(v6));
	} else {
		r = bind(fd, (const struct sockaddr *)&v4, sizeof(v4));
	}
	if (r < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	struct ip_endpoint endpoint = {0};

	if (getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
		ip_endpoint_from_sockaddr((const struct sockaddr *)&address, &endpoint) == 0)
		return endpoint.port;
	return 0;
}

int tunnel_server_new(uv_loop_t *loop, uint16_t port, const struct tunnel_server_events *events,
	void *user, struct tunnel_server **ret_server, struct err *err)
{
	struct tunnel_server *server;
	int fd = -1;
	int r = bind_any(AF_INET6, port, &fd);

	if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)
		r = bind_any(AF_INET, port, &fd);
	if (r < 0)
		return err_set_errno(err, r, "listen on port %u", port);
	server = XNEW(struct tunnel_server);
	server->loop = loop;
	server->events = *events;
	server->user = user;
	server->listen_fd = fd;
	server->port = bound_port(fd);
	server->open_handles = 2;
	TAILQ_INIT(&server->handshakes);
	TAILQ_INIT(&server->proven);
	uv_timer_init(loop, &server->accept_pause);
	uv_poll_init(loop, &server->listen_poll, fd);
	uv_poll_start(&server->listen_poll, UV_READABLE, on_listen);
	*ret_server = server;
	return 0;
}

uint16_t tunnel_server_port(const struct tunnel_server *server)
{
	return server->port;
}

static void free_if_closed(struct tunnel_server *server)
{
	if (--server->open_handles == 0)
		free(server);
}

static void on_poll_closed(uv_handle_t *handle)
{
	free_if_closed(container_of(handle, struct tunnel_server, listen_poll));
}

static void on_pause_closed(uv_handle_t *handle)
{
	free_if_closed(container_of(handle, struct tunnel_server, accept_pause));
}

void tunnel_server_free(struct tunnel_server *server)
{
	struct peer_link *link;

	if (!server || server->closing)
		return;
	server->closing = true;
	while ((link = TAILQ_FIRST(&server->proven)))
		peer_end(peer_from_link(link), "the traffic-manager is shutting down");
	while ((link = TAILQ_FIRST(&server->handshakes)))
		peer_end(peer_from_link(link), "");
	uv_close((uv_handle_t *)&server->listen_poll, on_poll_closed);
	uv_close((uv_handle_t *)&server->accept_pause, on_pause_closed);
	close(server->listen_fd);
}

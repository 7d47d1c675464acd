/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/rootlink.h"

#include <errno.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/err.h"
#include "ipc/channel.h"
#include "ipc/root_client.h"

struct root_link {
	struct root_client *client;
	int pidfd; /* of the root daemon; negative: cannot be had */
	pid_t pid;
	uv_poll_t socket_poll, pid_poll;
	uv_timer_t timer;
	unsigned int open_handles;
	void (*on_gone)(void *user);
	void (*on_ended)(void *user, pid_t left);
	void *user, *ended_user;
};

static void on_closed(uv_handle_t *handle)
{
	struct root_link *link = handle->data;

	if (--link->open_handles > 0)
		return;
	if (link->pidfd >= 0)
		close(link->pidfd);
	free(link);
}

static void close_handle(struct root_link *link, uv_handle_t *handle)
{
	(void)link;
	if (!uv_is_closing(handle))
		uv_close(handle, on_closed);
}

/* The root daemon never speaks first: readable means that it has hung up. */
static void on_socket(uv_poll_t *poll, int status, int events UNUSED)
{
	struct root_link *link = poll->data;
	char byte;
	ssize_t n = recv(root_client_fd(link->client), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (status == 0 && n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	(void)uv_poll_stop(poll);
	link->on_gone(link->user);
}

static void init_handle(struct root_link *link, uv_handle_t *handle)
{
	handle->data = link;
	link->open_handles++;
}

int root_link_open(uv_loop_t *loop, void (*on_gone)(void *user), void *user,
	struct root_link **ret_link, struct err *err)
{
	struct root_client *client = NULL;
	struct ucred cred = {.pid = 0};
	struct root_link *link;
	int r = root_client_connect(getuid(), &client, err);

	if (r < 0)
		return r;
	link = XNEW(struct root_link);
	link->client = client;
	link->on_gone = on_gone;
	link->user = user;
	link->pidfd = ipc_peer_pidfd(root_client_fd(client));
	link->pid = ipc_peer_cred(root_client_fd(client), &cred, NULL) == 0 ? cred.pid : 0;
	(void)uv_timer_init(loop, &link->timer);
	init_handle(link, (uv_handle_t *)&link->timer);
	(void)uv_poll_init(loop, &link->socket_poll, root_client_fd(client));
	init_handle(link, (uv_handle_t *)&link->socket_poll);
	(void)uv_poll_start(&link->socket_poll, UV_READABLE | UV_DISCONNECT, on_socket);
	if (link->pidfd >= 0 && uv_poll_init(loop, &link->pid_poll, link->pidfd) == 0)
		init_handle(link, (uv_handle_t *)&link->pid_poll);
	*ret_link = link;
	return 0;
}

struct root_client *root_link_client(const struct root_link *link)
{
	return link->client;
}

static void end(struct root_link *link, pid_t left)
{
	void (*on_ended)(void *user, pid_t left) = link->on_ended;

	link->on_ended = NULL;
	if (link->pid_poll.data)
		close_handle(link, (uv_handle_t *)&link->pid_poll);
	close_handle(link, (uv_handle_t *)&link->timer);
	if (on_ended)
		on_ended(link->ended_user, left);
}

/* Without a pidfd nothing is known of the process. */
static void on_timer(uv_timer_t *timer)
{
	struct root_link *link = timer->data;

	end(link, link->pidfd >= 0 ? link->pid : 0);
}

static void on_exit_event(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
	end(poll->data, 0);
}

void root_link_close(struct root_link *link, void (*on_ended)(void *user, pid_t left), void *user)
{
	bool waits;

	if (!link)
		return;
	link->on_ended = on_ended;
	link->ended_user = user;
	close_handle(link, (uv_handle_t *)&link->socket_poll);
	root_client_free(link->client);
	link->client = NULL;
	waits = link->pid_poll.data &&
		uv_poll_start(&link->pid_poll, UV_READABLE, on_exit_event) == 0;
	(void)uv_timer_start(&link->timer, on_timer, waits ? ROOT_LINK_END_MS : 0, 0);
}

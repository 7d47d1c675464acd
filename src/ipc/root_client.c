/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/root_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "ipc/channel.h"
#include "ipc/root_proto.h"

struct root_client {
	int sock;
	pid_t pid; /* of the root daemon; 0: of another pid namespace */
	uint32_t last_id;
	char version[ROOT_VERSION_BYTES];
};

DEFINE_AUTO(root_client, root_client_free);

/* A root daemon that stands still is not the user's to end. */
static int no_answer(const struct root_client *client, struct err *err)
{
	if (client->pid <= 0)
		return err_set(err, -ETIMEDOUT, ERR_UNREACHABLE, "the root daemon does not answer");
	return err_set(err, -ETIMEDOUT, ERR_UNREACHABLE,
		"the root daemon does not answer: sudo kill -9 %d ends it, then connect again",
		(int)client->pid);
}

/* Waits for a frame until the deadline; its length. */
static int receive_until(struct root_client *client, int64_t deadline, void *data, size_t cap,
	int *fd, struct err *err)
{
	for (;;) {
		struct pollfd wait = {.fd = client->sock, .events = POLLIN};
		int64_t left = deadline - clock_ms();
		int r = ipc_recv(client->sock, data, cap, fd, err);

		if (r == 0)
			return err_set(err, -EPIPE, ERR_UNREACHABLE, "the root daemon has ended");
		/* It refused us and closed without reading our request: the refusal comes next. */
		if (r == -ECONNRESET)
			continue;
		if (r != -EAGAIN)
			return r;
		if (left <= 0)
			return no_answer(client, err);
		if (poll(&wait, 1, (int)left) < 0 && errno != EINTR)
			return err_set_errno(err, -errno, "poll");
	}
}

/* Id 0: refused before any request was read. */
static bool is_refusal(const struct root_message *reply, uint32_t id)
{
	return reply->type == ROOT_ERROR && (reply->id == id || reply->id == 0);
}

/*
 * Sends *msg and replaces it by the answer, with the descriptor that came with it in *ret_fd when
 * that is not NULL. After any failure but the server's own ERROR the connection is shut down:
 * request and answer could not be told apart any more.
 */
static int exchange(
	struct root_client *client, struct root_message *msg, int *ret_fd, struct err *err)
{
	int64_t deadline = clock_ms() + LIMIT_IPC_TIMEOUT_MS;
	uint8_t frame[LIMIT_ROOT_MESSAGE_BYTES];
	struct root_message reply = {.type = 0};
	auto_close int fd = -1;
	uint8_t type = msg->type;
	int r;

	msg->id = ++client->last_id;
	r = root_message_encode(msg, frame, sizeof(frame));
	if (r < 0)
		return err_set(err, r, ERR_INTERNAL, "request %u does not encode", type);
	r = ipc_send(client->sock, frame, (size_t)r, -1, err);
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		r = receive_until(client, deadline, frame, sizeof(frame), ret_fd ? &fd : NULL, err);
	if (r > 0)
		r = root_message_decode(frame, (size_t)r, &reply, err);
	if (r < 0)
		goto broken;
	if (is_refusal(&reply, msg->id))
		return err_set(err, reply.error.code, reply.error.kind, "%s", reply.error.msg);
	if (reply.id != msg->id || reply.type != (type | ROOT_REPLY) || (ret_fd && fd < 0)) {
		r = err_set(
			err, -EPROTO, ERR_INTERNAL, "answer %u to request %u", reply.type, type);
		goto broken;
	}
	if (ret_fd)
		*ret_fd = take_fd(&fd);
	*msg = reply;
	return 0;
broken:
	(void)shutdown(client->sock, SHUT_RDWR);
	return err_wrap(err, r, "root daemon");
}

static int hello(struct root_client *client, struct err *err)
{
	struct root_message msg = {.type = ROOT_HELLO, .hello = {.protocol = ROOT_PROTOCOL}};
	int r;

	(void)snprintf(msg.hello.version, sizeof(msg.hello.version), "%s", TP_VERSION);
	r = exchange(client, &msg, NULL, err);
	if (r < 0)
		return r;
	memcpy(client->version, msg.hello.version, sizeof(client->version));
	if (msg.hello.protocol != ROOT_PROTOCOL)
		return err_set(err, -EPROTONOSUPPORT, ERR_CONFLICT,
			"the root daemon is of version %s, this is %s: run telepresence quit -s",
			client->version, TP_VERSION);
	return 0;
}

int root_client_connect(uid_t uid, struct root_client **ret_client, struct err *err)
{
	AUTO(root_client) client = XNEW(struct root_client);
	char name[64];
	struct ucred cred;
	int r;

	(void)snprintf(name, sizeof(name), ROOT_SOCKET_FORMAT, uid);
	client->sock = ipc_connect(name, err);
	if (client->sock < 0)
		return client->sock;
	r = ipc_peer_cred(client->sock, &cred, err);
	if (r < 0)
		return r;
	/* Anybody can take a free abstract name; only root may be handed our requests. */
	if (cred.uid != 0)
		return err_set(err, -EPERM, ERR_PERMISSION,
			"@%s belongs to uid %u, not to a root daemon", name, cred.uid);
	client->pid = cred.pid;
	r = hello(client, err);
	if (r < 0)
		return r;
	*ret_client = TAKE_PTR(client);
	return 0;
}

void root_client_free(struct root_client *client)
{
	if (!client)
		return;
	if (client->sock >= 0)
		close(client->sock);
	free(client);
}

int root_client_fd(const struct root_client *client)
{
	return client->sock;
}

const char *root_client_version(const struct root_client *client)
{
	return client->version;
}

int root_client_tun(struct root_client *client, const struct root_tun_request *request,
	struct root_tun *ret_tun, struct err *err)
{
	struct root_message msg = {.type = ROOT_TUN, .tun = *request};
	int fd = -1;
	int r = exchange(client, &msg, &fd, err);

	if (r < 0)
		return r;
	*ret_tun = (struct root_tun){
		.fd = fd, .ifindex = msg.tun_reply.ifindex, .ipv6 = msg.tun_reply.ipv6};
	memcpy(ret_tun->name, msg.tun_reply.name, sizeof(ret_tun->name));
	return 0;
}

int root_client_shortcut(struct root_client *client, struct err *err)
{
	struct root_message msg = {.type = ROOT_SHORTCUT};
	int fd = -1;
	int r = exchange(client, &msg, &fd, err);

	return r < 0 ? r : fd;
}

int root_client_routes(
	struct root_client *client, const struct ip_prefix *prefixes, size_t count, struct err *err)
{
	struct root_message msg = {.type = ROOT_ROUTES};

	if (count > LIMIT_ROOT_PREFIXES)
		return err_set(err, -E2BIG, ERR_UNSUPPORTED, "%zu routes, at most %d", count,
			LIMIT_ROOT_PREFIXES);
	msg.routes.count = (uint16_t)count;
	for (size_t i = 0; i < count; i++)
		msg.routes.prefixes[i] = prefixes[i];
	return exchange(client, &msg, NULL, err);
}

int root_client_dns(struct root_client *client, const struct ip_addr *nameservers, size_t count,
	uint16_t port, struct err *err)
{
	struct root_message msg = {.type = ROOT_DNS, .dns = {.port = port}};

	if (count > LIMIT_ROOT_NAMESERVERS)
		return err_set(err, -E2BIG, ERR_UNSUPPORTED, "%zu nameservers, at most %d", count,
			LIMIT_ROOT_NAMESERVERS);
	msg.dns.count = (uint8_t)count;
	for (size_t i = 0; i < count; i++)
		msg.dns.nameservers[i] = nameservers[i];
	return exchange(client, &msg, NULL, err);
}

int root_client_resolved(struct root_client *client, uint16_t port, const char *domains,
	size_t bytes, struct err *err)
{
	struct root_message msg = {.type = ROOT_RESOLVED, .resolved = {.port = port}};

	if (bytes > sizeof(msg.resolved.domains))
		return err_set(err, -E2BIG, ERR_UNSUPPORTED, "%zu bytes of domains, at most %zu",
			bytes, sizeof(msg.resolved.domains));
	msg.resolved.bytes = (uint16_t)bytes;
	if (bytes > 0)
		memcpy(msg.resolved.domains, domains, bytes);
	return exchange(client, &msg, NULL, err);
}

int root_client_socket(struct root_client *client, int family, int type, struct err *err)
{
	struct root_message msg = {.type = ROOT_SOCKET, .socket = {.family = family, .type = type}};
	int fd = -1;
	int r = exchange(client, &msg, &fd, err);

	return r < 0 ? r : fd;
}

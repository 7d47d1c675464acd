/* SPDX-License-Identifier: Apache-2.0 */
#include "client/rootd/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/rootd/marked.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "core/log.h"
#include "ipc/channel.h"
#include "ipc/root_proto.h"
#include "netfilter/dns_redirect.h"
#include "netfilter/nft.h"
#include "resolv/resolvconf.h"
#include "resolv/resolved.h"
#include "tun/device.h"
#include "tun/policy.h"
#include "tun/route.h"
#include "tun/rtnl.h"
#include "tun/shortcut.h"

/* A redirect may lead to what an ordinary user can bind. */
#define PORT_MIN 1024

enum request_flag { PERMIT = 1U << 0, ONCE = 1U << 1 };

struct session {
	struct rtnl *rtnl;
	struct nft *nft;
	struct tun_device *tun;
	struct shortcut shortcut;
	int shortcut_error; /* why there is none */
	struct tun_config config; /* of the device, once it is configured */
	struct dns_redirect redirect;
	struct resolved *resolved; /* NULL: not this system's resolver */
	bool ipv6; /* the kernel speaks it */
	unsigned int flags[ROOT_REQUEST_END];
	struct marked marked;
};

DEFINE_AUTO(session, session_free);

/* Fills the answer; *ret_fd is a descriptor to pass: the TUN's, borrowed, or one that is given
 * away. */
typedef int (*request_fn)(struct session *session, const struct root_message *request,
	struct root_message *reply, int *ret_fd, struct err *err);

static void permit(struct session *session, enum root_type type)
{
	session->flags[type] |= PERMIT;
}

static int on_hello(struct session *session, const struct root_message *request,
	struct root_message *reply, int *ret_fd, struct err *err)
{
	(void)ret_fd;
	(void)err;
	log_info("client", "version=%s protocol=%u", request->hello.version,
		request->hello.protocol);
	reply->hello.protocol = ROOT_PROTOCOL;
	(void)snprintf(reply->hello.version, sizeof(reply->hello.version), "%s", TP_VERSION);
	/* Another protocol: it reads our version from the answer and goes. */
	if (request->hello.protocol != ROOT_PROTOCOL)
		return 0;
	permit(session, ROOT_TUN);
	permit(session, ROOT_DNS);
	permit(session, ROOT_SOCKET);
	return 0;
}

static int on_tun(struct session *session, const struct root_message *request,
	struct root_message *reply, int *ret_fd, struct err *err)
{
	struct tun_config config = {
		.mtu = request->tun.mtu, .addr4 = request->tun.addr4, .addr6 = request->tun.addr6};
	int r;

	memcpy(config.name, request->tun.name, sizeof(config.name));
	r = policy_check_device(&config, err);
	if (r == 0)
		r = tun_configure(session->tun, session->rtnl, &config, err);
	if (r < 0)
		return r;
	session->config = config;
	reply->tun_reply.ifindex = tun_ifindex(session->tun);
	reply->tun_reply.ipv6 = tun_has_ipv6(session->tun);
	(void)snprintf(
		reply->tun_reply.name, sizeof(reply->tun_reply.name), "%s", tun_name(session->tun));
	*ret_fd = tun_fd(session->tun);
	permit(session, ROOT_SHORTCUT);
	permit(session, ROOT_ROUTES);
	permit(session, ROOT_RESOLVED);
	log_info("device up", "name=%s ifindex=%u mtu=%u ipv6=%d", tun_name(session->tun),
		tun_ifindex(session->tun), config.mtu, tun_has_ipv6(session->tun));
	return 0;
}

static int on_shortcut(struct session *session, const struct root_message *request,
	struct root_message *reply, int *ret_fd, struct err *err)
{
	(void)request;
	(void)reply;
	if (session->shortcut.map_fd < 0)
		return err_set(err, -EOPNOTSUPP, ERR_UNSUPPORTED, "BPF at the device: %s",
			strerror(-session->shortcut_error));
	*ret_fd = take_fd(&session->shortcut.map_fd);
	return 0;
}

static int on_routes(struct session *session, const struct root_message *request,
	struct root_message *reply, int *ret_fd, struct err *err)
{
	int r = policy_check_routes(
		request->routes.prefixes, request->routes.count, &session->config, err);

	(void)reply;
	(void)ret_fd;
	if (r < 0)
		return r;
	tun_renew_ipv6(session->tun, session->rtnl);
	r = route_sync(session->rtnl, tun_ifindex(session->tun), tun_has_ipv6(session->tun),
		request->routes.prefixes, request->routes.count, err);
	if (r == 0)
		log_info("routes set", "count=%u", request->routes.count);
	return r;
}

static int on_dns(struct session *session, const struct root_message *request,
	struct root_message *reply, int *ret_fd, struct err *err)
{
	struct ip_addr usable[LIMIT_ROOT_NAMESERVERS] = {{.family = 0}};
	int r;

	(void)reply;
	(void)ret_fd;
	if (request->dns.count > 0 && request->dns.port < PORT_MIN)
		return err_set(err, -EPERM, ERR_PERMISSION,
			"port %u: redirects lead to %d or above", request->dns.port, PORT_MIN);
	if (request->dns.port > UINT16_MAX - LIMIT_ROOT_NAMESERVERS + 1)
		return err_set(err, -EINVAL, ERR_INTERNAL,
			"port %u: there are none for all nameservers", request->dns.port);
	for (unsigned int i = 0; i < request->dns.count; i++) {
		const struct ip_addr *addr = &request->dns.nameservers[i];

		r = policy_check_nameserver(addr, err);
		if (r < 0)
			return r;
		/* Without IPv6 nobody can ask this one, and nftables may not know the family. */
		if (addr->family == AF_INET || session->ipv6)
			usable[i] = *addr;
	}
	r = dns_redirect_set(
		&session->redirect, usable, request->dns.count, request->dns.port, err);
	if (r == 0)
		log_info("dns redirect set", "nameservers=%u port=%u", request->dns.count,
			request->dns.port);
	return r;
}

static int on_resolved(struct session *session, const struct root_message *request,
	struct root_message *reply, int *ret_fd, struct err *err)
{
	const char *domains = request->resolved.domains;
	uint16_t bytes = request->resolved.bytes, port = request->resolved.port;
	int r;

	(void)reply;
	(void)ret_fd;
	if (!session->resolved)
		return err_set(err, -ENOENT, ERR_UNSUPPORTED,
			"systemd-resolved is not this system's resolver, or was not reached");
	if (bytes > 0 && port < PORT_MIN)
		return err_set(err, -EPERM, ERR_PERMISSION, "port %u: servers have %d or above",
			port, PORT_MIN);
	r = policy_check_domains(domains, bytes, err);
	if (r == 0)
		r = resolved_set(
			session->resolved, tun_ifindex(session->tun), port, domains, bytes, err);
	/* Signals that came among the answers are in no socket any more. */
	resolved_process(session->resolved);
	if (r == 0)
		log_info("systemd-resolved told", "bytes=%u port=%u", bytes, port);
	return r;
}

static int on_socket(struct session *session, const struct root_message *request,
	struct root_message *reply, int *ret_fd, struct err *err)
{
	int sock =
		marked_socket(&session->marked, request->socket.family, request->socket.type, err);

	(void)reply;
	if (sock < 0)
		return sock;
	*ret_fd = sock;
	return 0;
}

static const struct {
	const char *name;
	request_fn fn;
	unsigned int flags;
} requests[] = {
	[ROOT_HELLO] = {"hello", on_hello, PERMIT | ONCE},
	[ROOT_TUN] = {"tun", on_tun, ONCE},
	[ROOT_ROUTES] = {"routes", on_routes, 0},
	[ROOT_DNS] = {"dns", on_dns, 0},
	[ROOT_SOCKET] = {"socket", on_socket, 0},
	[ROOT_RESOLVED] = {"resolved", on_resolved, 0},
	[ROOT_SHORTCUT] = {"shortcut", on_shortcut, ONCE},
};
_Static_assert(ARRAY_SIZE(requests) == ROOT_REQUEST_END, "a row for every request");

static int open_kernel(struct session *session, struct err *err)
{
	bool ra_warning = false;
	int r = tun_open(&session->tun, &ra_warning, err);

	if (r < 0)
		return r;
	if (ra_warning)
		log_warn("router advertisements stay on for the device", "name=%s",
			tun_name(session->tun));
	session->shortcut_error = shortcut_open(&session->shortcut, tun_ifindex(session->tun));
	r = rtnl_open(&session->rtnl, err);
	return r < 0 ? r : nft_open(&session->nft, err);
}

/* Where it is not to be had the redirect does its work. */
static void open_resolved(struct session *session)
{
	struct resolv_conf conf;
	struct err err = ERR_INIT;

	if (resolv_conf_read(NULL, &conf, &err) < 0 || !resolv_is_resolved(&conf, NULL))
		return;
	if (resolved_open(&session->resolved, &err) < 0)
		log_warn("systemd-resolved is not told", "reason=%s", err.msg);
}

int session_resolved_fd(const struct session *session)
{
	return session->resolved ? resolved_fd(session->resolved) : -1;
}

void session_resolved_event(struct session *session)
{
	resolved_process(session->resolved);
}

int session_open(struct session **ret_session, struct err *err)
{
	AUTO(session) session = XNEW(struct session);
	int r;

	session->shortcut = (struct shortcut){.map_fd = -1, .link_fd = -1};
	r = open_kernel(session, err);
	if (r < 0)
		return r;
	open_resolved(session);
	session->ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
	dns_redirect_init(&session->redirect, session->nft, tun_ifindex(session->tun), SOCKET_MARK);
	marked_init(&session->marked);
	for (unsigned int type = 0; type < ROOT_REQUEST_END; type++)
		session->flags[type] = requests[type].flags;
	*ret_session = TAKE_PTR(session);
	return 0;
}

/* Without this the device would stay for as long as anybody holds the passed descriptor. */
static void delete_device(struct session *session)
{
	struct err err = ERR_INIT;

	tun_close_fd(session->tun);
	if (tun_delete(session->tun, session->rtnl, &err) < 0 && err.code != -ENODEV)
		log_error(
			"device not removed", "name=%s error=%s", tun_name(session->tun), err.msg);
}

void session_free(struct session *session)
{
	if (!session)
		return;
	if (session->resolved)
		(void)!resolved_set(session->resolved, 0, 0, NULL, 0, NULL);
	resolved_free(session->resolved);
	shortcut_close(&session->shortcut);
	if (session->tun && session->rtnl)
		delete_device(session);
	tun_free(session->tun);
	rtnl_free(session->rtnl);
	nft_free(session->nft);
	free(session);
}

static int send_message(int sock, const struct root_message *msg, int fd, struct err *err)
{
	uint8_t frame[LIMIT_ROOT_MESSAGE_BYTES];
	int r = root_message_encode(msg, frame, sizeof(frame));

	if (r < 0)
		return err_set(err, r, ERR_INTERNAL, "answer %u does not encode", msg->type);
	return ipc_send(sock, frame, (size_t)r, fd, err);
}

static int send_error(int sock, uint32_t id, const struct err *why, struct err *err)
{
	struct root_message msg = {.type = ROOT_ERROR, .id = id};

	msg.error.code = why->code;
	msg.error.kind = why->kind;
	(void)snprintf(msg.error.msg, sizeof(msg.error.msg), "%s", why->msg);
	return send_message(sock, &msg, -1, err);
}

void session_refuse(int sock, const struct err *why)
{
	/* It is closed next, whether it has read this or not. */
	(void)!send_error(sock, 0, why, NULL);
}

/* Whether the request is known and its turn; else the session is over. */
static int check_turn(
	const struct session *session, const struct root_message *request, struct err *err)
{
	if (request->type >= ROOT_REQUEST_END || !requests[request->type].fn)
		return err_set(
			err, -EPROTO, ERR_INTERNAL, "message %u is no request", request->type);
	if (!(session->flags[request->type] & PERMIT))
		return err_set(err, -EPROTO, ERR_INTERNAL, "request %s is not permitted now",
			requests[request->type].name);
	return 0;
}

/* Runs a permitted request and sends its answer. */
static int serve(
	struct session *session, int sock, const struct root_message *request, struct err *err)
{
	struct root_message reply = {.type = request->type | ROOT_REPLY, .id = request->id};
	const char *name = requests[request->type].name;
	struct err why = ERR_INIT;
	int fd = -1;
	int r = requests[request->type].fn(session, request, &reply, &fd, &why);

	if (r < 0) {
		log_warn("request refused", "request=%s error=%s", name, why.msg);
		return send_error(sock, request->id, &why, err);
	}
	if (session->flags[request->type] & ONCE)
		session->flags[request->type] = 0;
	r = send_message(sock, &reply, fd, err);
	/* Passed, or lost with the peer; no copy stays here, so that the device dies with it. */
	if (request->type == ROOT_TUN)
		tun_close_fd(session->tun);
	else if (fd >= 0)
		close(fd);
	return r;
}

int session_frame(struct session *session, int sock, const void *frame, size_t len, struct err *err)
{
	struct root_message request = {.type = 0};
	int r = root_message_decode(frame, len, &request, err);

	if (r == 0)
		r = check_turn(session, &request, err);
	if (r < 0) {
		struct err why = {.code = r, .kind = ERR_INTERNAL};

		(void)snprintf(why.msg, sizeof(why.msg), "%s", err->msg);
		(void)!send_error(sock, request.id, &why, NULL);
		return r;
	}
	return serve(session, sock, &request, err);
}

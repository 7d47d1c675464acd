/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/agent_link.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/agent_credentials.h"
#include "tunnel/pipe.h"
#include "tunnel/pipe_text.h"
#include "tunnel/session.h"
#include "tunnel/tls_carrier.h"

/* CONNECTING -> SHAKING (TLS) -> JOINING -> READY -> CLOSED; every state may go to CLOSED. */
enum link_state { CONNECTING, SHAKING, JOINING, READY, CLOSED };

struct agent_link {
	uv_loop_t *loop;
	enum link_state state;
	struct agent_credentials *credentials;
	enum agent_role role;
	enum join_kind kind;
	struct agent_link_events events;
	void *user;
	int fd; /* until the carrier takes it */
	uv_poll_t poll; /* while connecting; open_handles says whether there is one */
	uint32_t connect_ms;
	uv_timer_t deadline;
	unsigned int open_handles;
	struct err failed; /* before there was anything to wait for */
	struct carrier *carrier; /* the pipe's */
	struct pipe *pipe;
	struct h2_session *h2; /* NULL unless READY */
	bool freed;
};

static void link_closed(struct agent_link *link, const struct err *err)
{
	struct h2_session *h2 = TAKE_PTR(link->h2);

	if (link->freed || link->state == CLOSED)
		return;
	link->state = CLOSED;
	uv_timer_stop(&link->deadline);
	h2_session_free(h2);
	/* A stream's on_close may have freed the link. */
	if (!link->freed)
		link->events.on_closed(link->user, err);
}

static void free_if_closed(struct agent_link *link)
{
	if (--link->open_handles == 0)
		free(link);
}

static void on_poll_closed(uv_handle_t *handle)
{
	free_if_closed(container_of(handle, struct agent_link, poll));
}

static void on_deadline_closed(uv_handle_t *handle)
{
	free_if_closed(container_of(handle, struct agent_link, deadline));
}

/* The socket has an answer that the loop has not come to: then nobody but this process is late. */
static bool is_answered(const struct agent_link *link)
{
	struct tcp_info info = {.tcpi_state = TCP_SYN_SENT};
	socklen_t len = sizeof(info);

	return link->state == CONNECTING &&
	       getsockopt(link->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state != TCP_SYN_SENT;
}

static void on_deadline(uv_timer_t *timer)
{
	struct agent_link *link = container_of(timer, struct agent_link, deadline);
	struct err err = link->failed;

	if (err.code == 0 && is_answered(link))
		return; /* on_connect() comes next */
	if (err.code == 0 && link->state == CONNECTING)
		err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE,
			"the traffic-manager did not answer within %u ms", link->connect_ms);
	else if (err.code == 0)
		err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE,
			"the traffic-manager did not finish the handshake within %d ms",
			LIMIT_HANDSHAKE_MS);
	link_closed(link, &err);
}

static void on_h2_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct agent_link *link = user;

	link->events.on_stream(link->user, stream, head);
}

static void on_h2_failed(void *user, const struct err *err)
{
	link_closed(user, err);
}

static void on_h2_goaway(void *user)
{
	struct agent_link *link = user;

	if (link->events.on_leaving)
		link->events.on_leaving(link->user);
}

static int take_welcome(
	struct agent_link *link, const uint8_t *payload, size_t len, struct err *err)
{
	/* Of a link whose streams' numbers come to an end it is as of one that will be closed. */
	static const struct h2_session_events events = {.on_stream = on_h2_stream,
		.on_goaway = on_h2_goaway,
		.on_worn = on_h2_goaway,
		.on_failed = on_h2_failed};
	enum h2_role role = link->role == AGENT_SERVER ? H2_SERVER : H2_CLIENT;
	int r = 0;

	if (link->kind == JOIN_TOKEN)
		r = agent_credentials_welcome(
			link->credentials, tls_carrier_peer_cert(link->carrier), payload, len, err);
	else if (len > 0)
		r = err_set(err, -EPROTO, ERR_INTERNAL, "tunnel: malformed WELCOME");
	if (r < 0)
		return r;
	pipe_open(link->pipe);
	r = h2_session_new(link->loop, link->pipe, role, &events, link, &link->h2, err);
	if (r < 0)
		return r;
	uv_timer_stop(&link->deadline);
	link->state = READY;
	link->events.on_ready(link->user);
	return 0;
}

static int on_record(void *user, uint8_t type, const uint8_t *payload, size_t len, struct err *err)
{
	struct agent_link *link = user;
	char text[PIPE_TEXT_BYTES];

	if (type == PIPE_WELCOME && link->state == JOINING)
		return take_welcome(link, payload, len, err);
	if (type == PIPE_REFUSE && link->state == JOINING) {
		pipe_text(payload, len, text);
		return err_set(
			err, -EACCES, ERR_AUTH, "the traffic-manager refused the agent: %s", text);
	}
	return err_set(err, -EPROTO, ERR_INTERNAL, "tunnel: record %u is not due", type);
}

static int on_data(void *user, const uint8_t *data, size_t len, struct err *err)
{
	struct agent_link *link = user;

	return link->h2 ? h2_session_recv(link->h2, data, len, err) : 0;
}

/* TLS has proven the manager's key. */
static void send_join(struct agent_link *link)
{
	uint8_t payload[JOIN_MAX_BYTES];
	ssize_t n =
		agent_credentials_join(link->credentials, link->kind, (uint8_t)link->role, payload);
	struct err err = ERR_INIT;

	if (n < 0) {
		err_set_errno(&err, (int)n, "make the JOIN");
		link_closed(link, &err);
		return;
	}
	link->state = JOINING;
	pipe_send_record(link->pipe, PIPE_JOIN, payload, (size_t)n);
	explicit_bzero(payload, sizeof(payload));
}

static void on_writable(void *user)
{
	struct agent_link *link = user;

	if (link->state == SHAKING)
		send_join(link);
	else if (link->h2)
		h2_session_wake(link->h2);
}

static void on_pipe_closed(void *user, const struct err *err)
{
	struct agent_link *link = user;
	struct err refused = ERR_INIT;

	if (link->state == JOINING && err->kind != ERR_AUTH && tls_carrier_ended(link->carrier)) {
		err_set(&refused, -EACCES, ERR_AUTH, "the traffic-manager refused the agent");
		link_closed(link, &refused);
		return;
	}
	link_closed(link, err);
}

static void connected(struct agent_link *link)
{
	static const struct pipe_events events = {
		.on_record = on_record,
		.on_data = on_data,
		.on_writable = on_writable,
		.on_closed = on_pipe_closed,
	};
	const struct pipe_config config = {
		.ping_ms = LIMIT_HEARTBEAT_MS, .silence_ms = LIMIT_CARRIER_SILENCE_MS};

	link->state = SHAKING;
	link->kind = agent_credentials_kind(link->credentials);
	uv_timer_start(&link->deadline, on_deadline, LIMIT_HANDSHAKE_MS, 0);
	link->carrier = tls_carrier_new(link->loop, take_fd(&link->fd),
		agent_credentials_tls(link->credentials), TLS_SIDE_CLIENT);
	link->pipe = pipe_new(link->loop, link->carrier, &config, &events, link);
}

static void on_connect(uv_poll_t *poll, int status, int events)
{
	struct agent_link *link = container_of(poll, struct agent_link, poll);
	int error = 0;
	socklen_t len = sizeof(error);
	struct err err = ERR_INIT;

	(void)status, (void)events;
	if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	uv_close((uv_handle_t *)&link->poll, on_poll_closed);
	if (error != 0) {
		err_set_errno(&err, -error, "connect to the traffic-manager");
		link_closed(link, &err);
		return;
	}
	connected(link);
}

static int start_connect(struct agent_link *link, const struct agent_link_config *config)
{
	struct sockaddr_storage address;
	socklen_t len = ip_endpoint_to_sockaddr(&config->manager, &address);
	auto_close int fd =
		socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -errno;
	if (config->mark != 0 &&
		setsockopt(fd, SOL_SOCKET, SO_MARK, &config->mark, sizeof(config->mark)) < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, len) < 0 && errno != EINPROGRESS)
		return -errno;
	link->fd = take_fd(&fd);
	uv_poll_init(link->loop, &link->poll, link->fd);
	link->open_handles++;
	uv_poll_start(&link->poll, UV_WRITABLE, on_connect);
	return 0;
}

struct agent_link *agent_link_new(uv_loop_t *loop, const struct agent_link_config *config,
	const struct agent_link_events *events, void *user)
{
	struct agent_link *link = XNEW(struct agent_link);
	int r;

	link->loop = loop;
	link->credentials = config->credentials;
	link->role = config->role;
	link->connect_ms = config->connect_ms ? config->connect_ms : AGENT_CONNECT_MS;
	link->events = *events;
	link->user = user;
	link->fd = -1;
	link->open_handles = 1;
	uv_timer_init(loop, &link->deadline);
	r = start_connect(link, config);
	if (r < 0)
		err_set_errno(&link->failed, r, "connect to the traffic-manager");
	uv_update_time(loop); /* what came before in this turn of the loop does not count */
	uv_timer_start(&link->deadline, on_deadline, r < 0 ? 0 : link->connect_ms, 0);
	return link;
}

void agent_link_set_events(
	struct agent_link *link, const struct agent_link_events *events, void *user)
{
	link->events = *events;
	link->user = user;
}

struct h2_session *agent_link_h2(const struct agent_link *link)
{
	return link->role == AGENT_CLIENT ? link->h2 : NULL;
}

void agent_link_free(struct agent_link *link)
{
	static const char reason[] = "the agent is done";

	if (!link || link->freed)
		return;
	link->freed = true;
	h2_session_free(TAKE_PTR(link->h2));
	if (link->state == READY)
		pipe_send_record(link->pipe, PIPE_CLOSE, reason, sizeof(reason) - 1);
	pipe_free(link->pipe);
	if (link->fd >= 0) {
		if (!uv_is_closing((uv_handle_t *)&link->poll))
			uv_close((uv_handle_t *)&link->poll, on_poll_closed);
		close(link->fd);
	}
	uv_close((uv_handle_t *)&link->deadline, on_deadline_closed);
}

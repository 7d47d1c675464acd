/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source port is bound first, so that the agents know what will come before it does. The source
 * address is the one that the kernel would take towards the target, which is what an agent sees
 * unless something on the way translates it: then nothing is captured, as for any other bypass.
 */
#include "manager/prober.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/err.h"
#include "manager/agent_messages.h"
#include "manager/agents_impl.h"
#include "net/socket.h"

/* "captured" travels beside the answer of the connection: it may be this much later. */
#define CAPTURE_MS 500

enum probe_state {
	PROBE_ANNOUNCED, /* until every agent expects it, or is lost */
	PROBE_SENT,
	PROBE_ANSWERED, /* somebody took it; an agent may still say that it did */
	PROBE_DONE, /* on_done is due */
};

struct prober_expect {
	struct agent_expect expect;
	struct probe *probe;
	bool ready;
};

struct probe {
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned int open_handles;
	enum probe_state state;
	int fd, protocol;
	struct ip_endpoint target;
	struct prober_expect *expects;
	size_t expect_count;
	size_t awaited, alive; /* not expecting yet; not lost */
	uint64_t deadline_ms;
	int result;
	struct err err;
	probe_fn on_done;
	void *user;
};

static void on_handle_closed(uv_handle_t *handle)
{
	struct probe *probe = handle->data;

	if (--probe->open_handles > 0)
		return;
	free(probe->expects);
	free(probe);
}

/* Ends what is on the network. */
static void close_socket(struct probe *probe)
{
	if (probe->fd < 0)
		return;
	uv_close((uv_handle_t *)&probe->poll, on_handle_closed);
	if (probe->protocol == IPPROTO_TCP)
		socket_reset(take_fd(&probe->fd));
	else
		close(take_fd(&probe->fd));
}

static void stop_expects(struct probe *probe)
{
	for (size_t i = 0; i < probe->expect_count; i++)
		agent_expect_stop(&probe->expects[i].expect);
}

static void on_due(uv_timer_t *timer)
{
	struct probe *probe = timer->data;
	probe_fn on_done = probe->on_done;

	uv_close((uv_handle_t *)timer, on_handle_closed);
	on_done(probe->user, probe->result, &probe->err);
}

/* probe->err is set unless r is 0. */
static void finish(struct probe *probe, int r)
{
	if (probe->state == PROBE_DONE)
		return;
	probe->state = PROBE_DONE;
	probe->result = r;
	stop_expects(probe);
	close_socket(probe);
	(void)uv_timer_start(&probe->timer, on_due, 0, 0);
}

static const char *target_text(const struct probe *probe, char text[static ADDR_TEXT_BYTES])
{
	return ip_endpoint_format(&probe->target, text);
}

static void on_timeout(uv_timer_t *timer)
{
	struct probe *probe = timer->data;
	char text[ADDR_TEXT_BYTES];
	int r;

	if (probe->state == PROBE_ANNOUNCED)
		r = err_set(&probe->err, -ETIMEDOUT, ERR_UNREACHABLE,
			"an agent did not get ready for a probe of %s", target_text(probe, text));
	else if (probe->state == PROBE_ANSWERED)
		r = err_set(&probe->err, -EXDEV, ERR_UNSUPPORTED,
			"a connection to %s was answered, but not by an agent",
			target_text(probe, text));
	else if (probe->protocol == IPPROTO_UDP)
		r = err_set(&probe->err, -EXDEV, ERR_UNSUPPORTED,
			"a datagram to %s did not come to an agent", target_text(probe, text));
	else
		r = err_set(&probe->err, -ETIMEDOUT, ERR_UNREACHABLE, "%s did not answer",
			target_text(probe, text));
	finish(probe, r);
}

static void answered(struct probe *probe)
{
	uint64_t now_ms = uv_now(probe->timer.loop);
	uint64_t left_ms = probe->deadline_ms > now_ms ? probe->deadline_ms - now_ms : 0;

	probe->state = PROBE_ANSWERED;
	(void)uv_poll_stop(&probe->poll);
	(void)uv_timer_start(&probe->timer, on_timeout, MIN(left_ms, (uint64_t)CAPTURE_MS), 0);
}

/* The connection's outcome, or what came back for the datagram. An agent closes a probe's
 * connection at once: a reset is an answer too. */
static void on_socket(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
	struct probe *probe = poll->data;
	char text[ADDR_TEXT_BYTES];
	int code = 0;
	socklen_t len = sizeof(code);

	if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
		code = errno;
	if (code == 0 || code == ECONNRESET)
		answered(probe);
	else
		finish(probe,
			err_set_errno(&probe->err, -code, "probe of %s", target_text(probe, text)));
}

static int start_sending(struct probe *probe)
{
	bool tcp = probe->protocol == IPPROTO_TCP;
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(&probe->target, &sa);

	if (connect(probe->fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	/* Without a byte: where it is not captured, it is the app that gets it. */
	if (!tcp && send(probe->fd, NULL, 0, MSG_NOSIGNAL) < 0)
		return -errno;
	return uv_poll_start(&probe->poll, tcp ? UV_WRITABLE : UV_READABLE, on_socket);
}

static void send_if_expected(struct probe *probe)
{
	char text[ADDR_TEXT_BYTES];
	int r;

	if (probe->state != PROBE_ANNOUNCED || probe->awaited > 0 || probe->alive == 0)
		return;
	probe->state = PROBE_SENT;
	r = start_sending(probe);
	if (r < 0)
		finish(probe,
			err_set_errno(&probe->err, r, "probe of %s", target_text(probe, text)));
}

static void no_agent(struct probe *probe)
{
	finish(probe, err_set(&probe->err, -ENOTCONN, ERR_UNREACHABLE, "no agent is connected"));
}

static void on_lost(struct probe *probe, struct prober_expect *expect)
{
	probe->alive--;
	if (!expect->ready)
		probe->awaited--;
	if (probe->alive == 0)
		no_agent(probe);
	else
		send_if_expected(probe);
}

static void on_expect(struct agent_expect *base, enum agent_expect_event event)
{
	struct prober_expect *expect = container_of(base, struct prober_expect, expect);
	struct probe *probe = expect->probe;

	if (probe->state == PROBE_DONE)
		return;
	switch (event) {
	case AGENT_EXPECTING:
		if (expect->ready)
			return;
		expect->ready = true;
		probe->awaited--;
		send_if_expected(probe);
		break;
	case AGENT_CAPTURED:
		/* An agent that says so before anything was sent is not believed. */
		if (probe->state != PROBE_ANNOUNCED)
			finish(probe, 0);
		else
			on_lost(probe, expect);
		break;
	case AGENT_LOST:
		on_lost(probe, expect);
		break;
	}
}

/* The address that this host uses towards the target. Nothing is sent. */
static int own_address(const struct ip_endpoint *target, struct ip_endpoint *ret_own)
{
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(target, &sa);
	auto_close int fd = socket(target->addr.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, len) < 0)
		return -errno;
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	return ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, ret_own);
}

static int open_socket(const struct probe *probe, struct ip_endpoint *ret_source)
{
	int type = probe->protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, r;
	struct ip_endpoint source = {.port = 0};
	struct sockaddr_storage sa;
	socklen_t len;
	auto_close int fd = -1;

	r = own_address(&probe->target, &source);
	if (r < 0)
		return r;
	fd = socket(
		probe->target.addr.family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, probe->protocol);
	if (fd < 0)
		return -errno;
	source.port = 0;
	len = ip_endpoint_to_sockaddr(&source, &sa);
	if (bind(fd, (const struct sockaddr *)&sa, len) < 0)
		return -errno;
	len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	r = ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, ret_source);
	return r < 0 ? r : take_fd(&fd);
}

static void announce(struct probe *probe, struct agents *agents, const char *const *pod_uids,
	const struct ip_endpoint *source, uint16_t container_port)
{
	for (size_t i = 0; i < probe->expect_count; i++) {
		struct prober_expect *expect = &probe->expects[i];

		expect->probe = probe;
		expect->expect.on_event = on_expect;
		if (!agent_expect_start(agents, pod_uids[i], &expect->expect, source,
			    container_port, probe->protocol))
			continue;
		probe->awaited++;
		probe->alive++;
	}
}

struct probe *probe_start(struct agents *agents, const char *const *pod_uids, size_t count,
	const struct ip_endpoint *target, uint16_t container_port, int protocol, probe_fn on_done,
	void *user)
{
	struct probe *probe = XNEW(struct probe);
	struct ip_endpoint source = {.port = 0};
	char text[ADDR_TEXT_BYTES];
	int r;

	probe->target = *target;
	probe->protocol = protocol;
	probe->fd = -1;
	probe->expects = xcalloc(MAX(count, (size_t)1), sizeof(*probe->expects));
	probe->expect_count = count;
	probe->deadline_ms = uv_now(agents->loop) + PROBER_MS;
	probe->on_done = on_done;
	probe->user = user;
	probe->open_handles = 1;
	(void)uv_timer_init(agents->loop, &probe->timer);
	probe->timer.data = probe;
	r = open_socket(probe, &source);
	if (r < 0) {
		finish(probe,
			err_set_errno(&probe->err, r, "probe of %s", target_text(probe, text)));
		return probe;
	}
	probe->fd = r;
	probe->open_handles++;
	/* A socket that was just opened is pollable. */
	(void)uv_poll_init(agents->loop, &probe->poll, probe->fd);
	probe->poll.data = probe;
	(void)uv_timer_start(&probe->timer, on_timeout, PROBER_MS, 0);
	announce(probe, agents, pod_uids, &source, container_port);
	if (probe->alive == 0)
		no_agent(probe);
	return probe;
}

void probe_cancel(struct probe *probe)
{
	if (!probe || uv_is_closing((uv_handle_t *)&probe->timer))
		return;
	stop_expects(probe);
	close_socket(probe);
	uv_close((uv_handle_t *)&probe->timer, on_handle_closed);
}

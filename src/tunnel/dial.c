/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/dial.c - states of a dial
 *
 *   RESOLVING -> CONNECTING -> DONE     names
 *                CONNECTING -> DONE     literals; again for each further address of a name
 * DONE is entered once, by dial_finish(), for success, failure, deadline and a stream that ended.
 * From there the dial only waits for its handles' close callbacks and for a getaddrinfo that could
 * not be cancelled, then frees itself. `stream` and `relay` are NULL as soon as they are not ours.
 */
#include "tunnel/dial.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "core/log.h"
#include "tunnel/errqueue.h"
#include "tunnel/reply.h"
#include "tunnel/relay.h"

/* Addresses of one name that are tried. */
#define DIAL_MAX_ADDRESSES 8

enum dial_state { DIAL_RESOLVING, DIAL_CONNECTING, DIAL_DONE };

struct dial {
	enum dial_state state;
	const struct dial_env *env;
	struct dials *dials;
	struct dial *prev, *next; /* in them, until DONE */
	struct h2_stream *stream;
	struct relay *relay;
	struct target target;
	bool trusted; /* the target is not the peer's: no policy */
	struct ip_endpoint addresses[DIAL_MAX_ADDRESSES];
	unsigned int address_count, address_next;
	int fd;
	uv_poll_t *poll; /* of the current address, or NULL; each address has one of its own, */
	uv_poll_t polls[DIAL_MAX_ADDRESSES]; /* since closing one takes a turn of the loop */
	uv_timer_t deadline;
	uv_getaddrinfo_t resolve;
	unsigned int pending; /* close callbacks and a running getaddrinfo */
};

/* Recursion through the loop: a failed connect tries the next address. */
static void try_next(struct dial *dial, enum reason last);

static void unpend(struct dial *dial)
{
	if (--dial->pending == 0)
		free(dial);
}

static void on_handle_closed(uv_handle_t *handle)
{
	unpend(handle->data);
}

static void stop_polling(struct dial *dial)
{
	if (dial->poll)
		uv_close((uv_handle_t *)TAKE_PTR(dial->poll), on_handle_closed);
}

static void drop_socket(struct dial *dial)
{
	stop_polling(dial);
	if (dial->fd >= 0)
		close(take_fd(&dial->fd));
}

/* Enters DONE. The caller has disposed of stream and relay. */
static void dial_finish(struct dial *dial)
{
	dial->state = DIAL_DONE;
	/* The analyzer does not see that the dial is in the list until here.
	 * NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	DL_DELETE(dial->dials->oldest, dial);
	dial->dials->count--;
	drop_socket(dial);
	(void)uv_cancel((uv_req_t *)&dial->resolve);
	uv_close((uv_handle_t *)&dial->deadline, on_handle_closed);
}

/* The stream went first; the relay frees itself. */
static void on_cancel(void *user)
{
	struct dial *dial = user;

	dial->stream = NULL;
	dial->relay = NULL;
	dial_finish(dial);
}

static void on_unused(void *user UNUSED)
{
}

static void dial_fail(struct dial *dial, enum reason reason)
{
	log_debug("dial failed", "host=%s port=%u reason=%s", dial->target.host, dial->target.port,
		reason_name(reason));
	reply_reason(TAKE_PTR(dial->stream), reason);
	/* The relay loses its stream and, without a socket, goes. */
	relay_set_cancel(dial->relay, on_unused, NULL);
	relay_events.on_close(TAKE_PTR(dial->relay), 0);
	dial_finish(dial);
}

static void dial_succeed(struct dial *dial)
{
	struct h2_stream *stream = TAKE_PTR(dial->stream);
	struct relay *relay = TAKE_PTR(dial->relay);
	int fd = take_fd(&dial->fd);

	stop_polling(dial);
	dial_finish(dial);
	h2_respond(stream, 200, NULL, 0, true);
	if (relay_start(relay, fd, NULL, NULL) < 0)
		log_debug("relay not started", "fd=%d", fd);
}

enum reason dial_reason(int code)
{
	switch (code < 0 ? -code : code) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return REASON_OVERLOADED;
	default:
		return reason_from_errno(code);
	}
}

/* libuv's status only says that the socket has an error (UV_EBADF for any): it knows which. */
static void on_writable(uv_poll_t *poll, int status, int events UNUSED)
{
	struct dial *dial = poll->data;
	int code = 0;
	socklen_t len = sizeof(code);

	if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
		code = errno;
	if (code == 0 && status < 0)
		code = EIO;
	if (code == 0) {
		dial_succeed(dial);
		return;
	}
	code = errqueue_errno(dial->fd, code);
	drop_socket(dial);
	try_next(dial, dial_reason(code));
}

static int watch_socket(struct dial *dial, uv_poll_t *poll)
{
	int r = uv_poll_init(dial->env->loop, poll, dial->fd);

	if (r < 0)
		return r;
	poll->data = dial;
	dial->poll = poll;
	dial->pending++;
	return uv_poll_start(poll, UV_WRITABLE, on_writable);
}

/* 1: connected; 0: on_writable() follows. */
static int connect_to(struct dial *dial, const struct ip_endpoint *endpoint, uv_poll_t *poll)
{
	int r = outgoing_connect(
		&dial->dials->outgoing, endpoint, uv_now(dial->env->loop), &dial->fd);

	return r == 0 ? watch_socket(dial, poll) : r;
}

static bool allowed(const struct dial *dial, const struct ip_endpoint *endpoint)
{
	const struct dial_env *env = dial->env;

	if (!dial->trusted)
		return target_allowed(&env->policy, endpoint);
	return !env->refuses || !env->refuses(env->user, &endpoint->addr);
}

/* Takes the next address that leads to a connection, or to one in progress; `last` is the answer
 * when none does. */
static void try_next(struct dial *dial, enum reason last)
{
	while (dial->address_next < dial->address_count) {
		unsigned int i = dial->address_next++;
		int r;

		if (!allowed(dial, &dial->addresses[i])) {
			last = REASON_FORBIDDEN;
			continue;
		}
		r = connect_to(dial, &dial->addresses[i], &dial->polls[i]);
		if (r > 0)
			dial_succeed(dial);
		if (r >= 0)
			return;
		last = dial_reason(r);
		drop_socket(dial);
	}
	dial_fail(dial, last);
}

static enum reason reason_of_resolve(int status)
{
	switch (status) {
	case UV_EAI_NONAME:
	case UV_EAI_NODATA:
	case UV_EAI_ADDRFAMILY:
		return REASON_NAME_NOT_FOUND;
	case UV_EAI_MEMORY:
		return REASON_OVERLOADED;
	default:
		return REASON_INTERNAL;
	}
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct dial *dial = container_of(req, struct dial, resolve);

	for (struct addrinfo *ai = list; ai && dial->address_count < DIAL_MAX_ADDRESSES;
		ai = ai->ai_next) {
		struct ip_endpoint *endpoint = &dial->addresses[dial->address_count];

		if (ip_endpoint_from_sockaddr(ai->ai_addr, endpoint) < 0)
			continue;
		endpoint->port = dial->target.port;
		dial->address_count++;
	}
	uv_freeaddrinfo(list);
	if (dial->state == DIAL_RESOLVING) {
		dial->state = DIAL_CONNECTING;
		try_next(dial, status < 0 ? reason_of_resolve(status) : REASON_NAME_NOT_FOUND);
	}
	unpend(dial);
}

static void resolve(struct dial *dial)
{
	/* "localhost" is ::1 too on a laptop whose network has no IPv6. */
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = dial->trusted ? 0 : AI_ADDRCONFIG};
	int r = uv_getaddrinfo(
		dial->env->loop, &dial->resolve, on_resolved, dial->target.host, NULL, &hints);

	if (r < 0) {
		dial_fail(dial, REASON_OVERLOADED);
		return;
	}
	dial->pending++;
}

static void on_deadline(uv_timer_t *timer)
{
	struct dial *dial = timer->data;

	dial_fail(dial, REASON_TIMED_OUT);
}

static struct dial *dial_new(const struct dial_env *env, struct dials *dials,
	struct h2_stream *stream, const struct target *target)
{
	struct dial *dial = XNEW(struct dial);

	dial->env = env;
	dial->dials = dials;
	dial->stream = stream;
	dial->target = *target;
	dial->fd = -1;
	dial->relay = relay_new(env->loop);
	relay_set_stream(dial->relay, stream);
	relay_set_cancel(dial->relay, on_cancel, dial);
	(void)uv_timer_init(env->loop, &dial->deadline);
	dial->deadline.data = dial;
	dial->pending = 1;
	(void)uv_timer_start(&dial->deadline, on_deadline, LIMIT_DIAL_MS, 0);
	DL_APPEND(dials->oldest, dial);
	dials->count++;
	h2_stream_set_events(stream, &relay_events, dial->relay);
	return dial;
}

static void add_address(struct dial *dial, const struct ip_addr *addr)
{
	dial->addresses[dial->address_count++] =
		(struct ip_endpoint){.addr = *addr, .port = dial->target.port};
}

/* Both, whatever the machine's files say (RFC 6761, 6.3): many know it as 127.0.0.1 only, and a
 * program may listen on ::1 only. */
static void add_loopbacks(struct dial *dial)
{
	static const struct ip_addr both[] = {{.family = AF_INET, .bytes = {127, 0, 0, 1}},
		{.family = AF_INET6, .bytes = {[15] = 1}}};

	static_assert(DIAL_MAX_ADDRESSES >= ARRAY_SIZE(both), "room for both");
	for (size_t i = 0; i < ARRAY_SIZE(both); i++)
		add_address(dial, &both[i]);
}

static void start(const struct dial_env *env, struct dials *dials, struct h2_stream *stream,
	const struct target *target, bool trusted)
{
	struct dial *dial;

	if (dials->count >= DIAL_MAX_PER_PEER)
		dial_fail(dials->oldest, REASON_TIMED_OUT);
	dial = dial_new(env, dials, stream, target);
	dial->trusted = trusted;
	if (target->addr.family)
		add_address(dial, &target->addr);
	else if (trusted && strcasecmp(target->host, "localhost") == 0)
		add_loopbacks(dial);
	if (dial->address_count == 0) {
		dial->state = DIAL_RESOLVING;
		resolve(dial);
		return;
	}
	dial->state = DIAL_CONNECTING;
	try_next(dial, REASON_INTERNAL);
}

void dial_start(const struct dial_env *env, struct dials *dials, struct h2_stream *stream,
	const struct h2_head *head)
{
	struct target target;

	if (target_parse(head->authority, &target) < 0)
		reply_status(stream, 400);
	else
		start(env, dials, stream, &target, false);
}

void dial_host(const struct dial_env *env, struct dials *dials, struct h2_stream *stream,
	const char *host, uint16_t port)
{
	struct target target;

	if (target_from_host(host, port, &target) < 0)
		reply_reason(stream, REASON_NAME_NOT_FOUND);
	else
		start(env, dials, stream, &target, true);
}

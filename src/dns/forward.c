/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/forward.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "dns/exchange.h"
#include "dns/message.h"

#define RETRY_MS    2000
#define MAX_SERVERS 16
/* Exchanges of one message that may be under way: the first, and the retry beside it. */
#define TRIES 2

struct dns_forward {
	struct dns_forwarder *forwarder;
	struct dns_forward *prev, *next;
	uv_timer_t timer;
	struct dns_exchange *tries[TRIES];
	const struct ip_endpoint *servers[TRIES]; /* of the exchanges */
	unsigned int next_server; /* not tried yet from here on */
	bool retried, tcp;
	int last_error;
	uint8_t *msg;
	size_t len;
	dns_forward_fn on_done;
	void *user;
};

struct dns_forwarder {
	uv_loop_t *loop;
	struct ip_endpoint servers[MAX_SERVERS];
	unsigned int server_count, in_flight;
	bool pass_truncated;
	int (*socket)(void *user, int family, int type);
	void *user;
	struct dns_forward *forwards;
};

static int plain_socket(void *user, int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	(void)user;
	return fd < 0 ? -errno : fd;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct dns_forward *forward = handle->data;

	free(forward->msg);
	free(forward);
}

static void cancel_tries(struct dns_forward *forward)
{
	for (unsigned int i = 0; i < TRIES; i++) {
		if (forward->tries[i])
			dns_exchange_cancel(forward->tries[i]);
		forward->tries[i] = NULL;
	}
}

void dns_forward_cancel(struct dns_forward *forward)
{
	struct dns_forwarder *forwarder = forward->forwarder;

	cancel_tries(forward);
	DL_DELETE(forwarder->forwards, forward);
	forwarder->in_flight--;
	uv_close((uv_handle_t *)&forward->timer, on_timer_closed);
}

static void finish(struct dns_forward *forward, int r, const uint8_t *msg, size_t len)
{
	dns_forward_fn on_done = forward->on_done;
	void *user = forward->user;

	dns_forward_cancel(forward);
	on_done(user, r, msg, len);
}

static void on_exchange(
	void *user, struct dns_exchange *exchange, int r, const uint8_t *msg, size_t len);

/* One exchange in slot `slot` with this server. */
static int try_server(
	struct dns_forward *forward, unsigned int slot, const struct ip_endpoint *server, bool tcp)
{
	const struct dns_forwarder *forwarder = forward->forwarder;
	int fd = forwarder->socket(
		forwarder->user, server->addr.family, tcp ? SOCK_STREAM : SOCK_DGRAM);
	int r = fd;

	if (fd >= 0)
		r = dns_exchange_start(forwarder->loop, fd, tcp, server, forward->msg, forward->len,
			on_exchange, forward, &forward->tries[slot]);
	if (r >= 0)
		forward->servers[slot] = server;
	return r < 0 ? r : 0;
}

/* The servers that were not asked yet, until one can be sent to. */
static int try_next(struct dns_forward *forward, unsigned int slot)
{
	const struct dns_forwarder *forwarder = forward->forwarder;
	int r = -ENOENT;

	while (forward->next_server < forwarder->server_count) {
		const struct ip_endpoint *server = &forwarder->servers[forward->next_server++];

		r = try_server(forward, slot, server, forward->tcp);
		if (r == 0)
			return 0;
		forward->last_error = r;
	}
	return r;
}

static void on_exchange(
	void *user, struct dns_exchange *exchange, int r, const uint8_t *msg, size_t len)
{
	struct dns_forward *forward = user;
	unsigned int slot = forward->tries[0] == exchange ? 0 : 1;

	forward->tries[slot] = NULL;
	if (r == 0 && !dns_exchange_is_tcp(exchange) && dns_is_truncated(msg, len) &&
		!forward->forwarder->pass_truncated) {
		r = try_server(forward, slot, forward->servers[slot], true);
		if (r == 0)
			return;
	} else if (r == 0) {
		finish(forward, 0, msg, len);
		return;
	}
	forward->last_error = r;
	if (try_next(forward, slot) == 0)
		return;
	/* The other one may still bring an answer. */
	if (!forward->tries[0] && !forward->tries[1])
		finish(forward, forward->last_error, NULL, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct dns_forward *forward = timer->data;
	const struct ip_endpoint *server;
	unsigned int slot;

	if (forward->retried) {
		finish(forward, -ETIMEDOUT, NULL, 0);
		return;
	}
	forward->retried = true;
	(void)uv_timer_start(timer, on_timer, LIMIT_DNS_TIMEOUT_MS - RETRY_MS, 0);
	/* A stream repeats by itself what was lost. */
	if (forward->tcp)
		return;
	slot = forward->tries[0] ? 1 : 0;
	server = forward->servers[1 - slot];
	if (try_next(forward, slot) < 0)
		(void)try_server(forward, slot, server, false);
}

int dns_forward(struct dns_forwarder *forwarder, const uint8_t *msg, size_t len, bool prefer_tcp,
	dns_forward_fn on_done, void *user, struct dns_forward **ret_forward)
{
	struct dns_forward *forward;
	int r;

	if (len < DNS_HEADER_BYTES || len > LIMIT_DNS_MESSAGE_BYTES)
		return -EBADMSG;
	if (forwarder->in_flight >= LIMIT_DNS_INFLIGHT)
		return -ENOBUFS;
	forward = XNEW(struct dns_forward);
	forward->forwarder = forwarder;
	forward->tcp = prefer_tcp;
	forward->msg = xcalloc(1, len);
	memcpy(forward->msg, msg, len);
	forward->len = len;
	forward->on_done = on_done;
	forward->user = user;
	(void)uv_timer_init(forwarder->loop, &forward->timer);
	forward->timer.data = forward;
	DL_APPEND(forwarder->forwards, forward);
	forwarder->in_flight++;
	r = try_next(forward, 0);
	if (r < 0) {
		dns_forward_cancel(forward);
		return r;
	}
	(void)uv_timer_start(&forward->timer, on_timer, RETRY_MS, 0);
	if (ret_forward)
		*ret_forward = forward;
	return 0;
}

void dns_forwarder_set_servers(struct dns_forwarder *forwarder, const struct ip_endpoint *servers,
	unsigned int server_count)
{
	assert(server_count > 0 && server_count <= MAX_SERVERS);
	memcpy(forwarder->servers, servers, server_count * sizeof(*servers));
	forwarder->server_count = server_count;
}

int dns_forwarder_new(uv_loop_t *loop, const struct dns_forwarder_config *config,
	struct dns_forwarder **ret_forwarder, struct err *err)
{
	struct dns_forwarder *forwarder;

	if (config->server_count == 0 || config->server_count > MAX_SERVERS)
		return err_set(err, -EINVAL, ERR_CONFIG, "%u nameservers, wanted 1 to %d",
			config->server_count, MAX_SERVERS);
	forwarder = XNEW(struct dns_forwarder);
	forwarder->loop = loop;
	dns_forwarder_set_servers(forwarder, config->servers, config->server_count);
	forwarder->pass_truncated = config->pass_truncated;
	forwarder->socket = config->socket ? config->socket : plain_socket;
	forwarder->user = config->user;
	*ret_forwarder = forwarder;
	return 0;
}

void dns_forwarder_free(struct dns_forwarder *forwarder)
{
	if (!forwarder)
		return;
	while (forwarder->forwards)
		dns_forward_cancel(forwarder->forwards);
	free(forwarder);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolver.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "core/log.h"
#include "dns/forward.h"
#include "dns/listen.h"
#include "dns/lookup.h"
#include "dns/message.h"
#include "dns/names.h"

/* One message of a client, until it is answered. */
struct request {
	struct request *prev, *next;
	struct dns_resolver *resolver;
	struct dns_peer *peer;
	enum dns_verdict verdict;
	bool cluster_failed; /* the cluster could not say whether the name is its own */
	struct dns_waiter waiter;
	struct dns_forward *forward;
	uint8_t *msg;
	size_t len;
};

struct dns_resolver {
	struct dns_events events;
	void *user;
	struct dns_names *names;
	struct dns_listener *listener;
	struct dns_forwarder *forwarder;
	struct dns_lookups *lookups;
	struct request *requests;
	unsigned int request_count;
	struct dns_counters counters;
};

static void request_free(struct request *request)
{
	DL_DELETE(request->resolver->requests, request);
	request->resolver->request_count--;
	free(request->msg);
	free(request);
}

static void reply(struct request *request, const uint8_t *msg, size_t len)
{
	dns_peer_reply(request->peer, msg, len);
	request_free(request);
}

static void reply_error(struct request *request, enum dns_rcode rcode)
{
	size_t len = 0;
	auto_free uint8_t *msg = dns_error_reply(request->msg, request->len, rcode, &len);

	if (rcode == DNS_SERVFAIL)
		request->resolver->counters.failed++;
	reply(request, msg, len);
}

static void on_forwarded(void *user, int r, const uint8_t *msg, size_t len)
{
	struct request *request = user;

	request->forward = NULL;
	/* "Does not exist" would be believed, also of a service behind a tunnel that is away. */
	if (r == 0 && request->cluster_failed && dns_rcode_of(msg, len) == DNS_NXDOMAIN)
		r = -EAGAIN;
	if (r == 0)
		reply(request, msg, len);
	else
		reply_error(request, DNS_SERVFAIL);
}

static void forward(struct request *request)
{
	struct dns_resolver *resolver = request->resolver;
	int r = dns_forward(resolver->forwarder, request->msg, request->len,
		dns_peer_is_tcp(request->peer), on_forwarded, request, &request->forward);

	resolver->counters.forwarded++;
	if (r < 0) {
		log_debug("DNS query not forwarded", "error=%s", strerror(-r));
		reply_error(request, DNS_SERVFAIL);
	}
}

static void on_looked_up(
	void *user, const uint8_t *msg, size_t len, const struct dns_answer_facts *facts)
{
	struct request *request = user;
	bool known = facts && (facts->rcode == DNS_NOERROR || facts->rcode == DNS_NXDOMAIN);
	auto_free uint8_t *answer = NULL;
	size_t answer_len = 0;

	if (request->verdict == DNS_CLUSTER_FIRST && (!known || facts->rcode == DNS_NXDOMAIN)) {
		request->cluster_failed = !known;
		forward(request);
		return;
	}
	if (msg)
		answer = dns_cluster_answer(request->msg, request->len, msg, len,
			!dns_peer_is_tcp(request->peer), &answer_len);
	if (answer)
		reply(request, answer, answer_len);
	else
		reply_error(request, DNS_SERVFAIL);
}

static void ask_cluster(struct request *request, const char *name, uint16_t type)
{
	struct dns_resolver *resolver = request->resolver;
	int r;

	resolver->counters.cluster++;
	request->waiter.on_done = on_looked_up;
	request->waiter.user = request;
	r = dns_lookup(resolver->lookups, name, type, &request->waiter);
	if (r > 0)
		resolver->counters.answered_cache++;
	if (r < 0)
		on_looked_up(request, NULL, 0, NULL);
}

static void judge(struct request *request)
{
	struct dns_question question;
	char full[DNS_NAME_BYTES];
	int r = dns_question_parse(request->msg, request->len, &question);

	if (r == -EBADMSG) {
		reply_error(request, DNS_FORMERR);
		return;
	}
	if (r == 0 && question.plain)
		request->verdict = dns_names_judge(request->resolver->names, question.name, full);
	switch (request->verdict) {
	case DNS_UPSTREAM:
		forward(request);
		break;
	case DNS_REFUSE:
		request->resolver->counters.refused++;
		reply_error(request, DNS_NXDOMAIN);
		break;
	case DNS_CLUSTER:
	case DNS_CLUSTER_FIRST:
		ask_cluster(request, full, question.type);
		break;
	}
}

static void on_message(void *user, struct dns_peer *peer, const uint8_t *msg, size_t len)
{
	struct dns_resolver *resolver = user;
	struct request *request;

	if (!dns_is_query(msg, len)) {
		dns_peer_reply(peer, NULL, 0);
		return;
	}
	resolver->counters.queries++;
	request = XNEW(struct request);
	request->resolver = resolver;
	request->peer = peer;
	request->verdict = DNS_UPSTREAM;
	request->msg = xcalloc(1, len);
	memcpy(request->msg, msg, len);
	request->len = len;
	DL_APPEND(resolver->requests, request);
	resolver->request_count++;
	if (resolver->request_count > LIMIT_DNS_INFLIGHT)
		reply_error(request, DNS_SERVFAIL);
	else
		judge(request);
}

static int upstream_socket(void *user, int family, int type)
{
	struct dns_resolver *resolver = user;

	return resolver->events.upstream_socket(resolver->user, family, type);
}

static int send_query(void *user, struct dns_query *query, const uint8_t *msg, size_t len)
{
	struct dns_resolver *resolver = user;

	return resolver->events.query(resolver->user, query, msg, len);
}

int dns_resolver_new(uv_loop_t *loop, const struct dns_config *config,
	const struct dns_events *events, void *user, struct dns_resolver **ret_resolver,
	struct err *err)
{
	struct dns_resolver *resolver = XNEW(struct dns_resolver);
	/* The others are not redirected: programs ask them as before. */
	struct dns_forwarder_config upstream = {
		.servers = config->nameservers,
		.server_count = MIN(config->nameserver_count, 1U),
		.socket = upstream_socket,
		.user = resolver,
		.pass_truncated = true,
	};
	int r;

	resolver->events = *events;
	resolver->user = user;
	r = dns_forwarder_new(loop, &upstream, &resolver->forwarder, err);
	if (r == 0)
		r = dns_listener_new(loop, on_message, resolver, &resolver->listener, err);
	if (r < 0) {
		dns_forwarder_free(resolver->forwarder);
		free(resolver);
		return r;
	}
	resolver->names = dns_names_new(config->cluster_domain, config->namespace);
	resolver->lookups = dns_lookups_new(loop, send_query, resolver);
	*ret_resolver = resolver;
	return 0;
}

void dns_resolver_free(struct dns_resolver *resolver)
{
	struct request *request, *next;

	if (!resolver)
		return;
	for (request = resolver->requests; request; request = next) {
		next = request->next;
		dns_lookup_cancel(&request->waiter);
		if (request->forward)
			dns_forward_cancel(request->forward);
		reply(request, NULL, 0);
	}
	dns_listener_free(resolver->listener);
	dns_lookups_free(resolver->lookups);
	dns_forwarder_free(resolver->forwarder);
	dns_names_free(resolver->names);
	free(resolver);
}

uint16_t dns_resolver_port(const struct dns_resolver *resolver)
{
	return dns_listener_port(resolver->listener);
}

void dns_resolver_set_cluster(struct dns_resolver *resolver, const char *cluster_domain,
	const char *const *namespaces, size_t count)
{
	dns_names_set_cluster(resolver->names, cluster_domain, namespaces, count);
}

void dns_resolver_set_subnets(
	struct dns_resolver *resolver, const struct ip_prefix *subnets, size_t count)
{
	dns_names_set_subnets(resolver->names, subnets, count);
}

const struct dns_counters *dns_resolver_counters(const struct dns_resolver *resolver)
{
	return &resolver->counters;
}

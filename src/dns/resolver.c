/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolver.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "core/log.h"
#include "dns/forward.h"
#include "dns/lines.h"
#include "dns/listen.h"
#include "dns/lookup.h"
#include "dns/message.h"
#include "dns/names.h"
#include "dns/search.h"

/* One message of a client, until it is answered. */
struct request {
	struct request *prev, *next;
	struct dns_resolver *resolver;
	struct dns_forwarder *forwarder; /* where it goes on to; borrowed */
	struct dns_peer *peer;
	struct dns_judgement judgement;
	bool retried; /* what it stands for was asked again, by TCP */
	bool cluster_failed; /* the cluster could not say whether the name is its own */
	struct dns_search search; /* its type is the question's */
	struct dns_forward *forward;
	uint8_t *msg;
	size_t len;
};

struct dns_resolver {
	struct dns_events events;
	void *user;
	struct dns_names *names;
	struct dns_lines *lines;
	struct dns_lookups *lookups;
	struct request *requests;
	struct dns_counters counters;
	char probe[DNS_NAME_BYTES]; /* of the check for loops; "" before it */
	struct dns_forward *probing;
};

static void request_free(struct request *request)
{
	DL_DELETE(request->resolver->requests, request);
	request->resolver->counters.waiting--;
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

static const char *alias_of(const struct request *request)
{
	return request->judgement.mapped ? request->judgement.alias : NULL;
}

/* Another message than the client's: of the cluster, or about what the name stands for. */
static void reply_rewritten(
	struct request *request, const uint8_t *msg, size_t len, enum dns_rcode otherwise)
{
	auto_free uint8_t *answer = NULL;
	size_t answer_len = 0;

	if (msg)
		answer = dns_cluster_answer(request->msg, request->len, alias_of(request), msg, len,
			!dns_peer_is_tcp(request->peer), &answer_len);
	if (answer)
		reply(request, answer, answer_len);
	else
		reply_error(request, otherwise);
}

static void forward(struct request *request);

static void on_forwarded(void *user, int r, const uint8_t *msg, size_t len)
{
	struct request *request = user;

	request->forward = NULL;
	/* "Does not exist" would be believed, also of a service behind a tunnel that is away. */
	if (r == 0 && request->cluster_failed && dns_rcode_of(msg, len) == DNS_NXDOMAIN)
		r = -EAGAIN;
	if (r < 0) {
		reply_error(request, DNS_SERVFAIL);
	} else if (!alias_of(request)) {
		reply(request, msg, len);
	} else if (dns_is_truncated(msg, len) && !request->retried) {
		request->retried = true;
		forward(request);
	} else {
		reply_rewritten(request, msg, len, DNS_SERVFAIL);
	}
}

/*
 * Whether this question is under way so often that somebody must be sending us our own: a
 * nameserver that forwards to this machine. Each round has a message of its own, so what shows is
 * their number; programs that ask the same at the same time are fewer.
 */
static bool is_loop(const struct request *request)
{
	const struct dns_resolver *resolver = request->resolver;
	const struct request *other;
	struct dns_question question;
	unsigned int same = 0;

	if (resolver->counters.waiting < LIMIT_DNS_SAME ||
		dns_question_parse(request->msg, request->len, &question) < 0)
		return false;
	DL_FOREACH (resolver->requests, other)
		same += other->forward && other->len >= question.end &&
			memcmp(other->msg + DNS_HEADER_BYTES, request->msg + DNS_HEADER_BYTES,
				question.end - DNS_HEADER_BYTES) == 0;
	return same >= LIMIT_DNS_SAME;
}

static void refuse_loop(struct request *request)
{
	if (request->resolver->counters.loops++ == 0)
		log_warn("DNS queries come back: the nameserver forwards to this machine",
			"under_way=%lu", (unsigned long)request->resolver->counters.waiting);
	reply_error(request, DNS_SERVFAIL);
}

static void forward(struct request *request)
{
	struct dns_resolver *resolver = request->resolver;
	const char *alias = alias_of(request);
	auto_free uint8_t *own = NULL;
	const uint8_t *msg = request->msg;
	size_t len = request->len;
	int r;

	if (is_loop(request)) {
		refuse_loop(request);
		return;
	}
	if (alias) {
		own = dns_cluster_query(alias, request->search.type, &len);
		msg = own;
	}
	r = msg ? dns_forward(request->forwarder, msg, len,
			  dns_peer_is_tcp(request->peer) || request->retried, on_forwarded, request,
			  &request->forward)
		: -EINVAL;
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

	if (request->judgement.verdict == DNS_CLUSTER_FIRST &&
		(!known || facts->rcode == DNS_NXDOMAIN)) {
		request->cluster_failed = !known;
		forward(request);
		return;
	}
	/* The cluster's message has been read already: then it is the client's that cannot be. */
	reply_rewritten(request, msg, len, msg ? DNS_FORMERR : DNS_SERVFAIL);
}

static void ask_cluster(struct request *request)
{
	struct dns_resolver *resolver = request->resolver;
	int r;

	resolver->counters.cluster++;
	r = dns_search_start(&request->search, resolver->lookups, resolver->names,
		&request->judgement, on_looked_up, request);
	if (r > 0)
		resolver->counters.answered_cache++;
	if (r < 0)
		on_looked_up(request, NULL, 0, NULL);
}

static void reply_fixed(struct request *request, const struct ip_addr *address)
{
	size_t len = 0;
	auto_free uint8_t *msg =
		dns_fixed_answer(request->msg, request->len, address, alias_of(request), &len);

	if (msg)
		reply(request, msg, len);
	else
		reply_error(request, DNS_SERVFAIL);
}

static void judge(struct request *request)
{
	struct dns_judgement *judgement = &request->judgement;
	struct dns_question question;
	int r = dns_question_parse(request->msg, request->len, &question);

	if (r == -EBADMSG) {
		reply_error(request, DNS_FORMERR);
		return;
	}
	if (r == 0 && request->resolver->probe[0] &&
		strcmp(question.name, request->resolver->probe) == 0) {
		refuse_loop(request);
		return;
	}
	if (r == 0 && question.plain)
		(void)dns_names_judge(request->resolver->names, question.name, judgement);
	request->search.type = r == 0 ? question.type : 0;
	/* The alias itself is asked for (RFC 1034 3.6.2). */
	if (judgement->mapped && request->search.type == DNS_TYPE_CNAME) {
		reply_fixed(request, NULL);
		return;
	}
	switch (judgement->verdict) {
	case DNS_UPSTREAM:
		forward(request);
		break;
	case DNS_REFUSE:
		request->resolver->counters.refused++;
		reply_error(request, DNS_NXDOMAIN);
		break;
	case DNS_FIXED:
		reply_fixed(request, &judgement->address);
		break;
	case DNS_CLUSTER:
	case DNS_CLUSTER_FIRST:
		/* RFC 6895 3.1: a type that no question has. */
		if (request->search.type == 0)
			reply_error(request, DNS_FORMERR);
		else
			ask_cluster(request);
		break;
	}
}

static void on_message(void *user, struct dns_forwarder *forwarder, struct dns_peer *peer,
	const uint8_t *msg, size_t len)
{
	struct dns_resolver *resolver = user;
	struct request *request;

	if (!dns_is_query(msg, len)) {
		resolver->counters.dropped++;
		dns_peer_reply(peer, NULL, 0);
		return;
	}
	resolver->counters.queries++;
	request = XNEW(struct request);
	request->resolver = resolver;
	request->forwarder = forwarder;
	request->peer = peer;
	request->msg = xcalloc(1, len);
	memcpy(request->msg, msg, len);
	request->len = len;
	DL_APPEND(resolver->requests, request);
	resolver->counters.waiting++;
	if (resolver->counters.waiting > LIMIT_DNS_INFLIGHT)
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
	static const struct dns_settings defaults;
	const struct dns_settings *settings = config->settings ? config->settings : &defaults;
	struct dns_resolver *resolver = XNEW(struct dns_resolver);
	const struct dns_lines_config lines = {.upstream = &config->upstream,
		.on_message = on_message,
		.socket = upstream_socket,
		.user = resolver};
	int r;

	resolver->events = *events;
	resolver->user = user;
	r = dns_lines_new(loop, &lines, &resolver->lines, err);
	if (r < 0) {
		free(resolver);
		return r;
	}
	resolver->names = dns_names_new(config->cluster_domain, config->namespace);
	dns_names_set_settings(resolver->names, settings);
	resolver->lookups =
		dns_lookups_new(loop, dns_settings_timeout_ms(settings), send_query, resolver);
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
		dns_search_cancel(&request->search);
		if (request->forward)
			dns_forward_cancel(request->forward);
		reply(request, NULL, 0);
	}
	dns_lines_free(resolver->lines);
	dns_lookups_free(resolver->lookups);
	dns_names_free(resolver->names);
	free(resolver);
}

static void on_probed(void *user, int r UNUSED, const uint8_t *msg UNUSED, size_t len UNUSED)
{
	struct dns_resolver *resolver = user;

	resolver->probing = NULL;
}

void dns_resolver_check_loop(struct dns_resolver *resolver)
{
	uint64_t random = 0;
	size_t len = 0;
	auto_free uint8_t *msg = NULL;

	if (resolver->probing || getrandom(&random, sizeof(random), 0) != sizeof(random))
		return;
	(void)snprintf(resolver->probe, sizeof(resolver->probe),
		"telepresence-loop-check-%016" PRIx64 ".kube-system", random);
	msg = dns_cluster_query(resolver->probe, DNS_TYPE_A, &len);
	if (!msg || dns_forward(dns_lines_forwarder(resolver->lines), msg, len, false, on_probed,
			    resolver, &resolver->probing) < 0)
		log_debug("no check for DNS loops", "reason=%s", "not sent");
}

uint16_t dns_resolver_port(const struct dns_resolver *resolver)
{
	return dns_lines_port(resolver->lines);
}

struct dns_names *dns_resolver_names(const struct dns_resolver *resolver)
{
	return resolver->names;
}

void dns_resolver_set_upstream(struct dns_resolver *resolver, const struct dns_upstream *upstream)
{
	dns_lines_set_upstream(resolver->lines, upstream);
}

void dns_resolver_forget(struct dns_resolver *resolver, const char *name)
{
	dns_lookups_forget(resolver->lookups, name);
}

const struct dns_counters *dns_resolver_counters(struct dns_resolver *resolver)
{
	resolver->counters.lost = dns_lines_lost(resolver->lines);
	return &resolver->counters;
}

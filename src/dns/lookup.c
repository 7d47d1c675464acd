/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/lookup.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* As in cache.c. */
#define HASH_FUNCTION(key, len, hash) HASH_OAT(key, len, hash)
#include <uthash.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "dns/cache.h"
#include "dns/resolver.h"

/* Some thousand answers. */
#define CACHE_BYTES (1024UL * 1024)
/* A service made anew has a new address: the next lookup a second later must see it. */
#define POSITIVE_MS 1000
#define NEGATIVE_MS 5000
#define KEY_BYTES   (DNS_NAME_BYTES + 6) /* "name/65535" */
/* In place of a type. A name that does not exist has none of them (RFC 8020). */
#define EVERY_TYPE 0

struct dns_query {
	UT_hash_handle hh;
	struct dns_query *prev, *next;
	struct dns_lookups *lookups; /* NULL: they were freed */
	bool expired; /* nobody waits, and a new one may have been started */
	bool outdated; /* asked before dns_lookups_forget(): its answer is not kept */
	uint64_t deadline_ms;
	char key[KEY_BYTES];
	uint8_t *msg;
	size_t len;
	struct dns_waiter *waiters;
};

struct dns_lookups {
	uv_loop_t *loop;
	uint32_t timeout_ms;
	uv_timer_t timer; /* runs while anything is under way; for the oldest */
	dns_send_fn send;
	void *user;
	struct dns_cache *cache;
	struct dns_query *by_key; /* neither the expired nor the outdated ones */
	struct dns_query *all; /* oldest first */
	unsigned int count;
};

static void call_waiters(struct dns_query *query, const uint8_t *msg, size_t len,
	const struct dns_answer_facts *facts)
{
	while (query->waiters) {
		struct dns_waiter *waiter = query->waiters;

		DL_DELETE(query->waiters, waiter);
		waiter->query = NULL;
		waiter->on_done(waiter->user, msg, len, facts);
	}
}

/* The next lookup of the same asks anew. */
static void forget_key(struct dns_query *query)
{
	if (!query->expired && !query->outdated)
		HASH_DELETE(hh, query->lookups->by_key, query);
}

static void arm_timer(struct dns_lookups *lookups);

static void on_timer(uv_timer_t *timer)
{
	struct dns_lookups *lookups = timer->data;
	struct dns_query *query, *next;

	for (query = lookups->all; query; query = next) {
		next = query->next;
		if (query->deadline_ms > uv_now(lookups->loop))
			break;
		if (query->expired)
			continue;
		forget_key(query);
		query->expired = true;
		call_waiters(query, NULL, 0, NULL);
	}
	arm_timer(lookups);
}

static void arm_timer(struct dns_lookups *lookups)
{
	const struct dns_query *query;
	uint64_t now = uv_now(lookups->loop);

	for (query = lookups->all; query; query = query->next) {
		if (query->expired)
			continue;
		(void)uv_timer_start(&lookups->timer, on_timer,
			query->deadline_ms > now ? query->deadline_ms - now : 0, 0);
		return;
	}
	(void)uv_timer_stop(&lookups->timer);
}

/* Takes it off its lookups; the memory stays. */
static void detach(struct dns_query *query)
{
	struct dns_lookups *lookups = query->lookups;

	assert(lookups);
	forget_key(query);
	query->expired = true;
	DL_DELETE(lookups->all, query);
	lookups->count--;
	query->lookups = NULL;
}

static void query_free(struct dns_query *query)
{
	free(query->msg);
	free(query);
}

static void make_key(char key[static KEY_BYTES], const char *name, uint16_t type)
{
	(void)snprintf(key, KEY_BYTES, "%.*s/%u", (int)strcspn(name, "/"), name, type);
}

/* -EBADMSG if the bytes do not answer the question. */
static int keep_answer(const struct dns_query *query, const uint8_t *msg, size_t len,
	struct dns_answer_facts *ret_facts)
{
	const struct dns_lookups *lookups = query->lookups;
	struct dns_answer_facts facts;
	char key[KEY_BYTES];
	uint64_t hold_ms;
	int r = dns_cluster_facts(query->msg, query->len, msg, len, &facts);

	if (r < 0)
		return r;
	*ret_facts = facts;
	(void)snprintf(key, sizeof(key), "%s", query->key);
	if (facts.absent)
		make_key(key, query->key, EVERY_TYPE);
	hold_ms = MIN((uint64_t)facts.ttl_s * 1000, facts.negative ? NEGATIVE_MS : POSITIVE_MS);
	if (hold_ms > 0 && !query->outdated &&
		(facts.rcode == DNS_NOERROR || facts.rcode == DNS_NXDOMAIN))
		dns_cache_put(
			lookups->cache, key, msg, len, &facts, uv_now(lookups->loop) + hold_ms);
	return 0;
}

void dns_query_answer(struct dns_query *query, const uint8_t *msg, size_t len)
{
	struct dns_lookups *lookups = query->lookups;
	struct dns_answer_facts facts = {.ttl_s = 0};

	if (lookups) {
		if (msg && keep_answer(query, msg, len, &facts) < 0)
			msg = NULL;
		detach(query);
		arm_timer(lookups);
		call_waiters(query, msg, msg ? len : 0, msg ? &facts : NULL);
	}
	query_free(query);
}

static int start_query(struct dns_lookups *lookups, const char *key, const char *name,
	uint16_t type, struct dns_waiter *waiter)
{
	struct dns_query *query;
	uint8_t *msg;
	size_t len = 0;
	int r;

	if (lookups->count >= LIMIT_DNS_INFLIGHT)
		return -ENOBUFS;
	msg = dns_cluster_query(name, type, &len);
	if (!msg)
		return -EINVAL;
	query = XNEW(struct dns_query);
	query->lookups = lookups;
	query->deadline_ms = uv_now(lookups->loop) + lookups->timeout_ms;
	(void)snprintf(query->key, sizeof(query->key), "%s", key);
	query->msg = msg;
	query->len = len;
	HASH_ADD_STR(lookups->by_key, key, query);
	DL_APPEND(lookups->all, query);
	lookups->count++;
	DL_APPEND(query->waiters, waiter);
	waiter->query = query;
	arm_timer(lookups);
	r = lookups->send(lookups->user, query, msg, len);
	if (r >= 0)
		return 0; /* the query may be gone already */
	query->waiters = NULL; /* it was alone */
	waiter->query = NULL;
	detach(query);
	query_free(query);
	arm_timer(lookups);
	return r;
}

int dns_lookup(
	struct dns_lookups *lookups, const char *name, uint16_t type, struct dns_waiter *waiter)
{
	struct dns_answer_facts facts;
	struct dns_query *query;
	char key[KEY_BYTES];
	const uint16_t types[] = {EVERY_TYPE, type}; /* the last key is the query's */
	const uint8_t *msg;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		make_key(key, name, types[i]);
		msg = dns_cache_get(lookups->cache, key, uv_now(lookups->loop), &len, &facts);
		if (!msg)
			continue;
		waiter->on_done(waiter->user, msg, len, &facts);
		return 1;
	}
	HASH_FIND_STR(lookups->by_key, key, query);
	if (!query)
		return start_query(lookups, key, name, type, waiter);
	DL_APPEND(query->waiters, waiter);
	waiter->query = query;
	return 0;
}

void dns_lookups_forget(struct dns_lookups *lookups, const char *name)
{
	struct dns_query *query = NULL;

	dns_cache_forget(lookups->cache, name);
	DL_FOREACH (lookups->all, query) {
		if (!dns_cache_key_under(query->key, name))
			continue;
		forget_key(query);
		query->outdated = true;
	}
}

void dns_lookup_cancel(struct dns_waiter *waiter)
{
	if (!waiter->query)
		return;
	DL_DELETE(waiter->query->waiters, waiter);
	waiter->query = NULL;
}

struct dns_lookups *dns_lookups_new(
	uv_loop_t *loop, uint32_t timeout_ms, dns_send_fn send, void *user)
{
	struct dns_lookups *lookups = XNEW(struct dns_lookups);

	lookups->loop = loop;
	lookups->timeout_ms = timeout_ms;
	lookups->send = send;
	lookups->user = user;
	lookups->cache = dns_cache_new(CACHE_BYTES);
	(void)uv_timer_init(loop, &lookups->timer);
	lookups->timer.data = lookups;
	return lookups;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void dns_lookups_free(struct dns_lookups *lookups)
{
	struct dns_query *query, *next;

	if (!lookups)
		return;
	for (query = lookups->all; query; query = next) {
		next = query->next;
		while (query->waiters)
			dns_lookup_cancel(query->waiters);
		detach(query);
	}
	dns_cache_free(lookups->cache);
	uv_close((uv_handle_t *)&lookups->timer, on_closed);
}

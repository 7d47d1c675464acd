/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/lookup.h - questions to the cluster: cached, and each asked once at a time
 *
 * A dns_query is one question under way; everybody who asks the same waits for it. Its owner is
 * whoever was handed it, until dns_query_answer(): one that ran out of time, or whose lookups were
 * freed, is kept until then and its answer is thrown away.
 */
#ifndef DNS_LOOKUP_H
#define DNS_LOOKUP_H

#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "dns/message.h"

struct dns_lookups;
struct dns_query;

/* As dns_events.query. */
typedef int (*dns_send_fn)(void *user, struct dns_query *query, const uint8_t *msg, size_t len);
/* msg NULL: failed. Otherwise msg is the answer to the full name's question. */
typedef void (*dns_lookup_fn)(
	void *user, const uint8_t *msg, size_t len, const struct dns_answer_facts *facts);

/* Embedded in whoever waits. */
struct dns_waiter {
	struct dns_waiter *prev, *next;
	struct dns_query *query; /* NULL: not waiting */
	dns_lookup_fn on_done;
	void *user;
};

NODISCARD struct dns_lookups *dns_lookups_new(
	uv_loop_t *loop, uint32_t timeout_ms, dns_send_fn send, void *user);
void dns_lookups_free(struct dns_lookups *lookups); /* no callback follows */
/*
 * 0: on_done was called or will be. 1: it was called, from the cache. -errno: it is not called.
 */
NODISCARD int dns_lookup(
	struct dns_lookups *lookups, const char *name, uint16_t type, struct dns_waiter *waiter);
/* What is known or under way about that name and names below it is asked anew by the next lookup;
 * NULL: about all. */
void dns_lookups_forget(struct dns_lookups *lookups, const char *name);
void dns_lookup_cancel(struct dns_waiter *waiter);

#endif /* DNS_LOOKUP_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/cache.h - answers of the cluster by question, for seconds
 *
 * A key is "NAME/TYPE". Bounded in bytes; the oldest make room. Time is the caller's, in
 * milliseconds.
 */
#ifndef DNS_CACHE_H
#define DNS_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "dns/message.h"

struct dns_cache;

NODISCARD struct dns_cache *dns_cache_new(size_t max_bytes);
void dns_cache_free(struct dns_cache *cache);
/* The answer or NULL; a view until the next call. */
NODISCARD const uint8_t *dns_cache_get(struct dns_cache *cache, const char *key, uint64_t now_ms,
	size_t *ret_len, struct dns_answer_facts *ret_facts);
/* Copies; replaces what is there. An answer larger than the cache is not kept. */
void dns_cache_put(struct dns_cache *cache, const char *key, const uint8_t *msg, size_t len,
	const struct dns_answer_facts *facts, uint64_t expiry_ms);
/* Drops every answer about that name and names below it; NULL: all. */
void dns_cache_forget(struct dns_cache *cache, const char *name);
/* Whether the key ("NAME/TYPE") is of that name or of one below it; name NULL: of any. */
bool dns_cache_key_under(const char *key, const char *name);
size_t dns_cache_bytes(const struct dns_cache *cache);

#endif /* DNS_CACHE_H */

/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/cache.h"

#include <string.h>

/* uthash's own choice falls through between cases, which clang cannot be told is meant. */
#define HASH_FUNCTION(key, len, hash) HASH_OAT(key, len, hash)
#include <uthash.h>

#include "core/alloc.h"

struct entry {
	UT_hash_handle hh;
	uint64_t expiry_ms;
	struct dns_answer_facts facts;
	char *key;
	uint8_t *msg;
	size_t len;
};

struct dns_cache {
	struct entry *entries; /* uthash keeps the order of insertion: the first is the oldest */
	size_t bytes, max_bytes;
};

static size_t entry_bytes(const struct entry *entry)
{
	return sizeof(*entry) + strlen(entry->key) + 1 + entry->len;
}

static void drop(struct dns_cache *cache, struct entry *entry)
{
	cache->bytes -= entry_bytes(entry);
	/* The analyzer does not see that this takes the entry out of its neighbours' links.
	 * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	HASH_DELETE(hh, cache->entries, entry);
	free(entry->key);
	free(entry->msg);
	free(entry);
}

/* Drops the oldest until what is left is that many bytes. */
static void make_room(struct dns_cache *cache, size_t bytes)
{
	struct entry *entry, *next;

	for (entry = cache->entries; entry && cache->bytes > bytes; entry = next) {
		next = entry->hh.next;
		drop(cache, entry);
	}
}

struct dns_cache *dns_cache_new(size_t max_bytes)
{
	struct dns_cache *cache = XNEW(struct dns_cache);

	cache->max_bytes = max_bytes;
	return cache;
}

void dns_cache_free(struct dns_cache *cache)
{
	if (!cache)
		return;
	make_room(cache, 0);
	free(cache);
}

const uint8_t *dns_cache_get(struct dns_cache *cache, const char *key, uint64_t now_ms,
	size_t *ret_len, struct dns_answer_facts *ret_facts)
{
	struct entry *entry;

	HASH_FIND_STR(cache->entries, key, entry);
	if (!entry)
		return NULL;
	if (entry->expiry_ms <= now_ms) {
		drop(cache, entry);
		return NULL;
	}
	*ret_len = entry->len;
	*ret_facts = entry->facts;
	return entry->msg;
}

void dns_cache_put(struct dns_cache *cache, const char *key, const uint8_t *msg, size_t len,
	const struct dns_answer_facts *facts, uint64_t expiry_ms)
{
	struct entry *entry;

	HASH_FIND_STR(cache->entries, key, entry);
	if (entry)
		drop(cache, entry);
	entry = XNEW(struct entry);
	entry->expiry_ms = expiry_ms;
	entry->facts = *facts;
	entry->key = xstrdup(key);
	entry->msg = xcalloc(1, len);
	memcpy(entry->msg, msg, len);
	entry->len = len;
	HASH_ADD_KEYPTR(hh, cache->entries, entry->key, strlen(entry->key), entry);
	cache->bytes += entry_bytes(entry);
	make_room(cache, cache->max_bytes);
}

bool dns_cache_key_under(const char *key, const char *name)
{
	size_t key_len = strcspn(key, "/"), len = name ? strlen(name) : 0;

	if (!name)
		return true;
	return len <= key_len && memcmp(key + key_len - len, name, len) == 0 &&
	       (len == key_len || key[key_len - len - 1] == '.');
}

void dns_cache_forget(struct dns_cache *cache, const char *name)
{
	struct entry *entry, *next;

	for (entry = cache->entries; entry; entry = next) {
		next = entry->hh.next;
		if (dns_cache_key_under(entry->key, name))
			drop(cache, entry);
	}
}

size_t dns_cache_bytes(const struct dns_cache *cache)
{
	return cache->bytes;
}

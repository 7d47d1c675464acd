/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/fragment.h"

#include <string.h>

#include "core/alloc.h"
#include "core/limits.h"
#include "net/addr.h"
#include "net/packet.h"

/* Before the payload, for the header that the whole packet gets. */
#define HEADER_BYTES  PACKET_IP6_HEADER
#define PAYLOAD_MAX   65535
#define PAYLOAD_FIRST 4096

/* Bytes start..end-1 of the payload are there. Sorted, with a hole between any two. */
struct run {
	uint32_t start, end;
};

struct flow_fragment_entry {
	struct ip_addr src, dst;
	uint32_t ident;
	uint8_t protocol;
	bool spoilt; /* without buffer; here to recognise what follows */
	uint64_t since_ms;
	uint32_t total; /* 0: the last piece is missing */
	uint32_t pieces;
	uint32_t run_count;
	struct run runs[LIMIT_FRAGMENT_RUNS];
	uint8_t *buffer; /* owns; HEADER_BYTES, then the payload */
	size_t capacity; /* of the payload */
};

static void spoil(struct flow_fragments *fragments, struct flow_fragment_entry *entry)
{
	fragments->dropped += entry->pieces;
	entry->pieces = 0;
	entry->spoilt = true;
	free(TAKE_PTR(entry->buffer));
}

static void remove_entry(struct flow_fragments *fragments, size_t index)
{
	struct flow_fragment_entry *entry = &fragments->entries[index];

	fragments->dropped += entry->pieces;
	free(entry->buffer);
	*entry = fragments->entries[--fragments->count];
}

void flow_fragments_done(struct flow_fragments *fragments)
{
	while (fragments->count > 0)
		remove_entry(fragments, fragments->count - 1);
	free(TAKE_PTR(fragments->entries));
	free(TAKE_PTR(fragments->whole));
}

bool flow_fragments_expire(struct flow_fragments *fragments, uint64_t now_ms)
{
	for (size_t i = fragments->count; i > 0; i--) {
		if (now_ms - fragments->entries[i - 1].since_ms >= LIMIT_FRAGMENT_MS)
			remove_entry(fragments, i - 1);
	}
	return fragments->count > 0;
}

static bool belongs(const struct flow_fragment_entry *entry, const struct packet_fragment *piece)
{
	return entry->ident == piece->ident && entry->protocol == piece->protocol &&
	       ip_addr_equal(&entry->src, &piece->src) && ip_addr_equal(&entry->dst, &piece->dst);
}

static size_t oldest(const struct flow_fragments *fragments)
{
	size_t found = 0;

	for (size_t i = 1; i < fragments->count; i++) {
		if (fragments->entries[i].since_ms < fragments->entries[found].since_ms)
			found = i;
	}
	return found;
}

/* The entry that the piece belongs to, made when there is none. */
static size_t find(
	struct flow_fragments *fragments, const struct packet_fragment *piece, uint64_t now_ms)
{
	for (size_t i = 0; i < fragments->count; i++) {
		if (belongs(&fragments->entries[i], piece))
			return i;
	}
	if (!fragments->entries)
		fragments->entries =
			xcalloc(LIMIT_FRAGMENT_DATAGRAMS, sizeof(struct flow_fragment_entry));
	if (fragments->count == LIMIT_FRAGMENT_DATAGRAMS)
		remove_entry(fragments, oldest(fragments));
	fragments->entries[fragments->count] = (struct flow_fragment_entry){
		.src = piece->src,
		.dst = piece->dst,
		.ident = piece->ident,
		.protocol = piece->protocol,
		.since_ms = now_ms,
	};
	return fragments->count++;
}

static bool make_room(struct flow_fragment_entry *entry, size_t need)
{
	size_t capacity = entry->capacity ? entry->capacity : PAYLOAD_FIRST;
	uint8_t *buffer;

	if (entry->buffer && need <= entry->capacity)
		return true;
	while (capacity < need)
		capacity *= 2;
	capacity = MIN(capacity, (size_t)PAYLOAD_MAX);
	buffer = realloc(entry->buffer, HEADER_BYTES + capacity);
	if (!buffer)
		return false;
	entry->buffer = buffer;
	entry->capacity = capacity;
	return true;
}

enum fit { FIT_NEW, FIT_DUPLICATE, FIT_BAD };

/* How the piece fits to what is there; *ret_at is the run that it goes before. */
static enum fit fit(const struct flow_fragment_entry *entry, const struct packet_fragment *piece,
	uint32_t *ret_at)
{
	uint32_t start = (uint32_t)piece->offset, end = (uint32_t)(piece->offset + piece->len);
	uint32_t known_end = entry->run_count ? entry->runs[entry->run_count - 1].end : 0;
	uint32_t at = 0;

	if (entry->total && (end > entry->total || (!piece->more && end != entry->total)))
		return FIT_BAD;
	if (!piece->more && known_end > end)
		return FIT_BAD;
	while (at < entry->run_count && entry->runs[at].end <= start)
		at++;
	*ret_at = at;
	if (at == entry->run_count || entry->runs[at].start >= end)
		return FIT_NEW;
	/* Repeated as it was: RFC 8200 4.5 lets that pass. */
	return entry->runs[at].start <= start && end <= entry->runs[at].end &&
			       memcmp(entry->buffer + HEADER_BYTES + start, piece->data,
				       piece->len) == 0
		       ? FIT_DUPLICATE
		       : FIT_BAD;
}

/* Notes start..end-1 before run `at`, joined with its neighbours. False: too many holes. */
static bool add_run(struct flow_fragment_entry *entry, uint32_t at, uint32_t start, uint32_t end)
{
	struct run *runs = entry->runs;
	bool before = at > 0 && runs[at - 1].end == start;
	bool after = at < entry->run_count && runs[at].start == end;

	if (before && after) {
		runs[at - 1].end = runs[at].end;
		memmove(&runs[at], &runs[at + 1], (--entry->run_count - at) * sizeof(*runs));
	} else if (before) {
		runs[at - 1].end = end;
	} else if (after) {
		runs[at].start = start;
	} else {
		if (entry->run_count == LIMIT_FRAGMENT_RUNS)
			return false;
		memmove(&runs[at + 1], &runs[at], (entry->run_count++ - at) * sizeof(*runs));
		runs[at] = (struct run){start, end};
	}
	return true;
}

static bool take(struct flow_fragment_entry *entry, const struct packet_fragment *piece)
{
	uint32_t start = (uint32_t)piece->offset, end = (uint32_t)(piece->offset + piece->len);
	uint32_t at = 0;
	enum fit how = fit(entry, piece, &at);

	if (how != FIT_NEW)
		return how == FIT_DUPLICATE;
	if (!make_room(entry, end) || !add_run(entry, at, start, end))
		return false;
	memcpy(entry->buffer + HEADER_BYTES + start, piece->data, piece->len);
	if (!piece->more)
		entry->total = end;
	return true;
}

static uint8_t *hand_out(struct flow_fragments *fragments, size_t index, size_t *ret_len)
{
	struct flow_fragment_entry *entry = &fragments->entries[index];
	size_t header = entry->src.family == AF_INET ? PACKET_IP4_HEADER : PACKET_IP6_HEADER;
	uint8_t *packet;

	fragments->whole = TAKE_PTR(entry->buffer);
	packet = fragments->whole + HEADER_BYTES - header;
	*ret_len = packet_put_ip(packet, &entry->src, &entry->dst, entry->protocol, entry->total) +
		   entry->total;
	entry->pieces = 0;
	remove_entry(fragments, index);
	return packet;
}

uint8_t *flow_fragments_add(struct flow_fragments *fragments, const struct packet_fragment *piece,
	uint64_t now_ms, size_t *ret_len)
{
	struct flow_fragment_entry *entry;
	size_t index;

	free(TAKE_PTR(fragments->whole));
	flow_fragments_expire(fragments, now_ms);
	index = find(fragments, piece, now_ms);
	entry = &fragments->entries[index];
	entry->pieces++;
	if (entry->spoilt || !take(entry, piece)) {
		spoil(fragments, entry);
		return NULL;
	}
	if (entry->total == 0 || entry->run_count != 1 || entry->runs[0].start != 0 ||
		entry->runs[0].end != entry->total)
		return NULL;
	return hand_out(fragments, index, ret_len);
}

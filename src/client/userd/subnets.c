/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/subnets.h"

#include <errno.h>
#include <string.h>

#include "core/err.h"

static bool covers(const struct ip_prefix *outer, const struct ip_prefix *inner)
{
	return outer->len <= inner->len && ip_prefix_contains(outer, &inner->addr);
}

int prefix_set_add(struct prefix_set *set, const struct ip_prefix *prefix, struct err *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->count; i++) {
		if (covers(&set->items[i], prefix))
			return 0;
	}
	for (size_t i = 0; i < set->count; i++) {
		if (!covers(prefix, &set->items[i]))
			set->items[kept++] = set->items[i];
	}
	set->count = kept;
	if (set->count == ARRAY_SIZE(set->items))
		return err_set(err, -E2BIG, ERR_UNSUPPORTED, "more than %zu subnets",
			ARRAY_SIZE(set->items));
	set->items[set->count++] = *prefix;
	return 0;
}

int prefix_set_add_host(struct prefix_set *set, const struct ip_addr *addr, struct err *err)
{
	struct ip_prefix prefix = {.addr = *addr, .len = (uint8_t)(8 * ip_addr_len(addr))};

	return prefix_set_add(set, &prefix, err);
}

const struct ip_prefix *prefix_set_overlap(
	const struct prefix_set *set, const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < set->count; i++) {
		if (ip_prefix_overlaps(&set->items[i], prefix))
			return &set->items[i];
	}
	return NULL;
}

/* The longer prefix that differs from this one in its last bit: upper 1 or lower 0. */
static struct ip_prefix half_of(const struct ip_prefix *prefix, bool upper)
{
	struct ip_prefix half = *prefix;

	if (upper)
		half.addr.bytes[prefix->len / 8] |= (uint8_t)(0x80 >> (prefix->len % 8));
	half.len++;
	return half;
}

int prefix_set_halve(struct prefix_set *set, const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < set->count; i++) {
		struct ip_prefix *item = &set->items[i];

		if (item->len != prefix->len || !ip_addr_equal(&item->addr, &prefix->addr) ||
			item->len == 8 * ip_addr_len(&item->addr))
			continue;
		if (set->count == ARRAY_SIZE(set->items))
			return -E2BIG;
		set->items[set->count++] = half_of(item, true);
		*item = half_of(item, false);
		return 0;
	}
	return 0;
}

/* Walks down from the prefix to the hole and keeps the half beside the path at each step. */
static int add_around(struct prefix_set *set, struct ip_prefix prefix, const struct ip_prefix *hole,
	struct err *err)
{
	while (prefix.len < hole->len) {
		struct ip_prefix lower = half_of(&prefix, false);
		struct ip_prefix upper = half_of(&prefix, true);
		bool in_upper = ip_prefix_contains(&upper, &hole->addr);
		int r = prefix_set_add(set, in_upper ? &lower : &upper, err);

		if (r < 0)
			return r;
		prefix = in_upper ? upper : lower;
	}
	return 0;
}

static int subtract_one(struct prefix_set *set, const struct ip_prefix *hole,
	struct prefix_set *scratch, struct err *err)
{
	int r = 0;

	scratch->count = 0;
	for (size_t i = 0; r == 0 && i < set->count; i++) {
		if (!ip_prefix_overlaps(&set->items[i], hole))
			r = prefix_set_add(scratch, &set->items[i], err);
		else if (!covers(hole, &set->items[i]))
			r = add_around(scratch, set->items[i], hole, err);
	}
	*set = *scratch;
	return r;
}

int prefix_set_subtract(const struct prefix_set *wanted, const struct prefix_set *excluded,
	struct prefix_set *ret_set, struct err *err)
{
	struct prefix_set set = *wanted, scratch;
	int r = 0;

	for (size_t i = 0; r == 0 && i < excluded->count; i++)
		r = subtract_one(&set, &excluded->items[i], &scratch, err);
	if (r == 0)
		*ret_set = set;
	return r;
}

static bool pick_in(const struct ip_prefix *pool, const struct prefix_set *taken, uint32_t step,
	struct ip_prefix *ret_prefix)
{
	uint32_t base = (uint32_t)pool->addr.bytes[0] << 24 | (uint32_t)pool->addr.bytes[1] << 16;

	for (uint32_t offset = 0; offset < 1U << (32 - pool->len); offset += step) {
		uint32_t value = base + offset;
		uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16),
			(uint8_t)(value >> 8), (uint8_t)value};
		struct ip_prefix subnet = {.addr = ip_addr_from_bytes(AF_INET, bytes), .len = 30};

		if (prefix_set_overlap(taken, &subnet))
			continue;
		subnet.addr.bytes[3] |= 1;
		*ret_prefix = subnet;
		return true;
	}
	return false;
}

int subnets_pick4(const struct prefix_set *taken, struct ip_prefix *ret_prefix, struct err *err)
{
	static const struct ip_prefix benchmark = {{AF_INET, {198, 18}}, 15};
	static const struct ip_prefix shared = {{AF_INET, {100, 64}}, 10};

	/* A /24 at a time: who uses a part of one is likely to use the rest. */
	if (pick_in(&benchmark, taken, 256, ret_prefix) || pick_in(&shared, taken, 256, ret_prefix))
		return 0;
	return err_set(err, -EADDRINUSE, ERR_CONFLICT,
		"198.18.0.0/15 and 100.64.0.0/10 are both routed elsewhere: no address is free for "
		"the network device");
}

int subnets_pick6(const struct prefix_set *taken, const uint8_t random[static 5],
	struct ip_prefix *ret_prefix)
{
	uint8_t bytes[16] = {0xfd};
	struct ip_prefix subnet;

	memcpy(bytes + 1, random, 5);
	subnet = (struct ip_prefix){.addr = ip_addr_from_bytes(AF_INET6, bytes), .len = 126};
	if (prefix_set_overlap(taken, &subnet))
		return -EADDRINUSE;
	subnet.addr.bytes[15] |= 1;
	*ret_prefix = subnet;
	return 0;
}

struct ip_addr subnets_peer(const struct ip_prefix *own)
{
	struct ip_addr peer = own->addr;

	peer.bytes[ip_addr_len(&peer) - 1] ^= 3; /* .1 and .2 are the hosts */
	return peer;
}

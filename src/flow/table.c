/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/table.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

#include "core/alloc.h"
#include "core/log.h"

#define BUCKETS 65536

static const char *const state_names[] = {
	[FLOW_STATE_FREE] = "free",
	[FLOW_STATE_OPENING] = "opening",
	[FLOW_STATE_HANDSHAKE] = "handshake",
	[FLOW_STATE_ESTABLISHED] = "established",
	[FLOW_STATE_LINGER] = "linger",
};
_Static_assert(ARRAY_SIZE(state_names) == FLOW_STATE_COUNT, "a name for every state");

#define TO(state) (1U << (FLOW_STATE_##state))
static const unsigned int legal_next[FLOW_STATE_COUNT] = {
	[FLOW_STATE_FREE] = TO(OPENING),
	[FLOW_STATE_OPENING] = TO(HANDSHAKE) | TO(FREE),
	[FLOW_STATE_HANDSHAKE] = TO(ESTABLISHED) | TO(LINGER) | TO(FREE),
	[FLOW_STATE_ESTABLISHED] = TO(ESTABLISHED) | TO(LINGER) | TO(FREE),
	[FLOW_STATE_LINGER] = TO(LINGER) | TO(FREE),
};

void flow_table_init(struct flow_table *table)
{
	memset(table, 0, sizeof(*table));
	table->flows = xcalloc(LIMIT_FLOWS + 1, sizeof(*table->flows));
	table->syns = xcalloc(LIMIT_FLOWS + 1, sizeof(*table->syns));
	table->buckets = xcalloc(BUCKETS, sizeof(*table->buckets));
	table->by_port = xcalloc(65536, sizeof(*table->by_port));
	table->ports = xcalloc(FLOW_PORTS, sizeof(*table->ports));
	/* Without entropy the hash is only predictable to local users, who share their own table.
	 */
	(void)!getrandom(table->seed, sizeof(table->seed), GRND_NONBLOCK);
}

void flow_table_done(struct flow_table *table)
{
	free(table->flows);
	free(table->syns);
	free(table->buckets);
	free(table->by_port);
	free(table->ports);
	memset(table, 0, sizeof(*table));
}

static uint64_t mix(uint64_t hash, const void *data)
{
	uint64_t word;

	memcpy(&word, data, sizeof(word));
	hash = (hash ^ word) *
	       0x9e3779b97f4a7c15U; /* 2^64 / the golden ratio: spreads bits upwards */
	return hash ^ hash >> 29;
}

static uint32_t *bucket_of(const struct flow_table *table, const struct ip_endpoint *src,
	const struct ip_endpoint *dst)
{
	uint64_t hash = table->seed[0] ^ ((uint64_t)src->port << 16 | dst->port);

	hash = mix(hash, src->addr.bytes);
	hash = mix(hash, dst->addr.bytes);
	if (src->addr.family == AF_INET6) {
		hash = mix(hash, src->addr.bytes + 8);
		hash = mix(hash, dst->addr.bytes + 8);
	}
	hash = mix(hash, &table->seed[1]);
	return &table->buckets[hash >> 48];
}

static bool same_endpoint(const struct ip_endpoint *a, const struct ip_endpoint *b)
{
	return a->port == b->port && ip_addr_equal(&a->addr, &b->addr);
}

struct flow *flow_table_find(const struct flow_table *table, const struct ip_endpoint *src,
	const struct ip_endpoint *dst)
{
	for (uint32_t slot = *bucket_of(table, src, dst); slot;
		slot = table->flows[slot].hash_next) {
		struct flow *flow = &table->flows[slot];

		if (same_endpoint(&flow->src, src) && same_endpoint(&flow->dst, dst))
			return flow;
	}
	return NULL;
}

struct flow *flow_table_by_port(const struct flow_table *table, uint16_t nat_port)
{
	uint32_t slot = table->by_port[nat_port];

	return slot ? &table->flows[slot] : NULL;
}

struct flow *flow_table_by_id(const struct flow_table *table, flow_id_t id)
{
	uint32_t slot = (uint32_t)id;
	struct flow *flow;

	if (slot == 0 || slot > LIMIT_FLOWS)
		return NULL;
	flow = &table->flows[slot];
	if (flow->state == FLOW_STATE_FREE || flow->generation != id >> 32)
		return NULL;
	return flow;
}

static void list_append(struct flow_table *table, struct flow_list *list, struct flow *flow)
{
	uint32_t slot = (uint32_t)(flow - table->flows);

	flow->prev = list->last;
	flow->next = 0;
	if (list->last)
		table->flows[list->last].next = slot;
	else
		list->first = slot;
	list->last = slot;
	list->count++;
}

static void list_remove(struct flow_table *table, struct flow_list *list, struct flow *flow)
{
	if (flow->prev)
		table->flows[flow->prev].next = flow->next;
	else
		list->first = flow->next;
	if (flow->next)
		table->flows[flow->next].prev = flow->prev;
	else
		list->last = flow->prev;
	list->count--;
}

static uint16_t take_port(struct flow_table *table)
{
	uint16_t port;

	if (table->fresh_port < FLOW_PORTS)
		return (uint16_t)(FLOW_PORT_FIRST + table->fresh_port++);
	assert(table->ports_count > 0); /* fewer flows than ports */
	port = table->ports[table->ports_head];
	table->ports_head = (table->ports_head + 1) % FLOW_PORTS;
	table->ports_count--;
	return port;
}

static void give_port(struct flow_table *table, uint16_t port)
{
	table->ports[(table->ports_head + table->ports_count) % FLOW_PORTS] = port;
	table->ports_count++;
}

/* A slot without state; the last one that was freed, else one that was never used. */
static struct flow *take_slot(struct flow_table *table)
{
	struct flow_list *list = &table->lists[FLOW_STATE_FREE];
	struct flow *flow;
	uint32_t generation;

	if (list->last) {
		flow = &table->flows[list->last];
		list_remove(table, list, flow);
	} else if (table->fresh_slot < LIMIT_FLOWS) {
		flow = &table->flows[++table->fresh_slot];
	} else {
		return NULL;
	}
	generation = flow->generation + 1;
	memset(flow, 0, sizeof(*flow));
	flow->generation = generation;
	return flow;
}

struct flow *flow_table_add(struct flow_table *table, const struct ip_endpoint *src,
	const struct ip_endpoint *dst, uint64_t now_ms)
{
	uint32_t *bucket = bucket_of(table, src, dst);
	struct flow *flow = take_slot(table);

	if (!flow)
		return NULL;
	flow->src = *src;
	flow->dst = *dst;
	flow->nat_port = take_port(table);
	flow->hash_next = *bucket;
	*bucket = (uint32_t)(flow - table->flows);
	table->by_port[flow->nat_port] = *bucket;
	flow->state = FLOW_STATE_OPENING;
	flow->since_ms = now_ms;
	list_append(table, &table->lists[FLOW_STATE_OPENING], flow);
	return flow;
}

static void unlink_flow(struct flow_table *table, struct flow *flow)
{
	uint32_t slot = (uint32_t)(flow - table->flows);
	uint32_t *link = bucket_of(table, &flow->src, &flow->dst);

	while (*link != slot)
		link = &table->flows[*link].hash_next;
	*link = flow->hash_next;
	table->by_port[flow->nat_port] = 0;
	give_port(table, flow->nat_port);
}

void flow_table_set_state(
	struct flow_table *table, struct flow *flow, enum flow_state state, uint64_t now_ms)
{
	assert(legal_next[flow->state] & 1U << state);
	if (flow->state != state)
		log_debug("flow state", "port=%u dst_port=%u from=%s to=%s", flow->nat_port,
			flow->dst.port, state_names[flow->state], state_names[state]);
	list_remove(table, &table->lists[flow->state], flow);
	if (state == FLOW_STATE_FREE)
		unlink_flow(table, flow);
	flow->state = (uint8_t)state;
	flow->since_ms = now_ms;
	list_append(table, &table->lists[state], flow);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table is made whole when the first port comes and deleted with the last; between the two only
 * elements change. An element that stays is deleted and added again in one transaction, which no
 * packet can see.
 */
#include "netfilter/intercept_rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/set.h>
#include <netinet/in.h>

#include "core/alloc.h"
#include "core/err.h"
#include "netfilter/intercept_table.h"
#include "netfilter/nft.h"
#include "netfilter/nft_table.h"

struct intercept_rules {
	struct nft *nft;
	bool has_table;
	uint16_t tcp_listener; /* in the rules of the table */
	struct intercept_want current;
};

/* The elements of one set as `want` has them; how many. */
static size_t fill_ports(
	struct nftnl_set *set, enum intercept_set id, const struct intercept_want *want, bool make)
{
	size_t count = 0;

	for (size_t i = 0; i < want->port_count; i++) {
		const struct intercept_port *port = &want->ports[i];
		bool is_udp = id == INTERCEPT_UDP_PORTS || id == INTERCEPT_UDP_REPLIES;
		bool reply = id == INTERCEPT_UDP_REPLIES;
		uint16_t key_be = htons(reply ? port->listener : port->port);
		uint16_t value_be = htons(reply ? port->port : port->listener);

		if (port->protocol != (is_udp ? IPPROTO_UDP : IPPROTO_TCP) ||
			(id == INTERCEPT_TCP_PROBES && !port->tcp_probe))
			continue;
		nft_set_add(set, &key_be, sizeof(key_be), &value_be,
			is_udp && make ? sizeof(value_be) : 0);
		count++;
	}
	return count;
}

static size_t fill_nodes(
	struct nftnl_set *set, enum intercept_set id, const struct intercept_want *want)
{
	uint8_t family = id == INTERCEPT_NODES4 ? AF_INET : AF_INET6;
	size_t count = 0;

	for (size_t i = 0; i < want->node_count; i++) {
		if (want->nodes[i].family != family)
			continue;
		nft_set_add(set, want->nodes[i].bytes, intercept_table_key_len(id), NULL, 0);
		count++;
	}
	return count;
}

static void put_elements(
	struct intercept_rules *rules, const struct intercept_want *want, bool make)
{
	for (enum intercept_set id = 0; id < INTERCEPT_SET_COUNT; id++) {
		struct nftnl_set *set = intercept_table_set(id);
		size_t count = id == INTERCEPT_NODES4 || id == INTERCEPT_NODES6
				       ? fill_nodes(set, id, want)
				       : fill_ports(set, id, want, make);

		if (count > 0)
			intercept_table_elements(rules->nft, set, make);
		nftnl_set_free(set);
	}
}

static bool has_port(const struct intercept_want *want, const struct intercept_port *port)
{
	for (size_t i = 0; i < want->port_count; i++) {
		if (want->ports[i].port == port->port && want->ports[i].protocol == port->protocol)
			return true;
	}
	return false;
}

/* Each port and node once: deleting an element twice would fail. */
static void copy_unique(const struct intercept_want *want, struct intercept_want *ret_copy)
{
	*ret_copy = (struct intercept_want){.port_count = 0};
	for (size_t i = 0; i < want->port_count; i++) {
		if (!has_port(ret_copy, &want->ports[i]))
			ret_copy->ports[ret_copy->port_count++] = want->ports[i];
	}
	for (size_t i = 0; i < want->node_count; i++) {
		bool known = false;

		for (size_t j = 0; j < ret_copy->node_count; j++)
			known = known || ip_addr_equal(&ret_copy->nodes[j], &want->nodes[i]);
		if (!known)
			ret_copy->nodes[ret_copy->node_count++] = want->nodes[i];
	}
}

static uint16_t tcp_listener_of(const struct intercept_want *want)
{
	for (size_t i = 0; i < want->port_count; i++) {
		if (want->ports[i].protocol == IPPROTO_TCP)
			return want->ports[i].listener;
	}
	return 0;
}

struct intercept_rules *intercept_rules_new(struct nft *nft)
{
	struct intercept_rules *rules = XNEW(struct intercept_rules);

	rules->nft = nft;
	return rules;
}

/* The transaction from what is there to `next`. fresh: with a table of its own. */
static int replace(struct intercept_rules *rules, const struct intercept_want *next, bool fresh,
	struct err *err)
{
	int r;

	nft_begin(rules->nft);
	if (rules->has_table && (fresh || next->port_count == 0))
		intercept_table_delete(rules->nft);
	else if (rules->has_table)
		put_elements(rules, &rules->current, false);
	if (next->port_count > 0) {
		if (fresh)
			intercept_table_make(rules->nft, tcp_listener_of(next));
		put_elements(rules, next, true);
	}
	r = nft_commit(rules->nft, err);
	if (r == -ENOENT && fresh)
		return err_set(err, -EOPNOTSUPP, ERR_UNSUPPORTED,
			"this node's kernel lacks nft_tproxy (CONFIG_NFT_TPROXY)");
	if (r == -EBUSY)
		return err_set(err, r, ERR_CONFLICT,
			"another process has table inet telepresence of this network namespace");
	return r < 0 ? err_wrap(err, r, "redirecting intercepted ports") : 0;
}

int intercept_rules_set(
	struct intercept_rules *rules, const struct intercept_want *want, struct err *err)
{
	struct intercept_want next;
	uint16_t listener;
	bool fresh;
	int r;

	if (want->port_count > INTERCEPT_PORTS || want->node_count > INTERCEPT_NODES)
		return err_set(err, -E2BIG, ERR_INTERNAL, "%zu ports, %zu node addresses",
			want->port_count, want->node_count);
	copy_unique(want, &next);
	listener = tcp_listener_of(&next);
	if (next.port_count == 0 && !rules->has_table)
		return 0;
	fresh = !rules->has_table || (listener != 0 && listener != rules->tcp_listener);
	r = replace(rules, &next, fresh, err);
	if (r < 0)
		return r;
	rules->has_table = next.port_count > 0;
	if (fresh)
		rules->tcp_listener = listener;
	rules->current = next;
	return 0;
}

void intercept_rules_free(struct intercept_rules *rules)
{
	free(rules);
}

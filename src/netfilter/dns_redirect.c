/* SPDX-License-Identifier: Apache-2.0 */
#include "netfilter/dns_redirect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/err.h"
#include "netfilter/nft.h"
#include "netfilter/nft_rule.h"

#define CHAIN_NAT  "output"
#define CHAIN_ZONE "zone"
#define MAP        "nameservers"
#define PORT       53
/* One before dstnat (-100): the first nat rule that matches decides, and container engines have
 * theirs for a resolver of their own (127.0.0.11) there. */
#define PRIORITY_NAT (-101)
/* Before conntrack (-200) looks a packet up: NF_IP_PRI_RAW. */
#define PRIORITY_ZONE (-300)
/* nft's names for types, which the kernel only keeps: ipv4_addr, ipv6_addr, inet_service. */
#define TYPE_IPV4    7
#define TYPE_IPV6    8
#define TYPE_SERVICE 13
#define MAP_ID       1
/* Where the destination stands in the two network headers, the port in both transport headers. */
#define OFFSET_DADDR4 16
#define OFFSET_DADDR6 24
#define OFFSET_DPORT  2

/* libnftnl's constructors fail for want of memory only. */
static void *must(void *object)
{
	if (!object)
		abort();
	return object;
}

static struct nlmsghdr *add(struct dns_redirect *redirect, uint16_t type, uint8_t family, bool make)
{
	return nft_add(redirect->nft, type, family, make ? NLM_F_CREATE : 0);
}

static void put_table(struct dns_redirect *redirect, uint8_t family, bool make)
{
	struct nftnl_table *table = must(nftnl_table_alloc());

	(void)nftnl_table_set_str(table, NFTNL_TABLE_NAME, redirect->table);
	if (make)
		nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, NFT_TABLE_F_OWNER);
	nftnl_table_nlmsg_build_payload(
		add(redirect, make ? NFT_MSG_NEWTABLE : NFT_MSG_DELTABLE, family, make), table);
	nft_next(redirect->nft);
	nftnl_table_free(table);
}

static void put_chain(struct dns_redirect *redirect, uint8_t family, const char *name,
	const char *type, int32_t priority)
{
	struct nftnl_chain *chain = must(nftnl_chain_alloc());

	(void)nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, redirect->table);
	(void)nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, name);
	(void)nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, type);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, NF_INET_LOCAL_OUT);
	nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, priority);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	nftnl_chain_nlmsg_build_payload(add(redirect, NFT_MSG_NEWCHAIN, family, true), chain);
	nft_next(redirect->nft);
	nftnl_chain_free(chain);
}

static struct nftnl_set *new_map(struct dns_redirect *redirect)
{
	struct nftnl_set *map = must(nftnl_set_alloc());

	(void)nftnl_set_set_str(map, NFTNL_SET_TABLE, redirect->table);
	(void)nftnl_set_set_str(map, NFTNL_SET_NAME, MAP);
	return map;
}

static void put_map(struct dns_redirect *redirect, uint8_t family)
{
	struct nftnl_set *map = new_map(redirect);

	nftnl_set_set_u32(map, NFTNL_SET_ID, MAP_ID);
	nftnl_set_set_u32(map, NFTNL_SET_FLAGS, NFT_SET_MAP);
	nftnl_set_set_u32(map, NFTNL_SET_KEY_TYPE, family == NFPROTO_IPV4 ? TYPE_IPV4 : TYPE_IPV6);
	nftnl_set_set_u32(map, NFTNL_SET_KEY_LEN, family == NFPROTO_IPV4 ? 4 : 16);
	nftnl_set_set_u32(map, NFTNL_SET_DATA_TYPE, TYPE_SERVICE);
	nftnl_set_set_u32(map, NFTNL_SET_DATA_LEN, sizeof(uint16_t));
	nftnl_set_nlmsg_build_payload(add(redirect, NFT_MSG_NEWSET, family, true), map);
	nft_next(redirect->nft);
	nftnl_set_free(map);
}

static void put_elements(struct dns_redirect *redirect, uint8_t family, const struct ip_addr *addrs,
	size_t count, uint16_t port, bool make)
{
	uint8_t af = family == NFPROTO_IPV4 ? AF_INET : AF_INET6;
	struct nftnl_set *map = new_map(redirect);
	uint16_t port_be = htons(port);
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		struct nftnl_set_elem *elem;

		if (addrs[i].family != af)
			continue;
		elem = must(nftnl_set_elem_alloc());
		(void)nftnl_set_elem_set(
			elem, NFTNL_SET_ELEM_KEY, addrs[i].bytes, ip_addr_len(&addrs[i]));
		if (make)
			(void)nftnl_set_elem_set(
				elem, NFTNL_SET_ELEM_DATA, &port_be, sizeof(port_be));
		nftnl_set_elem_add(map, elem);
		any = true;
	}
	if (any) {
		nftnl_set_elems_nlmsg_build_payload(
			add(redirect, make ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, family, make),
			map);
		nft_next(redirect->nft);
	}
	nftnl_set_free(map);
}

static void match_meta(
	struct nftnl_rule *rule, uint32_t key, uint32_t op, const void *value, uint32_t len)
{
	nft_rule_meta(rule, key, NFT_REG_1);
	nft_rule_cmp(rule, NFT_REG_1, op, value, len);
}

/* meta mark != MARK meta l4proto PROTO th dport 53, and the nameserver's port in register 2. */
static struct nftnl_rule *new_rule(
	struct dns_redirect *redirect, uint8_t family, const char *chain, uint8_t protocol)
{
	struct nftnl_rule *rule = nft_rule_new(family, redirect->table, chain);
	uint16_t port_be = htons(PORT);

	match_meta(rule, NFT_META_MARK, NFT_CMP_NEQ, &redirect->mark, sizeof(redirect->mark));
	match_meta(rule, NFT_META_L4PROTO, NFT_CMP_EQ, &protocol, sizeof(protocol));
	nft_rule_payload(
		rule, NFT_PAYLOAD_TRANSPORT_HEADER, OFFSET_DPORT, sizeof(port_be), NFT_REG_1);
	nft_rule_cmp(rule, NFT_REG_1, NFT_CMP_EQ, &port_be, sizeof(port_be));
	nft_rule_payload(rule, NFT_PAYLOAD_NETWORK_HEADER,
		family == NFPROTO_IPV4 ? OFFSET_DADDR4 : OFFSET_DADDR6,
		family == NFPROTO_IPV4 ? 4 : 16, NFT_REG_1);
	nft_rule_lookup(rule, MAP, MAP_ID, NFT_REG_1, NFT_REG_2);
	return rule;
}

static void put_rule(struct dns_redirect *redirect, uint8_t family, struct nftnl_rule *rule)
{
	nftnl_rule_nlmsg_build_payload(add(redirect, NFT_MSG_NEWRULE, family, true), rule);
	nft_next(redirect->nft);
	nftnl_rule_free(rule);
}

/* ... redirect to :(daddr map @nameservers) */
static void put_redirect(struct dns_redirect *redirect, uint8_t family, uint8_t protocol)
{
	struct nftnl_rule *rule = new_rule(redirect, family, CHAIN_NAT, protocol);

	nft_rule_redirect(rule, NFT_REG_2);
	put_rule(redirect, family, rule);
}

/*
 * ... ct original zone set PORT. A program may get a source port that a marked socket had a moment
 * ago; conntrack would take its query for that flow, which is not redirected (or the other way
 * round). In a zone of their own the redirected flows meet no other, and queries that were under
 * way when the redirect came or went start a flow of the right kind at once. The resolver's port as
 * the zone keeps flows to an earlier resolver apart, which conntrack remembers for half a minute.
 */
static void put_zone(struct dns_redirect *redirect, uint8_t family, uint8_t protocol, uint16_t zone)
{
	struct nftnl_rule *rule = new_rule(redirect, family, CHAIN_ZONE, protocol);

	nft_rule_load(rule, NFT_REG_1, &zone, sizeof(zone));
	nft_rule_zone(rule, NFT_REG_1);
	put_rule(redirect, family, rule);
}

static bool has_family(const struct ip_addr *addrs, size_t count, uint8_t af)
{
	for (size_t i = 0; i < count; i++) {
		if (addrs[i].family == af)
			return true;
	}
	return false;
}

/* One family's part of the transaction; whether it has a table afterwards. */
static bool put_family(struct dns_redirect *redirect, bool v6, const struct ip_addr *addrs,
	size_t count, uint16_t port)
{
	uint8_t family = v6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	bool wanted = has_family(addrs, count, v6 ? AF_INET6 : AF_INET);

	if (!wanted) {
		if (redirect->has_table[v6])
			put_table(redirect, family, false);
		return false;
	}
	if (redirect->has_table[v6]) {
		put_elements(redirect, family, redirect->current, redirect->count, 0, false);
	} else {
		put_table(redirect, family, true);
		put_map(redirect, family);
		put_chain(redirect, family, CHAIN_ZONE, "filter", PRIORITY_ZONE);
		put_chain(redirect, family, CHAIN_NAT, "nat", PRIORITY_NAT);
		put_zone(redirect, family, IPPROTO_UDP, port);
		put_zone(redirect, family, IPPROTO_TCP, port);
		put_redirect(redirect, family, IPPROTO_UDP);
		put_redirect(redirect, family, IPPROTO_TCP);
	}
	put_elements(redirect, family, addrs, count, port, true);
	return true;
}

void dns_redirect_init(struct dns_redirect *redirect, struct nft *nft, uint32_t id, uint32_t mark)
{
	*redirect = (struct dns_redirect){.nft = nft, .mark = mark};
	(void)snprintf(redirect->table, sizeof(redirect->table), "telepresence-%u", id);
}

int dns_redirect_set(struct dns_redirect *redirect, const struct ip_addr *nameservers, size_t count,
	uint16_t port, struct err *err)
{
	struct ip_addr unique[LIMIT_ROOT_NAMESERVERS];
	size_t unique_count = 0;
	bool has_table[2];
	int r = 0;

	if (count > LIMIT_ROOT_NAMESERVERS)
		return err_set(err, -E2BIG, ERR_INTERNAL, "%zu nameservers", count);
	for (size_t i = 0; i < count; i++) {
		bool known = false;

		for (size_t j = 0; j < unique_count; j++)
			known = known || ip_addr_equal(&unique[j], &nameservers[i]);
		if (!known)
			unique[unique_count++] = nameservers[i];
	}
	nft_begin(redirect->nft);
	has_table[0] = put_family(redirect, false, unique, unique_count, port);
	has_table[1] = put_family(redirect, true, unique, unique_count, port);
	if (unique_count > 0 || redirect->count > 0)
		r = nft_commit(redirect->nft, err);
	if (r < 0)
		return err_wrap(err, r, "redirecting DNS");
	for (size_t i = 0; i < unique_count; i++)
		redirect->current[i] = unique[i];
	redirect->count = unique_count;
	redirect->has_table[0] = has_table[0];
	redirect->has_table[1] = has_table[1];
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "netfilter/dns_redirect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "core/err.h"
#include "netfilter/nft.h"
#include "netfilter/nft_rule.h"
#include "netfilter/nft_table.h"

#define CHAIN_NAT  "output"
#define CHAIN_ZONE "zone"
#define MAP        "nameservers"
#define PORT       53
#define MAP_ID     1
/* Where the destination stands in the two network headers, the port in both transport headers. */
#define OFFSET_DADDR4 16
#define OFFSET_DADDR6 24
#define OFFSET_DPORT  2

/* One before dstnat (-100): the first nat rule that matches decides, and container engines have
 * theirs for a resolver of their own (127.0.0.11) there. */
static const struct nft_hook nat_hook = {"nat", NF_INET_LOCAL_OUT, -101};
/* Before conntrack (-200) looks a packet up: NF_IP_PRI_RAW. */
static const struct nft_hook zone_hook = {"filter", NF_INET_LOCAL_OUT, -300};

static struct nftnl_set *new_map(const struct dns_redirect *redirect, uint8_t family)
{
	return nft_set_new(family, redirect->table, MAP);
}

static void put_map(struct dns_redirect *redirect, uint8_t family)
{
	struct nftnl_set *map = new_map(redirect, family);

	nftnl_set_set_u32(map, NFTNL_SET_ID, MAP_ID);
	nftnl_set_set_u32(map, NFTNL_SET_FLAGS, NFT_SET_MAP);
	nftnl_set_set_u32(
		map, NFTNL_SET_KEY_TYPE, family == NFPROTO_IPV4 ? NFT_TYPE_IPV4 : NFT_TYPE_IPV6);
	nftnl_set_set_u32(map, NFTNL_SET_KEY_LEN, family == NFPROTO_IPV4 ? 4 : 16);
	nftnl_set_set_u32(map, NFTNL_SET_DATA_TYPE, NFT_TYPE_SERVICE);
	nftnl_set_set_u32(map, NFTNL_SET_DATA_LEN, sizeof(uint16_t));
	nft_set_put(redirect->nft, family, map);
}

static void put_elements(struct dns_redirect *redirect, uint8_t family, const struct ip_addr *addrs,
	size_t count, uint16_t port, bool make)
{
	uint8_t af = family == NFPROTO_IPV4 ? AF_INET : AF_INET6;
	struct nftnl_set *map = new_map(redirect, family);
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		uint16_t port_be = htons((uint16_t)(port + i));

		if (addrs[i].family != af)
			continue;
		nft_set_add(map, addrs[i].bytes, ip_addr_len(&addrs[i]), &port_be,
			make ? sizeof(port_be) : 0);
		any = true;
	}
	if (any)
		nft_elements_put(redirect->nft, family, map, make);
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

/* ... redirect to :(daddr map @nameservers) */
static void put_redirect(struct dns_redirect *redirect, uint8_t family, uint8_t protocol)
{
	struct nftnl_rule *rule = new_rule(redirect, family, CHAIN_NAT, protocol);

	nft_rule_redirect(rule, NFT_REG_2);
	nft_rule_put(redirect->nft, family, rule);
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
	nft_rule_put(redirect->nft, family, rule);
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
			nft_table_put(redirect->nft, family, redirect->table, false);
		return false;
	}
	if (redirect->has_table[v6]) {
		put_elements(redirect, family, redirect->current, redirect->count, 0, false);
	} else {
		nft_table_put(redirect->nft, family, redirect->table, true);
		put_map(redirect, family);
		nft_chain_put(redirect->nft, family, redirect->table, CHAIN_ZONE, &zone_hook);
		nft_chain_put(redirect->nft, family, redirect->table, CHAIN_NAT, &nat_hook);
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
	struct ip_addr unique[LIMIT_ROOT_NAMESERVERS] = {{.family = 0}};
	bool has_table[2];
	int r = 0;

	if (count > LIMIT_ROOT_NAMESERVERS)
		return err_set(err, -E2BIG, ERR_INTERNAL, "%zu nameservers", count);
	/* Each keeps its place, which decides its port. */
	for (size_t i = 0; i < count; i++) {
		bool known = false;

		for (size_t j = 0; j < i; j++)
			known = known || ip_addr_equal(&unique[j], &nameservers[i]);
		if (!known)
			unique[i] = nameservers[i];
	}
	nft_begin(redirect->nft);
	has_table[0] = put_family(redirect, false, unique, count, port);
	has_table[1] = put_family(redirect, true, unique, count, port);
	if (count > 0 || redirect->count > 0)
		r = nft_commit(redirect->nft, err);
	if (r < 0)
		return err_wrap(err, r, "redirecting DNS");
	memcpy(redirect->current, unique, sizeof(unique));
	redirect->count = count;
	redirect->has_table[0] = has_table[0];
	redirect->has_table[1] = has_table[1];
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "netfilter/intercept_table.h"

#include <arpa/inet.h>
#include <libnftnl/set.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>

#include "netfilter/intercept_rules.h"
#include "netfilter/nft_rule.h"
#include "netfilter/nft_table.h"

#define TABLE           "telepresence"
#define FAMILY          NFPROTO_INET
#define CHAIN_IN        "prerouting"
#define CHAIN_OUT       "output"
#define PRIORITY_MANGLE (-150)
/* After nat's, NF_IP_PRI_NAT_DST: what a service mesh redirects to its proxy has that one's port by
 * then and passes, and what the proxy sends on to the app is taken. Before it nat would change the
 * address of what was taken. */
#define PRIORITY_IN (-99)
/* A packet that no router has forwarded: Linux' own default (net.ipv4.ip_default_ttl). */
#define OWN_HOP_LIMIT 64
/* FIN, SYN, RST and ACK; of a connection's first segment only SYN is set (RFC 9293 3.1). */
#define TCP_FLAGS 0x17
#define TCP_SYN   0x02

static const struct {
	const char *name;
	uint32_t key_type, key_len;
	bool is_map; /* to a port */
} sets[] = {
	[INTERCEPT_TCP_PORTS] = {"tcp_ports", NFT_TYPE_SERVICE, 2, false},
	[INTERCEPT_TCP_PROBES] = {"tcp_probes", NFT_TYPE_SERVICE, 2, false},
	[INTERCEPT_NODES4] = {"nodes4", NFT_TYPE_IPV4, 4, false},
	[INTERCEPT_NODES6] = {"nodes6", NFT_TYPE_IPV6, 16, false},
	[INTERCEPT_UDP_PORTS] = {"udp_ports", NFT_TYPE_SERVICE, 2, true},
	[INTERCEPT_UDP_REPLIES] = {"udp_replies", NFT_TYPE_SERVICE, 2, true},
};

/* Header fields: where they stand and how long they are. */
struct field {
	uint32_t base, offset, len;
};

static const struct field ip4_ttl = {NFT_PAYLOAD_NETWORK_HEADER, 8, 1};
static const struct field ip4_saddr = {NFT_PAYLOAD_NETWORK_HEADER, 12, 4};
static const struct field ip4_daddr_net = {NFT_PAYLOAD_NETWORK_HEADER, 16, 1};
static const struct field ip6_hops = {NFT_PAYLOAD_NETWORK_HEADER, 7, 1};
static const struct field ip6_saddr = {NFT_PAYLOAD_NETWORK_HEADER, 8, 16};
static const struct field ip6_daddr = {NFT_PAYLOAD_NETWORK_HEADER, 24, 16};
static const struct field port_from = {NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2};
static const struct field port_to = {NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2};
static const struct field tcp_flags = {NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1};
#define UDP_CHECKSUM_OFFSET 6

struct nftnl_set *intercept_table_set(enum intercept_set id)
{
	return nft_set_new(FAMILY, TABLE, sets[id].name);
}

static void put_set(struct nft *nft, enum intercept_set id)
{
	struct nftnl_set *set = intercept_table_set(id);

	nftnl_set_set_u32(set, NFTNL_SET_ID, id + 1);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, sets[id].key_type);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, sets[id].key_len);
	if (sets[id].is_map) {
		nftnl_set_set_u32(set, NFTNL_SET_FLAGS, NFT_SET_MAP);
		nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, NFT_TYPE_SERVICE);
		nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, sizeof(uint16_t));
	}
	nft_set_put(nft, FAMILY, set);
}

static void put_rule(struct nft *nft, struct nftnl_rule *rule)
{
	nft_rule_put(nft, FAMILY, rule);
}

static struct nftnl_rule *new_rule(const char *chain)
{
	return nft_rule_new(FAMILY, TABLE, chain);
}

static void match_meta8(struct nftnl_rule *rule, uint32_t key, uint32_t op, uint8_t value)
{
	nft_rule_meta(rule, key, NFT_REG_1);
	nft_rule_cmp(rule, NFT_REG_1, op, &value, sizeof(value));
}

static void match_mark(struct nftnl_rule *rule, uint32_t mark)
{
	nft_rule_meta(rule, NFT_META_MARK, NFT_REG_1);
	nft_rule_cmp(rule, NFT_REG_1, NFT_CMP_EQ, &mark, sizeof(mark));
}

static void load_field(struct nftnl_rule *rule, const struct field *field)
{
	nft_rule_payload(rule, field->base, field->offset, field->len, NFT_REG_1);
}

static void match_field(struct nftnl_rule *rule, const struct field *field, const void *value)
{
	load_field(rule, field);
	nft_rule_cmp(rule, NFT_REG_1, NFT_CMP_EQ, value, field->len);
}

static void match_set(struct nftnl_rule *rule, const struct field *field, enum intercept_set id)
{
	load_field(rule, field);
	nft_rule_lookup(rule, sets[id].name, id + 1, NFT_REG_1, 0);
}

/* What is never redirected: the agent's own packets, broadcasts, loopback. */
static void put_exceptions(struct nft *nft)
{
	static const uint32_t marks[] = {INTERCEPT_MARK, INTERCEPT_UDP_MARK};
	static const uint8_t net127 = 127;
	struct nftnl_rule *rule;

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		rule = new_rule(CHAIN_IN);
		match_mark(rule, marks[i]);
		nft_rule_verdict(rule, NFT_RETURN);
		put_rule(nft, rule);
	}
	rule = new_rule(CHAIN_IN);
	match_meta8(rule, NFT_META_PKTTYPE, NFT_CMP_NEQ, PACKET_HOST);
	nft_rule_verdict(rule, NFT_RETURN);
	put_rule(nft, rule);
	rule = new_rule(CHAIN_IN);
	match_meta8(rule, NFT_META_NFPROTO, NFT_CMP_EQ, NFPROTO_IPV4);
	match_field(rule, &ip4_daddr_net, &net127);
	nft_rule_verdict(rule, NFT_RETURN);
	put_rule(nft, rule);
	rule = new_rule(CHAIN_IN);
	match_meta8(rule, NFT_META_NFPROTO, NFT_CMP_EQ, NFPROTO_IPV6);
	match_field(rule, &ip6_daddr, &in6addr_loopback);
	nft_rule_verdict(rule, NFT_RETURN);
	put_rule(nft, rule);
}

/* kubelet's tcpSocket probes: from the node itself, to a port that is probed so. */
static void put_probes(struct nft *nft, bool v6)
{
	static const uint8_t hops = OWN_HOP_LIMIT;
	struct nftnl_rule *rule = new_rule(CHAIN_IN);

	match_meta8(rule, NFT_META_NFPROTO, NFT_CMP_EQ, v6 ? NFPROTO_IPV6 : NFPROTO_IPV4);
	match_meta8(rule, NFT_META_L4PROTO, NFT_CMP_EQ, IPPROTO_TCP);
	match_set(rule, &port_to, INTERCEPT_TCP_PROBES);
	match_field(rule, v6 ? &ip6_hops : &ip4_ttl, &hops);
	match_set(rule, v6 ? &ip6_saddr : &ip4_saddr, v6 ? INTERCEPT_NODES6 : INTERCEPT_NODES4);
	nft_rule_verdict(rule, NFT_RETURN);
	put_rule(nft, rule);
}

static void load_loopback(struct nftnl_rule *rule, bool v6)
{
	const struct in_addr loopback4 = {htonl(INADDR_LOOPBACK)};

	if (v6)
		nft_rule_load(rule, NFT_REG_3, &in6addr_loopback, sizeof(in6addr_loopback));
	else
		nft_rule_load(rule, NFT_REG_3, &loopback4, sizeof(loopback4));
}

static void put_tcp(struct nft *nft, bool v6, uint16_t listener)
{
	static const uint8_t flags = TCP_FLAGS, syn = TCP_SYN;
	uint8_t family = v6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	struct nftnl_rule *rule = new_rule(CHAIN_IN);
	uint16_t listener_be = htons(listener);

	match_meta8(rule, NFT_META_NFPROTO, NFT_CMP_EQ, family);
	match_meta8(rule, NFT_META_L4PROTO, NFT_CMP_EQ, IPPROTO_TCP);
	load_field(rule, &tcp_flags);
	nft_rule_mask(rule, NFT_REG_1, &flags, sizeof(flags));
	nft_rule_cmp(rule, NFT_REG_1, NFT_CMP_EQ, &syn, sizeof(syn));
	match_set(rule, &port_to, INTERCEPT_TCP_PORTS);
	nft_rule_load(rule, NFT_REG_2, &listener_be, sizeof(listener_be));
	load_loopback(rule, v6);
	nft_rule_tproxy(rule, family, NFT_REG_3, NFT_REG_2);
	nft_rule_verdict(rule, NF_ACCEPT);
	put_rule(nft, rule);
}

static void put_udp(struct nft *nft, bool v6)
{
	uint8_t family = v6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	struct nftnl_rule *rule = new_rule(CHAIN_IN);

	match_meta8(rule, NFT_META_NFPROTO, NFT_CMP_EQ, family);
	match_meta8(rule, NFT_META_L4PROTO, NFT_CMP_EQ, IPPROTO_UDP);
	load_field(rule, &port_to);
	nft_rule_lookup(rule, sets[INTERCEPT_UDP_PORTS].name, INTERCEPT_UDP_PORTS + 1, NFT_REG_1,
		NFT_REG_2);
	load_loopback(rule, v6);
	nft_rule_tproxy(rule, family, NFT_REG_3, NFT_REG_2);
	nft_rule_verdict(rule, NF_ACCEPT);
	put_rule(nft, rule);
}

/* Answers of the agent's UDP sockets leave from the port that was asked. */
static void put_replies(struct nft *nft)
{
	struct nftnl_rule *rule = new_rule(CHAIN_OUT);

	match_mark(rule, INTERCEPT_UDP_MARK);
	match_meta8(rule, NFT_META_L4PROTO, NFT_CMP_EQ, IPPROTO_UDP);
	load_field(rule, &port_from);
	nft_rule_lookup(rule, sets[INTERCEPT_UDP_REPLIES].name, INTERCEPT_UDP_REPLIES + 1,
		NFT_REG_1, NFT_REG_2);
	nft_rule_write(rule, NFT_REG_2, port_from.offset, port_from.len, UDP_CHECKSUM_OFFSET);
	put_rule(nft, rule);
}

void intercept_table_make(struct nft *nft, uint16_t tcp_listener)
{
	static const struct nft_hook in = {"filter", NF_INET_PRE_ROUTING, PRIORITY_IN};
	static const struct nft_hook out = {"filter", NF_INET_LOCAL_OUT, PRIORITY_MANGLE};

	nft_table_put(nft, FAMILY, TABLE, true);
	for (enum intercept_set id = 0; id < INTERCEPT_SET_COUNT; id++)
		put_set(nft, id);
	nft_chain_put(nft, FAMILY, TABLE, CHAIN_IN, &in);
	nft_chain_put(nft, FAMILY, TABLE, CHAIN_OUT, &out);
	put_exceptions(nft);
	for (int v6 = 0; v6 <= 1; v6++) {
		put_probes(nft, v6);
		put_tcp(nft, v6, tcp_listener);
		put_udp(nft, v6);
	}
	put_replies(nft);
}

void intercept_table_delete(struct nft *nft)
{
	nft_table_put(nft, FAMILY, TABLE, false);
}

uint32_t intercept_table_key_len(enum intercept_set id)
{
	return sets[id].key_len;
}

void intercept_table_elements(struct nft *nft, struct nftnl_set *set, bool make)
{
	nft_elements_put(nft, FAMILY, set, make);
}

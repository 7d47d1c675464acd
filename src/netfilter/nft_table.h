/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netfilter/nft_table.h - messages of a transaction (nft.h) for what a table is made of
 *
 * Internal to the folder. Each function adds one message. Running out of memory ends the process,
 * as in core/alloc.h.
 */
#ifndef NETFILTER_NFT_TABLE_H
#define NETFILTER_NFT_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

struct nft;
struct nftnl_rule;
struct nftnl_set;

/* nft's names for types, which the kernel only keeps: ipv4_addr, ipv6_addr, inet_service. */
#define NFT_TYPE_IPV4    7
#define NFT_TYPE_IPV6    8
#define NFT_TYPE_SERVICE 13

/* Where a chain hooks in; it accepts what no rule decides. */
struct nft_hook {
	const char *type; /* "filter", "nat" */
	uint32_t number; /* NF_INET_... */
	int32_t priority;
};

/* A table of the socket's own, which dies with it; or its end. */
void nft_table_put(struct nft *nft, uint8_t family, const char *name, bool make);
void nft_chain_put(struct nft *nft, uint8_t family, const char *table, const char *name,
	const struct nft_hook *hook);
/* A set by name, to be made or to be given elements; the caller's. */
NODISCARD struct nftnl_set *nft_set_new(uint8_t family, const char *table, const char *name);
/* Makes the set, empty. Takes it. */
void nft_set_put(struct nft *nft, uint8_t family, struct nftnl_set *set);
/* An element; data_len 0: of no map, or one that is to be deleted. */
void nft_set_add(struct nftnl_set *set, const void *key, uint32_t key_len, const void *data,
	uint32_t data_len);
/* Adds or deletes the elements; the set stays the caller's. */
void nft_elements_put(struct nft *nft, uint8_t family, struct nftnl_set *set, bool make);
/* Behind the rules that its chain has. Takes the rule. */
void nft_rule_put(struct nft *nft, uint8_t family, struct nftnl_rule *rule);

#endif /* NETFILTER_NFT_TABLE_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netfilter/intercept_table.h - the static part of the agent's table: sets, chains, rules
 *
 * Internal to the folder; docs/agent.md, section 5, has it in nft's words. Each function adds
 * messages to the transaction that was begun.
 */
#ifndef NETFILTER_INTERCEPT_TABLE_H
#define NETFILTER_INTERCEPT_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

struct nft;
struct nftnl_set;

enum intercept_set {
	INTERCEPT_TCP_PORTS,
	INTERCEPT_TCP_PROBES,
	INTERCEPT_NODES4,
	INTERCEPT_NODES6,
	INTERCEPT_UDP_PORTS, /* intercepted port -> agent's */
	INTERCEPT_UDP_REPLIES, /* agent's port -> intercepted */
	INTERCEPT_SET_COUNT
};

/* The table with its rules and empty sets; new TCP connections go to tcp_listener. */
void intercept_table_make(struct nft *nft, uint16_t tcp_listener);
void intercept_table_delete(struct nft *nft);
/* A set to put elements into. The caller frees. */
NODISCARD struct nftnl_set *intercept_table_set(enum intercept_set id);
uint32_t intercept_table_key_len(enum intercept_set id);
/* Adds or deletes the elements of the set. */
void intercept_table_elements(struct nft *nft, struct nftnl_set *set, bool make);

#endif /* NETFILTER_INTERCEPT_TABLE_H */

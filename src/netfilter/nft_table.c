/* SPDX-License-Identifier: Apache-2.0 */
#include "netfilter/nft_table.h"

#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <stdlib.h>

#include "netfilter/nft.h"

/* libnftnl's constructors fail for want of memory only. */
static void *must(void *object)
{
	if (!object)
		abort();
	return object;
}

void nft_table_put(struct nft *nft, uint8_t family, const char *name, bool make)
{
	struct nftnl_table *table = must(nftnl_table_alloc());

	(void)nftnl_table_set_str(table, NFTNL_TABLE_NAME, name);
	if (make)
		nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, NFT_TABLE_F_OWNER);
	nftnl_table_nlmsg_build_payload(nft_add(nft, make ? NFT_MSG_NEWTABLE : NFT_MSG_DELTABLE,
						family, make ? NLM_F_CREATE : 0),
		table);
	nft_next(nft);
	nftnl_table_free(table);
}

void nft_chain_put(struct nft *nft, uint8_t family, const char *table, const char *name,
	const struct nft_hook *hook)
{
	struct nftnl_chain *chain = must(nftnl_chain_alloc());

	(void)nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, table);
	(void)nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, name);
	(void)nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, hook->type);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, hook->number);
	nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, hook->priority);
	nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	nftnl_chain_nlmsg_build_payload(
		nft_add(nft, NFT_MSG_NEWCHAIN, family, NLM_F_CREATE), chain);
	nft_next(nft);
	nftnl_chain_free(chain);
}

struct nftnl_set *nft_set_new(uint8_t family, const char *table, const char *name)
{
	struct nftnl_set *set = must(nftnl_set_alloc());

	(void)nftnl_set_set_str(set, NFTNL_SET_TABLE, table);
	(void)nftnl_set_set_str(set, NFTNL_SET_NAME, name);
	nftnl_set_set_u32(set, NFTNL_SET_FAMILY, family);
	return set;
}

void nft_set_add(struct nftnl_set *set, const void *key, uint32_t key_len, const void *data,
	uint32_t data_len)
{
	struct nftnl_set_elem *elem = must(nftnl_set_elem_alloc());

	(void)nftnl_set_elem_set(elem, NFTNL_SET_ELEM_KEY, key, key_len);
	if (data_len > 0)
		(void)nftnl_set_elem_set(elem, NFTNL_SET_ELEM_DATA, data, data_len);
	nftnl_set_elem_add(set, elem);
}

void nft_set_put(struct nft *nft, uint8_t family, struct nftnl_set *set)
{
	nftnl_set_nlmsg_build_payload(nft_add(nft, NFT_MSG_NEWSET, family, NLM_F_CREATE), set);
	nft_next(nft);
	nftnl_set_free(set);
}

void nft_elements_put(struct nft *nft, uint8_t family, struct nftnl_set *set, bool make)
{
	nftnl_set_elems_nlmsg_build_payload(
		nft_add(nft, make ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, family,
			make ? NLM_F_CREATE : 0),
		set);
	nft_next(nft);
}

void nft_rule_put(struct nft *nft, uint8_t family, struct nftnl_rule *rule)
{
	nftnl_rule_nlmsg_build_payload(
		nft_add(nft, NFT_MSG_NEWRULE, family, NLM_F_CREATE | NLM_F_APPEND), rule);
	nft_next(nft);
	nftnl_rule_free(rule);
}

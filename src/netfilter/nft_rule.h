/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netfilter/nft_rule.h - the expressions of a rule, one function each
 *
 * A rule is a list of expressions that load registers, compare them and act (nft(8),
 * "EXPRESSIONS"). Registers are NFT_REG_1 to NFT_REG_4, 16 bytes each. A comparison that fails ends
 * the rule. Running out of memory ends the process, as in core/alloc.h.
 */
#ifndef NETFILTER_NFT_RULE_H
#define NETFILTER_NFT_RULE_H

#include <stddef.h>
#include <stdint.h>

#include "core/attr.h"

struct nftnl_rule;

NODISCARD struct nftnl_rule *nft_rule_new(uint8_t family, const char *table, const char *chain);

void nft_rule_meta(struct nftnl_rule *rule, uint32_t key, uint32_t dreg);
void nft_rule_payload(
	struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t len, uint32_t dreg);
/* op: NFT_CMP_EQ or NFT_CMP_NEQ. */
void nft_rule_cmp(
	struct nftnl_rule *rule, uint32_t sreg, uint32_t op, const void *data, uint32_t len);
/* reg &= mask. */
void nft_rule_mask(struct nftnl_rule *rule, uint32_t reg, const void *mask, uint32_t len);
/* Membership of a set, or with dreg != 0 the value of a map. */
void nft_rule_lookup(
	struct nftnl_rule *rule, const char *set, uint32_t set_id, uint32_t sreg, uint32_t dreg);
void nft_rule_load(struct nftnl_rule *rule, uint32_t dreg, const void *data, uint32_t len);
/* NF_ACCEPT, or NFT_RETURN. */
void nft_rule_verdict(struct nftnl_rule *rule, int verdict);
/* To the socket at the address and port in these registers. */
void nft_rule_tproxy(
	struct nftnl_rule *rule, uint8_t family, uint32_t address_reg, uint32_t port_reg);
/* To the port in this register, of this host. */
void nft_rule_redirect(struct nftnl_rule *rule, uint32_t port_reg);
/* The conntrack zone of the original direction. */
void nft_rule_zone(struct nftnl_rule *rule, uint32_t sreg);
/* Writes the register into the transport header, and mends the checksum at checksum_offset. */
void nft_rule_write(struct nftnl_rule *rule, uint32_t sreg, uint32_t offset, uint32_t len,
	uint32_t checksum_offset);

#endif /* NETFILTER_NFT_RULE_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netfilter/nft.h - an nftables socket and its transactions
 *
 * nft_begin() -> { nft_add(), fill the message, nft_next() }... -> nft_commit(): the kernel takes
 * all messages or none. Tables made with NFT_TABLE_F_OWNER belong to this socket: the kernel
 * removes them when it is closed, in whatever way its process ends.
 * Privilege: CAP_NET_ADMIN for every commit.
 */
#ifndef NETFILTER_NFT_H
#define NETFILTER_NFT_H

#include <stdint.h>

#include "core/attr.h"

struct err;
struct nft;
struct nlmsghdr;

NODISCARD int nft_open(struct nft **ret_nft, struct err *err);
void nft_free(struct nft *nft);

/* Drops what an unfinished transaction holds. */
void nft_begin(struct nft *nft);
/* The header of a new message, e.g. NFT_MSG_NEWTABLE for NFPROTO_IPV4; flags of netlink. */
NODISCARD struct nlmsghdr *nft_add(struct nft *nft, uint16_t type, uint8_t family, uint16_t flags);
/* The message is complete. */
void nft_next(struct nft *nft);
/* 0, or -errno with the kernel's text and which message it refused. -EBUSY: the table belongs to
 * another socket. */
NODISCARD int nft_commit(struct nft *nft, struct err *err);

#endif /* NETFILTER_NFT_H */

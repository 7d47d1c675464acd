/* SPDX-License-Identifier: Apache-2.0 */
#include "netfilter/nft.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <time.h>

#include "core/alloc.h"
#include "core/err.h"
#include "net/extack.h"

/* A transaction of ours is below 16 KiB; libmnl wants room for one message beyond the limit. */
#define NFT_BATCH_BYTES 32768

struct nft {
	struct mnl_socket *sock;
	struct mnl_nlmsg_batch *batch;
	uint32_t seq; /* of the last message added */
	bool overflow;
	uint8_t buffer[2 * NFT_BATCH_BYTES];
};

DEFINE_AUTO(nft, nft_free);

int nft_open(struct nft **ret_nft, struct err *err)
{
	AUTO(nft) nft = XNEW(struct nft);
	int on = 1;

	nft->sock = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!nft->sock || mnl_socket_bind(nft->sock, 0, MNL_SOCKET_AUTOPID) < 0)
		return err_set_errno(err, -errno, "nftables socket");
	if (mnl_socket_setsockopt(nft->sock, NETLINK_EXT_ACK, &on, sizeof(on)) < 0 ||
		mnl_socket_setsockopt(nft->sock, NETLINK_CAP_ACK, &on, sizeof(on)) < 0)
		return err_set_errno(err, -errno, "nftables socket options");
	/* Never 0, so that an answer to nothing is told apart. */
	nft->seq = (uint32_t)time(NULL) | 1;
	*ret_nft = TAKE_PTR(nft);
	return 0;
}

void nft_free(struct nft *nft)
{
	if (!nft)
		return;
	if (nft->batch)
		mnl_nlmsg_batch_stop(nft->batch);
	if (nft->sock)
		(void)mnl_socket_close(nft->sock);
	free(nft);
}

void nft_next(struct nft *nft)
{
	/* The message that went over the limit is in the buffer's other half. */
	if (!nft->overflow && !mnl_nlmsg_batch_next(nft->batch))
		nft->overflow = true;
}

void nft_begin(struct nft *nft)
{
	if (nft->batch)
		mnl_nlmsg_batch_stop(nft->batch);
	nft->batch = mnl_nlmsg_batch_start(nft->buffer, NFT_BATCH_BYTES);
	if (!nft->batch)
		abort();
	nft->overflow = false;
	(void)nftnl_batch_begin(mnl_nlmsg_batch_current(nft->batch), ++nft->seq);
	nft_next(nft);
}

struct nlmsghdr *nft_add(struct nft *nft, uint16_t type, uint8_t family, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(nft->batch), type, family,
		(uint16_t)(flags | NLM_F_ACK), ++nft->seq);
}

/* Who may not at all is refused before the first message of a transaction; after that a refused
 * permission says that the table has another owner. */
static int refusal(const struct nlmsgerr *answer)
{
	return answer->error == -EPERM && answer->msg.nlmsg_type != NFNL_MSG_BATCH_BEGIN
		       ? -EBUSY
		       : answer->error;
}

/* Reads one datagram of answers. 0 when there is none left; *ret_error is the first refusal. */
static int read_answers(struct nft *nft, uint32_t last, bool *ret_done, struct err *err)
{
	union {
		char bytes[NFT_BATCH_BYTES];
		struct nlmsghdr first;
	} in;
	char text[EXTACK_BYTES];
	ssize_t n = recv(mnl_socket_get_fd(nft->sock), in.bytes, sizeof(in.bytes), MSG_DONTWAIT);
	const struct nlmsghdr *nlh = &in.first;
	int left = (int)n;

	if (n < 0)
		return errno == EAGAIN ? 0 : err_set_errno(err, -errno, "nftables answer");
	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		const struct nlmsgerr *answer = mnl_nlmsg_get_payload(nlh);

		if (nlh->nlmsg_type != NLMSG_ERROR ||
			mnl_nlmsg_get_payload_len(nlh) < sizeof(*answer))
			continue;
		if (answer->error < 0)
			return err_set_errno(err, refusal(answer), "nftables message %d%s%s",
				(answer->msg.nlmsg_type & 0xff),
				*extack_text(nlh, text) ? ", " : "", text);
		*ret_done = *ret_done || nlh->nlmsg_seq == last;
	}
	return 1;
}

/* What a refused transaction leaves in the queue belongs to no later one. */
static void drain(struct nft *nft)
{
	char byte;

	while (recv(mnl_socket_get_fd(nft->sock), &byte, 1, MSG_DONTWAIT) >= 0)
		;
}

int nft_commit(struct nft *nft, struct err *err)
{
	uint32_t last = nft->seq;
	bool done = false;
	int r;

	(void)nftnl_batch_end(mnl_nlmsg_batch_current(nft->batch), ++nft->seq);
	nft_next(nft);
	if (nft->overflow)
		return err_set(err, -E2BIG, ERR_INTERNAL, "nftables transaction too long");
	if (mnl_socket_sendto(nft->sock, mnl_nlmsg_batch_head(nft->batch),
		    mnl_nlmsg_batch_size(nft->batch)) < 0)
		return err_set_errno(err, -errno, "nftables transaction");
	/* The kernel has handled it and queued every answer when the send returns. */
	do {
		r = read_answers(nft, last, &done, err);
	} while (r > 0);
	if (r < 0)
		drain(nft);
	else if (!done)
		r = err_set(err, -EPROTO, ERR_INTERNAL, "nftables does not answer");
	return r;
}

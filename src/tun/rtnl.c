/* SPDX-License-Identifier: Apache-2.0 */
#include "tun/rtnl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "core/alloc.h"
#include "core/err.h"
#include "net/extack.h"

/* The kernel handles a request within sendmsg(); this only bounds the impossible. */
#define RTNL_TIMEOUT_S 5

struct rtnl {
	struct nl_sock *sock;
	/* Of the exchange under way. */
	struct err *err;
	rtnl_message_fn fn;
	void *user;
	int result; /* the kernel's -errno, 0 when it has not refused */
};

DEFINE_AUTO(rtnl, rtnl_free);

static int on_error(struct sockaddr_nl *sender, struct nlmsgerr *error, void *user)
{
	struct rtnl *rtnl = user;
	char text[EXTACK_BYTES];

	(void)sender;
	/* libnl hands out the payload of the message that it checked to be whole. */
	extack_text((const struct nlmsghdr *)error - 1, text);
	rtnl->result = error->error;
	if (text[0])
		(void)err_set_errno(rtnl->err, error->error, "%s", text);
	else
		(void)err_set_errno(rtnl->err, error->error, "the kernel refuses");
	return NL_STOP;
}

static int on_message(struct nl_msg *msg, void *user)
{
	struct rtnl *rtnl = user;

	if (rtnl->fn)
		rtnl->fn(rtnl->user, nlmsg_hdr(msg));
	return NL_OK;
}

static int configure(struct nl_sock *sock, struct err *err)
{
	static const int options[] = {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK};
	struct timeval timeout = {.tv_sec = RTNL_TIMEOUT_S};
	int fd = nl_socket_get_fd(sock);
	int on = 1;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (setsockopt(fd, SOL_NETLINK, options[i], &on, sizeof(on)) < 0)
			return err_set_errno(err, -errno, "netlink option %d", options[i]);
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return err_set_errno(err, -errno, "netlink time limit");
	return 0;
}

int rtnl_open(struct rtnl **ret_rtnl, struct err *err)
{
	AUTO(rtnl) rtnl = XNEW(struct rtnl);
	int r;

	rtnl->sock = nl_socket_alloc();
	if (!rtnl->sock)
		return err_set(err, -ENOMEM, ERR_INTERNAL, "netlink socket");
	r = nl_connect(rtnl->sock, NETLINK_ROUTE);
	if (r < 0)
		return err_set(err, -EPROTO, ERR_INTERNAL, "netlink socket: %s", nl_geterror(r));
	r = configure(rtnl->sock, err);
	if (r < 0)
		return r;
	/* These fail for a kind out of range only. */
	(void)nl_socket_modify_err_cb(rtnl->sock, NL_CB_CUSTOM, on_error, rtnl);
	(void)nl_socket_modify_cb(rtnl->sock, NL_CB_VALID, NL_CB_CUSTOM, on_message, rtnl);
	*ret_rtnl = TAKE_PTR(rtnl);
	return 0;
}

void rtnl_free(struct rtnl *rtnl)
{
	if (!rtnl)
		return;
	if (rtnl->sock)
		nl_socket_free(rtnl->sock);
	free(rtnl);
}

static int send_and_receive(struct rtnl *rtnl, struct nl_msg *msg, bool dump, struct err *err)
{
	int r;

	rtnl->err = err;
	rtnl->result = 0;
	r = nl_send_auto(rtnl->sock, msg);
	/* A dump ends by its DONE, which libnl takes for the end of the exchange. */
	if (r >= 0)
		r = dump ? nl_recvmsgs_default(rtnl->sock) : nl_wait_for_ack(rtnl->sock);
	rtnl->err = NULL;
	if (rtnl->result < 0)
		return rtnl->result;
	if (r == -NLE_DUMP_INTR)
		return err_set(err, -EAGAIN, ERR_INTERNAL, "the dump was interrupted");
	if (r < 0)
		return err_set(err, -EPROTO, ERR_INTERNAL, "netlink: %s", nl_geterror(r));
	return 0;
}

int rtnl_request(struct rtnl *rtnl, struct nl_msg *msg, struct err *err)
{
	return send_and_receive(rtnl, msg, false, err);
}

int rtnl_dump(
	struct rtnl *rtnl, struct nl_msg *msg, rtnl_message_fn fn, void *user, struct err *err)
{
	int r;

	rtnl->fn = fn;
	rtnl->user = user;
	r = send_and_receive(rtnl, msg, true, err);
	rtnl->fn = NULL;
	return r;
}

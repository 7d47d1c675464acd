/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/netwatch.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/err.h"

#define GROUP(number) (1U << ((number) - 1))
#define GROUPS \
	(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | \
		RTMGRP_IPV6_ROUTE | GROUP(RTNLGRP_IPV4_RULE) | GROUP(RTNLGRP_IPV6_RULE))
/* As the kernel's own largest message. */
#define BUFFER_BYTES 32768
/* Messages read per wake-up. */
#define BATCH 64

struct netwatch {
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned int handles;
	int fd;
	unsigned int ignored; /* index of our device, 0: none */
	void (*on_change)(void *user);
	void *user;
};

static int on_attr(const struct nlattr *attr, void *user)
{
	unsigned int *device = user;

	if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
		*device = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static unsigned int route_device(const struct nlmsghdr *nlh)
{
	unsigned int device = 0;

	(void)mnl_attr_parse(nlh, sizeof(struct rtmsg), on_attr, &device);
	return device;
}

/* The device that a message is about, 0 when it names none. False: not a message of interest. */
static bool device_of(const struct nlmsghdr *nlh, unsigned int *ret_device)
{
	size_t len = mnl_nlmsg_get_payload_len(nlh);
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(nlh);
	const struct ifaddrmsg *addr = mnl_nlmsg_get_payload(nlh);

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		*ret_device = len >= sizeof(*link) ? (unsigned int)link->ifi_index : 0;
		return len >= sizeof(*link);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		*ret_device = len >= sizeof(*addr) ? addr->ifa_index : 0;
		return len >= sizeof(*addr);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		*ret_device = len >= sizeof(struct rtmsg) ? route_device(nlh) : 0;
		return len >= sizeof(struct rtmsg);
	case RTM_NEWRULE:
	case RTM_DELRULE:
		*ret_device = 0;
		return true;
	default:
		return false;
	}
}

static bool is_news(const struct netwatch *watch, const char *data, size_t len)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)(const void *)data;
	int left = (int)len;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		unsigned int device = 0;

		if (device_of(nlh, &device) && (device == 0 || device != watch->ignored))
			return true;
	}
	return false;
}

static void on_timer(uv_timer_t *timer)
{
	struct netwatch *watch = container_of(timer, struct netwatch, timer);

	watch->on_change(watch->user);
}

static void on_readable(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
	struct netwatch *watch = container_of(poll, struct netwatch, poll);
	static _Alignas(struct nlmsghdr) char data[BUFFER_BYTES];
	bool news = false;

	for (unsigned int i = 0; i < BATCH; i++) {
		struct sockaddr_nl from = {.nl_family = AF_NETLINK};
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(watch->fd, data, sizeof(data), MSG_DONTWAIT,
			(struct sockaddr *)&from, &from_len);

		if (n < 0 && errno != ENOBUFS)
			break;
		/* Only the kernel is believed; another process may send to this socket too. */
		if (n < 0 || (from.nl_pid == 0 && is_news(watch, data, (size_t)n)))
			news = true;
	}
	if (news && !uv_is_active((uv_handle_t *)&watch->timer))
		(void)uv_timer_start(&watch->timer, on_timer, NETWATCH_QUIET_MS, 0);
}

int netwatch_new(uv_loop_t *loop, void (*on_change)(void *user), void *user,
	struct netwatch **ret_watch, struct err *err)
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = GROUPS};
	auto_close int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct netwatch *watch;
	int r;

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_set_errno(err, -errno, "watching the laptop's network");
	watch = XNEW(struct netwatch);
	watch->on_change = on_change;
	watch->user = user;
	r = uv_poll_init(loop, &watch->poll, fd);
	if (r < 0) {
		free(watch);
		return err_set_errno(err, r, "watching the laptop's network");
	}
	watch->fd = take_fd(&fd);
	(void)uv_timer_init(loop, &watch->timer);
	watch->handles = 2;
	(void)uv_poll_start(&watch->poll, UV_READABLE, on_readable);
	*ret_watch = watch;
	return 0;
}

void netwatch_ignore(struct netwatch *watch, const char *device)
{
	watch->ignored = if_nametoindex(device);
}

static void closed(struct netwatch *watch)
{
	if (--watch->handles > 0)
		return;
	close(watch->fd);
	free(watch);
}

static void on_poll_closed(uv_handle_t *handle)
{
	closed(container_of((uv_poll_t *)handle, struct netwatch, poll));
}

static void on_timer_closed(uv_handle_t *handle)
{
	closed(container_of((uv_timer_t *)handle, struct netwatch, timer));
}

void netwatch_free(struct netwatch *watch)
{
	if (!watch)
		return;
	uv_close((uv_handle_t *)&watch->poll, on_poll_closed);
	uv_close((uv_handle_t *)&watch->timer, on_timer_closed);
}

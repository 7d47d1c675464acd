/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/gateways.h"

#include <errno.h>
#include <stdbool.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include "core/err.h"
#include "tun/rtnl.h"

/* A dump that other changes interrupted is taken again, this often. */
#define DUMP_TRIES 3

struct gateways {
	struct ip_addr *addrs;
	size_t count, max;
};

static void on_route(void *user, struct nlmsghdr *nlh)
{
	struct gateways *gateways = user;
	const struct rtmsg *route = nlmsg_data(nlh);
	const struct nlattr *gateway;

	if (nlh->nlmsg_type != RTM_NEWROUTE || !nlmsg_valid_hdr(nlh, sizeof(*route)) ||
		route->rtm_dst_len != 0 || route->rtm_type != RTN_UNICAST)
		return;
	gateway = nlmsg_find_attr(nlh, sizeof(*route), RTA_GATEWAY);
	if (!gateway || gateways->count == gateways->max ||
		nla_len(gateway) != (route->rtm_family == AF_INET ? 4 : 16))
		return;
	gateways->addrs[gateways->count++] =
		ip_addr_from_bytes(route->rtm_family, nla_data(gateway));
}

static int dump_once(struct rtnl *rtnl, uint8_t family, struct gateways *gateways, struct err *err)
{
	struct rtmsg info = {.rtm_family = family};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_DUMP);
	int r;

	if (msg && nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) == 0)
		r = rtnl_dump(rtnl, msg, on_route, gateways, err);
	else
		r = err_set(err, -ENOMEM, ERR_INTERNAL, "netlink message");
	nlmsg_free(msg);
	return r;
}

static int dump(struct rtnl *rtnl, uint8_t family, struct gateways *gateways, struct err *err)
{
	size_t before = gateways->count;
	int r = -EAGAIN;

	for (int i = 0; r == -EAGAIN && i < DUMP_TRIES; i++) {
		gateways->count = before;
		r = dump_once(rtnl, family, gateways, err);
	}
	return r;
}

int gateways_get(struct ip_addr *ret_addrs, size_t max, size_t *ret_count, struct err *err)
{
	struct gateways gateways = {.addrs = ret_addrs, .max = max};
	struct rtnl *rtnl = NULL;
	int r = rtnl_open(&rtnl, err);

	if (r == 0)
		r = dump(rtnl, AF_INET, &gateways, err);
	if (r == 0)
		r = dump(rtnl, AF_INET6, &gateways, err);
	rtnl_free(rtnl);
	if (r < 0)
		return err_wrap(err, r, "gateways of this pod");
	*ret_count = gateways.count;
	return 0;
}

void gateways_add(struct ip_addr *list, size_t *count, size_t max, const struct ip_addr *more,
	size_t more_count)
{
	for (size_t i = 0; i < more_count; i++) {
		bool known = false;

		for (size_t k = 0; k < *count; k++)
			known = known || ip_addr_equal(&list[k], &more[i]);
		if (!known && *count < max)
			list[(*count)++] = more[i];
	}
}

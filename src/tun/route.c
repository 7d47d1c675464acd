/* SPDX-License-Identifier: Apache-2.0 */
#include "tun/route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include "core/err.h"
#include "tun/rtnl.h"

/* A dump is interrupted when routes change meanwhile; a host that busy is asked this often. */
#define DUMP_TRIES 5

struct route_set {
	struct ip_prefix prefixes[ROUTE_MAX];
	size_t count;
	uint32_t ifindex; /* what a dump is filtered by */
};

static inline void nl_msg_auto(struct nl_msg **msg)
{
	nlmsg_free(*msg);
}

static bool contains(const struct ip_prefix *prefixes, size_t count, const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < count; i++) {
		if (prefixes[i].len == prefix->len &&
			ip_addr_equal(&prefixes[i].addr, &prefix->addr))
			return true;
	}
	return false;
}

/* metric 0: the family's usual one, or of several to be deleted the least. */
static int request(struct rtnl *rtnl, int type, uint32_t ifindex, const struct ip_prefix *prefix,
	uint32_t metric, struct err *err)
{
	struct rtmsg info = {.rtm_family = prefix->addr.family,
		.rtm_dst_len = prefix->len,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = ROUTE_PROTOCOL,
		.rtm_scope = RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST};
	int flags = type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_EXCL : 0;
	CLEANUP(nl_msg_auto) struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
	char text[ADDR_TEXT_BYTES];
	int r;

	if (!msg || nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) < 0 ||
		nla_put(msg, RTA_DST, (int)ip_addr_len(&prefix->addr), prefix->addr.bytes) < 0 ||
		nla_put_u32(msg, RTA_OIF, ifindex) < 0 ||
		(metric > 0 && nla_put_u32(msg, RTA_PRIORITY, metric) < 0))
		return err_set(err, -ENOMEM, ERR_INTERNAL, "netlink message");
	r = rtnl_request(rtnl, msg, err);
	return r < 0 ? err_wrap(err, r, "route %s", ip_prefix_format(prefix, text)) : 0;
}

/* With the usual metric first, which the kernel refuses where another route has the prefix. */
static int add(struct rtnl *rtnl, uint32_t ifindex, const struct ip_prefix *prefix, struct err *err)
{
	int r = request(rtnl, RTM_NEWROUTE, ifindex, prefix, 0, err);

	if (r < 0)
		return r;
	r = request(rtnl, RTM_NEWROUTE, ifindex, prefix, ROUTE_METRIC, err);
	if (r == 0)
		return request(rtnl, RTM_DELROUTE, ifindex, prefix, 0, err);
	/* The first failure is the one to tell. */
	(void)!request(rtnl, RTM_DELROUTE, ifindex, prefix, 0, NULL);
	return r;
}

static void on_route(void *user, struct nlmsghdr *nlh)
{
	struct route_set *set = user;
	struct nlattr *attrs[RTA_MAX + 1];
	struct ip_prefix prefix;
	struct rtmsg info;

	if (nlh->nlmsg_type != RTM_NEWROUTE ||
		nlmsg_parse(nlh, sizeof(info), attrs, RTA_MAX, NULL) < 0)
		return;
	info = *(const struct rtmsg *)nlmsg_data(nlh);
	if (info.rtm_protocol != ROUTE_PROTOCOL || info.rtm_table != RT_TABLE_MAIN ||
		!attrs[RTA_DST] || !attrs[RTA_OIF] || set->count == ROUTE_MAX)
		return;
	prefix = (struct ip_prefix){.addr.family = info.rtm_family, .len = info.rtm_dst_len};
	if (nla_get_u32(attrs[RTA_OIF]) != set->ifindex ||
		nla_len(attrs[RTA_DST]) != (int)ip_addr_len(&prefix.addr))
		return;
	prefix.addr = ip_addr_from_bytes(info.rtm_family, nla_data(attrs[RTA_DST]));
	set->prefixes[set->count++] = prefix;
}

static int dump_once(struct rtnl *rtnl, uint8_t family, struct route_set *set, struct err *err)
{
	struct rtmsg info = {.rtm_family = family, .rtm_protocol = ROUTE_PROTOCOL};
	CLEANUP(nl_msg_auto)
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_DUMP);

	if (!msg || nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) < 0 ||
		nla_put_u32(msg, RTA_OIF, set->ifindex) < 0)
		return err_set(err, -ENOMEM, ERR_INTERNAL, "netlink message");
	return rtnl_dump(rtnl, msg, on_route, set, err);
}

static int dump(struct rtnl *rtnl, uint8_t family, struct route_set *set, struct err *err)
{
	size_t before = set->count;
	int r = -EAGAIN;

	for (int i = 0; r == -EAGAIN && i < DUMP_TRIES; i++) {
		set->count = before;
		r = dump_once(rtnl, family, set, err);
	}
	return r < 0 ? err_wrap(err, r, "reading routes") : 0;
}

/* Adds what is wanted and not there; what it added is in *added, also when it fails. */
static int add_missing(struct rtnl *rtnl, const struct route_set *present, bool ipv6,
	const struct ip_prefix *wanted, size_t count, struct route_set *added, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		int r;

		if ((wanted[i].addr.family == AF_INET6 && !ipv6) ||
			contains(present->prefixes, present->count, &wanted[i]) ||
			contains(added->prefixes, added->count, &wanted[i]))
			continue;
		if (added->count == ROUTE_MAX)
			return err_set(err, -E2BIG, ERR_UNSUPPORTED, "too many routes");
		r = add(rtnl, present->ifindex, &wanted[i], err);
		if (r < 0)
			return r;
		added->prefixes[added->count++] = wanted[i];
	}
	return 0;
}

/* Removes those of the set that are not in keep. Gone already is as good. */
static int remove_except(struct rtnl *rtnl, const struct route_set *set,
	const struct ip_prefix *keep, size_t keep_count, struct err *err)
{
	for (size_t i = 0; i < set->count; i++) {
		int r;

		if (contains(keep, keep_count, &set->prefixes[i]))
			continue;
		r = request(rtnl, RTM_DELROUTE, set->ifindex, &set->prefixes[i], 0, err);
		if (r < 0 && r != -ESRCH && r != -ENOENT)
			return r;
	}
	return 0;
}

int route_sync(struct rtnl *rtnl, uint32_t ifindex, bool ipv6, const struct ip_prefix *wanted,
	size_t count, struct err *err)
{
	struct route_set present = {.ifindex = ifindex};
	struct route_set added = {.ifindex = ifindex};
	int r = dump(rtnl, AF_INET, &present, err);

	if (r == 0 && ipv6)
		r = dump(rtnl, AF_INET6, &present, err);
	if (r < 0)
		return r;
	r = add_missing(rtnl, &present, ipv6, wanted, count, &added, err);
	if (r < 0) {
		/* The first failure is the one to tell; the next request diffs what stays. */
		(void)!remove_except(rtnl, &added, NULL, 0, NULL);
		return r;
	}
	return remove_except(rtnl, &present, wanted, count, err);
}

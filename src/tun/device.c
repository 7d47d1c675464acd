/* SPDX-License-Identifier: Apache-2.0 */
#include "tun/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
/* After net/if.h, which linux/if_link.h's own includes repeat otherwise. */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "core/alloc.h"
#include "core/err.h"
#include "tun/rtnl.h"

/* Linux 6.2's, missing in older headers; older kernels refuse them with EINVAL. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
/* Packets that wait while the reader is busy; each may be 64 KiB. The kernel's default for TUN is
 * 500: bursts of small UDP datagrams overflow that, and 64 busy TCP flows lose packets there. */
#define TUN_QUEUE_PACKETS 4096
#define TUN_NAME_PATTERN  "tel%d"
/* A kernel that has not got to it in this time will do so without being waited for. */
#define LOCAL_ROUTE_TRIES    1000
#define LOCAL_ROUTE_PAUSE_MS 1

struct tun_device {
	int fd;
	uint32_t ifindex;
	char name[IFNAMSIZ];
	struct ip_prefix addr6; /* family 0: never had any */
	bool has_ipv6;
};

static inline void nl_msg_auto(struct nl_msg **msg)
{
	nlmsg_free(*msg);
}
#define AUTO_MSG CLEANUP(nl_msg_auto) struct nl_msg *

/* "0" into a setting of the device under /proc/sys/net. -ENOENT without IPv6. */
static int write_zero(const char *device, const char *setting)
{
	auto_close int fd = -1;
	char path[128];

	(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", device, setting);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, "0", 1) == 1 ? 0 : -errno;
}

static bool refuses_router_messages(const char *device)
{
	static const char *const settings[] = {"accept_ra", "accept_redirects"};

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		int r = write_zero(device, settings[i]);

		if (r < 0 && r != -ENOENT)
			return false;
	}
	return true;
}

static int set_offloads(int fd, struct err *err)
{
	const unsigned int tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int header = sizeof(struct virtio_net_hdr);

	if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		return err_set_errno(err, -errno, "TUNSETVNETHDRSZ");
	if (ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) < 0 &&
		ioctl(fd, TUNSETOFFLOAD, tcp) < 0)
		return err_set_errno(err, -errno, "TUNSETOFFLOAD");
	return 0;
}

static int find_index(const char *name, uint32_t *ret_ifindex, struct err *err)
{
	unsigned int ifindex = if_nametoindex(name);

	if (ifindex == 0)
		return err_set_errno(err, -errno, "index of %s", name);
	*ret_ifindex = ifindex;
	return 0;
}

int tun_open(struct tun_device **ret_tun, bool *ret_ra_warning, struct err *err)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	struct tun_device *tun;
	auto_close int fd = -1;
	uint32_t ifindex = 0;
	int r;

	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set_errno(err, -errno,
			"/dev/net/tun (modprobe tun loads the kernel's module; a container needs "
			"--device /dev/net/tun)");
	memcpy(request.ifr_name, TUN_NAME_PATTERN, sizeof(TUN_NAME_PATTERN));
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return err_set_errno(err, -errno, "%s",
			errno == EPERM ? "making a TUN device (a container needs --cap-add "
					 "NET_ADMIN)"
				       : "making a TUN device");
	r = set_offloads(fd, err);
	if (r == 0)
		r = find_index(request.ifr_name, &ifindex, err);
	if (r < 0)
		return r;
	*ret_ra_warning = !refuses_router_messages(request.ifr_name);
	tun = XNEW(struct tun_device);
	tun->fd = take_fd(&fd);
	tun->ifindex = ifindex;
	memcpy(tun->name, request.ifr_name, sizeof(tun->name));
	*ret_tun = tun;
	return 0;
}

static struct nl_msg *link_message(int type, uint32_t ifindex, unsigned int up)
{
	struct ifinfomsg info = {.ifi_index = (int)ifindex, .ifi_flags = up, .ifi_change = up};
	struct nl_msg *msg = nlmsg_alloc_simple(type, 0);

	if (msg && nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return msg;
}

static int no_room(struct err *err)
{
	return err_set(err, -ENOMEM, ERR_INTERNAL, "netlink message");
}

static int set_link(
	struct tun_device *tun, struct rtnl *rtnl, const struct tun_config *config, struct err *err)
{
	AUTO_MSG msg = link_message(RTM_SETLINK, tun->ifindex, 0);
	bool rename = config->name[0] && strcmp(config->name, tun->name) != 0;
	int r;

	if (!msg || nla_put_u32(msg, IFLA_MTU, config->mtu) < 0 ||
		nla_put_u32(msg, IFLA_TXQLEN, TUN_QUEUE_PACKETS) < 0 ||
		(rename && nla_put_string(msg, IFLA_IFNAME, config->name) < 0))
		return no_room(err);
	r = rtnl_request(rtnl, msg, err);
	if (r == -EEXIST)
		return err_wrap(err, r, "a device %s exists already", config->name);
	if (r < 0)
		return err_wrap(err, r, "device %s", tun->name);
	if (rename)
		memcpy(tun->name, config->name, sizeof(tun->name));
	return 0;
}

static bool means_no_ipv6(int code)
{
	return code == -EAFNOSUPPORT || code == -EOPNOTSUPP || code == -EACCES;
}

/* No link-local address: nobody on this link needs one, and with it come router solicitations. */
static int set_no_link_local(struct tun_device *tun, struct rtnl *rtnl, struct err *err)
{
	AUTO_MSG msg = link_message(RTM_SETLINK, tun->ifindex, 0);
	struct nlattr *spec, *inet6;

	if (!msg)
		return no_room(err);
	spec = nla_nest_start(msg, IFLA_AF_SPEC);
	inet6 = spec ? nla_nest_start(msg, AF_INET6) : NULL;
	if (!inet6 || nla_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE) < 0)
		return no_room(err);
	nla_nest_end(msg, inet6);
	nla_nest_end(msg, spec);
	return rtnl_request(rtnl, msg, err);
}

static int set_up(struct tun_device *tun, struct rtnl *rtnl, struct err *err)
{
	AUTO_MSG msg = link_message(RTM_SETLINK, tun->ifindex, IFF_UP);
	int r;

	if (!msg)
		return no_room(err);
	r = rtnl_request(rtnl, msg, err);
	return r < 0 ? err_wrap(err, r, "bringing %s up", tun->name) : 0;
}

/* Nobody else answers on this link, so duplicate detection would only cost its second. */
static int set_address(
	struct tun_device *tun, struct rtnl *rtnl, const struct ip_prefix *addr, struct err *err)
{
	struct ifaddrmsg info = {.ifa_family = addr->addr.family,
		.ifa_prefixlen = addr->len,
		.ifa_index = tun->ifindex};
	AUTO_MSG msg = nlmsg_alloc_simple(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
	int len = (int)ip_addr_len(&addr->addr);
	char text[ADDR_TEXT_BYTES];
	int r;

	if (!msg || nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) < 0 ||
		nla_put(msg, IFA_LOCAL, len, addr->addr.bytes) < 0 ||
		nla_put(msg, IFA_ADDRESS, len, addr->addr.bytes) < 0 ||
		(addr->addr.family == AF_INET6 && nla_put_u32(msg, IFA_FLAGS, IFA_F_NODAD) < 0))
		return no_room(err);
	r = rtnl_request(rtnl, msg, err);
	return r < 0 ? err_wrap(err, r, "address %s", ip_prefix_format(addr, text)) : 0;
}

static void on_local_route(void *user, struct nlmsghdr *nlh)
{
	bool *there = user;

	*there = *there || nlh->nlmsg_type == RTM_NEWROUTE;
}

/* Whether packets for the device's IPv6 address are this machine's; errors say nothing about it. */
static bool has_local_route(const struct tun_device *tun, struct rtnl *rtnl)
{
	struct rtmsg info = {.rtm_family = AF_INET6, .rtm_type = RTN_LOCAL};
	AUTO_MSG msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_DUMP);
	bool there = false;

	if (!msg || nlmsg_append(msg, &info, sizeof(info), NLMSG_ALIGNTO) < 0 ||
		nla_put_u32(msg, RTA_OIF, tun->ifindex) < 0)
		return false;
	return rtnl_dump(rtnl, msg, on_local_route, &there, NULL) == 0 && there;
}

/*
 * The kernel adds the route that makes a new IPv6 address its own a moment after the address, by a
 * worker that waits for its turn at the netlink lock. Who sends from the address meanwhile gets no
 * answer: what comes for it is dropped.
 */
static void await_local_route(const struct tun_device *tun, struct rtnl *rtnl)
{
	for (int i = 0; i < LOCAL_ROUTE_TRIES && !has_local_route(tun, rtnl); i++)
		(void)!poll(NULL, 0, LOCAL_ROUTE_PAUSE_MS);
}

int tun_configure(
	struct tun_device *tun, struct rtnl *rtnl, const struct tun_config *config, struct err *err)
{
	bool want6 = config->addr6.addr.family == AF_INET6;
	int r = set_link(tun, rtnl, config, err);

	if (r < 0)
		return r;
	r = set_no_link_local(tun, rtnl, err);
	if (r < 0 && !means_no_ipv6(r))
		return err_wrap(err, r, "IPv6 on %s", tun->name);
	want6 = want6 && r == 0;
	r = set_up(tun, rtnl, err);
	if (r == 0 && config->addr4.addr.family == AF_INET)
		r = set_address(tun, rtnl, &config->addr4, err);
	if (r < 0)
		return r;
	if (!want6)
		return 0;
	r = set_address(tun, rtnl, &config->addr6, err);
	if (r < 0)
		return means_no_ipv6(r) ? 0 : r;
	await_local_route(tun, rtnl);
	tun->addr6 = config->addr6;
	tun->has_ipv6 = true;
	return 0;
}

void tun_renew_ipv6(struct tun_device *tun, struct rtnl *rtnl)
{
	if (tun->addr6.addr.family == 0)
		return;
	/* What is there is not set again: everybody who follows this machine's addresses would hear
	 * of it, and ask for the same in turn. */
	tun->has_ipv6 = has_local_route(tun, rtnl);
	if (tun->has_ipv6)
		return;
	tun->has_ipv6 = set_address(tun, rtnl, &tun->addr6, NULL) == 0;
	if (tun->has_ipv6)
		await_local_route(tun, rtnl);
}

uint32_t tun_ifindex(const struct tun_device *tun)
{
	return tun->ifindex;
}

const char *tun_name(const struct tun_device *tun)
{
	return tun->name;
}

bool tun_has_ipv6(const struct tun_device *tun)
{
	return tun->has_ipv6;
}

int tun_fd(const struct tun_device *tun)
{
	return tun->fd;
}

void tun_close_fd(struct tun_device *tun)
{
	if (tun->fd >= 0)
		close(take_fd(&tun->fd));
}

int tun_delete(struct tun_device *tun, struct rtnl *rtnl, struct err *err)
{
	AUTO_MSG msg = link_message(RTM_DELLINK, tun->ifindex, 0);

	return msg ? rtnl_request(rtnl, msg, err) : no_room(err);
}

void tun_free(struct tun_device *tun)
{
	if (!tun)
		return;
	tun_close_fd(tun);
	free(tun);
}

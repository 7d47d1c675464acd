/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipc/root_client.h - the user daemon's side of the root daemon's protocol (docs/ipc.md)
 *
 * The root daemon listens on the abstract socket "@telepresence-rootd-<uid>" (one per network
 * namespace, gone with its process), serves one peer of that uid, and ends when that peer closes.
 * Calls are synchronous with LIMIT_IPC_TIMEOUT_MS: each is a handful of system calls on the other
 * side. The connection's fd is to be watched by the caller: readable means the root daemon has
 * ended.
 */
#ifndef IPC_ROOT_CLIENT_H
#define IPC_ROOT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/attr.h"
#include "net/addr.h"

struct err;
struct root_client;

struct root_tun_request {
	char name[16]; /* "": the kernel picks tel%d */
	uint32_t mtu; /* 1280..65535 */
	struct ip_prefix addr4; /* the TUN's own address with its on-link prefix; family 0: none */
	struct ip_prefix addr6;
};

struct root_tun {
	int fd; /* the caller's; closing it removes device, addresses and routes */
	uint32_t ifindex;
	char name[16];
	bool ipv6; /* false: this kernel has no IPv6 or it is off; addr6 and IPv6 routes were left
		      out */
};

/* Connects and checks that the server runs as root. -ENOENT / -ECONNREFUSED: no root daemon there.
 */
NODISCARD int root_client_connect(uid_t uid, struct root_client **ret_client, struct err *err);
void root_client_free(
	struct root_client *client); /* the root daemon ends and undoes all it holds */
int root_client_fd(const struct root_client *client);

NODISCARD int root_client_tun(struct root_client *client, const struct root_tun_request *request,
	struct root_tun *ret_tun, struct err *err);
/* The map of net/shortcut.h for that device, once: a descriptor, or -errno: -EOPNOTSUPP where the
 * kernel has none, and nothing is lost without. */
NODISCARD int root_client_shortcut(struct root_client *client, struct err *err);
/* The wanted routes through that device, whole: the root daemon diffs. 0..LIMIT_ROOT_PREFIXES. */
NODISCARD int root_client_routes(struct root_client *client, const struct ip_prefix *prefixes,
	size_t count, struct err *err);
/* Redirects UDP and TCP port 53 of these nameservers to 127.0.0.1/[::1]:port; count 0 ends it. */
NODISCARD int root_client_dns(struct root_client *client, const struct ip_addr *nameservers,
	size_t count, uint16_t port, struct err *err);
/*
 * systemd-resolved asks 127.0.0.1:port for names below these domains: each with its NUL, "~" before
 * those that are not searched; 0 bytes end it. -ENOENT: resolved is not the system's resolver, or
 * cannot be told so.
 */
NODISCARD int root_client_resolved(struct root_client *client, uint16_t port, const char *domains,
	size_t bytes, struct err *err);
/* A socket (AF_INET/AF_INET6, SOCK_DGRAM/SOCK_STREAM) that the redirect leaves alone. fd or -errno.
 */
NODISCARD int root_client_socket(struct root_client *client, int family, int type, struct err *err);
/* Version of the root daemon, for `version` and the start-up check. Borrowed. */
const char *root_client_version(const struct root_client *client);

#endif /* IPC_ROOT_CLIENT_H */

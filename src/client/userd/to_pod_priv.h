/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/to_pod_priv.h - what to_pod.c (the set, TCP) and to_pod_udp.c share
 */
#ifndef CLIENT_USERD_TO_POD_PRIV_H
#define CLIENT_USERD_TO_POD_PRIV_H

#include "client/userd/to_pod.h"
#include "net/addr.h"
#include "tunnel/listener.h"

struct to_pod_conn;
struct to_pod_flow;

/* One port of one family. */
struct to_pod_socket {
	struct to_pod *to_pod;
	struct to_pod_port port;
	struct listener listener; /* TCP */
	uv_udp_t udp;
	struct to_pod_flow *flows; /* UDP, by source; owns */
	size_t flow_count;
	struct to_pod_socket *next;
};

struct to_pod {
	uv_loop_t *loop;
	const struct uplink *uplink;
	char *uid; /* NULL: closed */
	struct to_pod_socket *sockets; /* owns */
	struct to_pod_conn *conns; /* owns */
	unsigned int open_handles;
};

/* A handle of the set has closed; the last one frees it. */
void to_pod_unref(struct to_pod *to_pod);

/* Binds and listens. */
NODISCARD int to_pod_udp_start(struct to_pod_socket *sock, const struct ip_endpoint *at);
void to_pod_udp_close(struct to_pod_socket *sock); /* its flows end */
void to_pod_udp_stop(struct to_pod_socket *sock); /* to_pod_unref() follows */

#endif /* CLIENT_USERD_TO_POD_PRIV_H */

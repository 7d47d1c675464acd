/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/to_pod_priv.h - what to_pod.c (the set, TCP) and to_pod_udp.c share
 */
#ifndef CLIENT_USERD_TO_POD_PRIV_H
#define CLIENT_USERD_TO_POD_PRIV_H

#include "client/userd/to_pod.h"
#include "net/addr.h"
#include "tunnel/listener.h"

struct h2_head;
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
	uint64_t opened, failed; /* connections, or flows */
	const char *why; /* the last one failed; static, NULL: none has */
	struct to_pod_socket *next;
};

struct to_pod {
	uv_loop_t *loop;
	const struct uplink *uplink;
	char *uid; /* NULL: closed */
	struct to_pod_port *ports; /* as they were asked for; owns */
	size_t port_count;
	struct to_pod_socket *sockets; /* owns */
	struct to_pod_conn *conns; /* owns */
	unsigned int open_handles;
};

/* A handle of the set has closed; the last one frees it. */
void to_pod_unref(struct to_pod *to_pod);

/* One did not get into the pod; head: the answer that says why, NULL: nobody could be asked. */
void to_pod_failed(struct to_pod_socket *sock, const struct h2_head *head);

/* Binds and listens. */
NODISCARD int to_pod_udp_start(struct to_pod_socket *sock, const struct ip_endpoint *at);
void to_pod_udp_close(struct to_pod_socket *sock); /* its flows end */
void to_pod_udp_stop(struct to_pod_socket *sock); /* to_pod_unref() follows */

#endif /* CLIENT_USERD_TO_POD_PRIV_H */

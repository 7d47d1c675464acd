/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/to_pod.h - ports of the laptop's localhost that are ports of an intercepted pod's
 *
 * Every connection (for UDP: every source) becomes a CONNECT stream of the tunnel with the
 * intercept's UID, which the manager hands on to the pod's agent (docs/agent.md, section 8). A
 * plain listener has accepted before the pod was asked; one that the pod refuses is reset at once.
 * Threading: loop thread only.
 */
#ifndef CLIENT_USERD_TO_POD_H
#define CLIENT_USERD_TO_POD_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"

struct err;
struct to_pod;
struct uplink;

struct to_pod_port {
	uint16_t port;
	bool udp;
};

/* "PORT[/tcp|/udp]", in any case. */
NODISCARD int to_pod_parse(const char *text, struct to_pod_port *ret_port, struct err *err);
/* Binds all of them, or none: -EADDRINUSE, -EACCES. Until to_pod_open() connections are reset. */
NODISCARD int to_pod_new(uv_loop_t *loop, const struct uplink *uplink,
	const struct to_pod_port *ports, size_t count, struct to_pod **ret_to_pod, struct err *err);
/* Whose pods they lead to from now on. */
void to_pod_open(struct to_pod *to_pod, const char *uid);
/* To nobody's: open connections end. */
void to_pod_close(struct to_pod *to_pod); /* NULL-safe */
/* An array, an object for each port: "port", "protocol", how many "connections" there were and
 * "failed", and "reason" why the last one did. */
NODISCARD json_object *to_pod_describe(const struct to_pod *to_pod);
void to_pod_free(struct to_pod *to_pod); /* NULL-safe; deferred; the ports are free at once */

#endif /* CLIENT_USERD_TO_POD_H */

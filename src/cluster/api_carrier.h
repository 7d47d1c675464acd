/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/api_carrier.h - an upgraded connection as a tunnel's carrier
 *
 * Internal to the folder. The payload is the tunnel's bytes, but for a port-forward by
 * v4.channel.k8s.io: there each message starts with a channel byte, 0 data and 1 error; the first
 * message of each carries the port.
 */
#ifndef CLUSTER_WS_CARRIER_H
#define CLUSTER_WS_CARRIER_H

#include <stdbool.h>

#include "cluster/upconn.h"
#include "tunnel/carrier.h"

/* Takes the connection, whose on_open has come. */
struct carrier *api_carrier_new(struct upconn *conn, bool port_forward, bool channels);

#endif /* CLUSTER_WS_CARRIER_H */

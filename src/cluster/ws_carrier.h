/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/ws_carrier.h - an open WebSocket connection as a tunnel's carrier
 *
 * Internal to the folder. Plain: the payload is the tunnel's bytes. Port-forward
 * (v4.channel.k8s.io): each message starts with a channel byte, 0 data and 1 error; the first
 * message of each carries the port.
 */
#ifndef CLUSTER_WS_CARRIER_H
#define CLUSTER_WS_CARRIER_H

#include <stdbool.h>

#include "cluster/wsconn.h"
#include "tunnel/carrier.h"

/* Takes the connection, whose on_open has come. */
struct carrier *ws_carrier_new(struct wsconn *conn, bool port_forward);

#endif /* CLUSTER_WS_CARRIER_H */

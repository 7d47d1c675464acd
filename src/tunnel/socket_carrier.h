/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/socket_carrier.h - a connected socket as a carrier, bare or as a WebSocket server
 *
 * Ownership: takes the fd (non-blocking). At most one record waits in memory: there is no room
 * while the socket holds back bytes.
 */
#ifndef TUNNEL_SOCKET_CARRIER_H
#define TUNNEL_SOCKET_CARRIER_H

#include <uv.h>

#include "tunnel/carrier.h"

enum socket_framing { SOCKET_RAW, SOCKET_WEBSOCKET };

struct carrier *socket_carrier_new(uv_loop_t *loop, int fd, enum socket_framing framing);

#endif /* TUNNEL_SOCKET_CARRIER_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/tls_carrier.h - a connected socket with TLS as a carrier, either side
 *
 * There is no room before the TLS handshake is over; on_writable says when it is. A server sends
 * nothing, no alert either, before it has taken a valid ClientHello. Otherwise as
 * tunnel/socket_carrier.h, whose rules of room and back-pressure hold here.
 * Ownership: takes the fd (non-blocking); the context is borrowed and outlives the carrier.
 */
#ifndef TUNNEL_TLS_CARRIER_H
#define TUNNEL_TLS_CARRIER_H

#include <openssl/types.h>
#include <stdbool.h>
#include <uv.h>

#include "tunnel/carrier.h"

enum tls_side { TLS_SIDE_CLIENT, TLS_SIDE_SERVER };

/*
 * on_closed tells ERR_NONE for TLS's own close, ERR_AUTH when either side did not accept the
 * other's certificate, and ERR_UNREACHABLE when the connection just ended.
 */
struct carrier *tls_carrier_new(uv_loop_t *loop, int fd, SSL_CTX *tls, enum tls_side side);
/* The peer's verified certificate; NULL: it has shown none. Borrowed. */
X509 *tls_carrier_peer_cert(const struct carrier *carrier);
/* The peer has sent TLS's close: it ended this on purpose. */
bool tls_carrier_ended(const struct carrier *carrier);
/* carrier_free() will not send TLS's close: the peer is not to think that this was meant for it. */
void tls_carrier_abort(struct carrier *carrier);

#endif /* TUNNEL_TLS_CARRIER_H */

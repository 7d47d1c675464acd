/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/listen.h - DNS over UDP and TCP on 127.0.0.1 and ::1, one port, for this machine's programs
 *
 * A message arrives with a peer, which is what the reply goes to. Replies leave from the address
 * that was asked, in any order (RFC 7766 6.2.1.1). A TCP connection may have CONN_QUERIES messages
 * unanswered; reading stops there.
 */
#ifndef DNS_LISTEN_H
#define DNS_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"

struct dns_listener;
struct dns_peer;
struct dns_sockets;
struct err;

/* Each peer is given back by dns_peer_reply(), from within or later. */
typedef void (*dns_message_fn)(void *user, struct dns_peer *peer, const uint8_t *msg, size_t len);

/* Takes the sockets, also when it fails. */
NODISCARD int dns_listener_new(uv_loop_t *loop, struct dns_sockets *sockets,
	dns_message_fn on_message, void *user, struct dns_listener **ret_listener, struct err *err);
/* Deferred. Every peer must have been given back. */
void dns_listener_free(struct dns_listener *listener);
uint16_t dns_listener_port(const struct dns_listener *listener);
/* Datagrams that found the sockets' buffers full. */
uint64_t dns_listener_lost(const struct dns_listener *listener);

bool dns_peer_is_tcp(const struct dns_peer *peer);
/* msg NULL: no reply. Copies. The peer is dead afterwards. */
void dns_peer_reply(struct dns_peer *peer, const uint8_t *msg, size_t len);

#endif /* DNS_LISTEN_H */

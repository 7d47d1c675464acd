/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/peer_priv.h - what peer.c (proof and life) and peer_sniff.c (the first bytes) share
 */
#ifndef TUNNEL_PEER_PRIV_H
#define TUNNEL_PEER_PRIV_H

#include "core/buf.h"
#include "tunnel/peer.h"
#include "tunnel/proof.h"
#include "tunnel/socket_carrier.h"

struct h2_session;
struct pipe;

/* SNIFF -> PROVING -> PROVEN -> GONE; every state may go to GONE. */
enum peer_state { SNIFF, PROVING, PROVEN, GONE };

struct tunnel_peer {
	struct peer_link link;
	struct tunnel_server *server;
	enum peer_state state;
	int fd; /* until the carrier takes it */
	uv_poll_t poll; /* while sniffing */
	uv_timer_t deadline;
	uv_timer_t retry;
	unsigned int open_handles;
	struct buf in;
	struct pipe *pipe;
	struct h2_session *h2;
	uint8_t nonce[PROOF_NONCE_BYTES];
	bool has_proof;
	unsigned int tries;
	struct proof proof;
	void *user;
};

/* peer.c: the form is known; records from here on, the manager's HELLO first. */
void peer_start_pipe(struct tunnel_peer *peer, enum socket_framing framing);

/* peer_sniff.c: starts to read the first bytes. */
void peer_sniff(struct tunnel_peer *peer);

#endif /* TUNNEL_PEER_PRIV_H */

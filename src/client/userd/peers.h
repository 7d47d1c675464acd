/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/peers.h - the command lines that wait for one thing; borrows them
 */
#ifndef CLIENT_USERD_PEERS_H
#define CLIENT_USERD_PEERS_H

#include <stdbool.h>
#include <stddef.h>

struct userd_peer;

/* More than that are told to come back. */
#define USERD_WAITING 16

struct peer_list {
	struct userd_peer *peers[USERD_WAITING];
	size_t count;
};

bool peer_list_add(struct peer_list *list, struct userd_peer *peer);
bool peer_list_remove(struct peer_list *list, const struct userd_peer *peer);

#endif /* CLIENT_USERD_PEERS_H */

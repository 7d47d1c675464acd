/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/peers.h"

bool peer_list_add(struct peer_list *list, struct userd_peer *peer)
{
	if (list->count == USERD_WAITING)
		return false;
	list->peers[list->count++] = peer;
	return true;
}

bool peer_list_remove(struct peer_list *list, const struct userd_peer *peer)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->peers[i] == peer) {
			list->peers[i] = list->peers[--list->count];
			return true;
		}
	}
	return false;
}

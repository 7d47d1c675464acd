/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/sessions.h - the Session objects of the manager's namespace, and who is connected by them
 *
 * Kubernetes is the store: a watch keeps the table, a peer is let in by the key in its object, a
 * deleted object ends its peers at once, status and expiry are written back by merge patch and
 * delete. A lookup before the first list is complete finds nothing; on_synced tells.
 */
#ifndef MANAGER_SESSIONS_H
#define MANAGER_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/attr.h"
#include "tunnel/dials.h"
#include "tunnel/key.h"

struct h2_session;
struct kube_client;
struct sessions;
struct tunnel_peer;

/* What the manager keeps for each peer, as its user pointer. */
struct peer {
	struct tunnel_peer *tunnel;
	char *session_uid;
	uint64_t silent_ms; /* when it was last heard, while it does not count as there; else 0 */
	struct dials dials;
	unsigned int associations; /* open, see datagram.h */
	struct peer *prev, *next;
};

/* A carrier that nothing was heard of for so long does not count until it is heard again; streams
 * on it go on. With the sweep of every second, before LIMIT_CARRIER_SILENCE_MS are over. */
#define SESSIONS_SILENCE_MS 4000

struct sessions *sessions_new(uv_loop_t *loop, struct kube_client *client, const char *namespace);
/* None is kept for longer without a tunnel, whatever it asks for. Before the loop runs. */
void sessions_limit_ttl(struct sessions *sessions, unsigned int max_s);
/* Stops the watch; every peer must be gone. Deferred. NULL-safe. */
void sessions_free(struct sessions *sessions);
bool sessions_synced(const struct sessions *sessions);
/* The owner of a Session, or NULL when there is none (any more). Borrowed. */
const char *sessions_owner(const struct sessions *sessions, const char *uid);
/* Told when a Session came, changed hands of its tunnels, or went (owner NULL by then). One
 * observer. */
void sessions_observe(
	struct sessions *sessions, void (*on_change)(void *user, const char *uid), void *user);
/* A reversed carrier of that Session to open streams on; NULL: none, or it is silent. Borrowed. */
struct h2_session *sessions_reverse(const struct sessions *sessions, const char *uid);
/* Its laptop did not answer what was asked at since_ms (uv_now): until a byte that came later than
 * that is heard of a carrier, sessions_reverse() does not give it. */
void sessions_silent(struct sessions *sessions, const char *uid, uint64_t since_ms);
NODISCARD int sessions_lookup(
	void *sessions, const char *uid, uint8_t ret_public[static SESSION_KEY_BYTES]);
/* NULL when the Session went between proof and now: close the peer. */
struct peer *sessions_join(struct sessions *sessions, struct tunnel_peer *tunnel);
void sessions_leave(struct sessions *sessions, struct peer *peer); /* frees the peer */
/* Its carriers are to be another replica's: no peer is let in and no stream is opened on those that
 * there are; what is written of the objects is not this replica's matter any more. */
void sessions_hand_over(struct sessions *sessions);

#endif /* MANAGER_SESSIONS_H */

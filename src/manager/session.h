/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/session.h - one Session object as the manager sees it: key, peers, expiry, status
 *
 * No I/O here. Times called _ms are of the loop's clock (uv_now), times called _wall are seconds of
 * UTC, as in the object. A Session expires when it had no peer, at this or any other replica, for
 * its ttl: the deadline moves with every peer and with every status.lastSeen that comes by watch.
 */
#ifndef MANAGER_SESSION_H
#define MANAGER_SESSION_H

#include <json-c/json.h>
#include <stdbool.h>
#include <time.h>

/* uthash's own choice falls through between cases, which clang cannot be told is meant. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>

#include "core/attr.h"
#include "tunnel/key.h"

struct err;
struct kube_request;
struct sessions;

/* Bounds of spec.ttlSeconds in the CRD, and what holds when it is absent. */
#define SESSION_TTL_MIN_S     10
#define SESSION_TTL_MAX_S     86400
#define SESSION_TTL_DEFAULT_S 900
/* An object from before the manager's start is kept this long in any case, so that its client can
 * come back first. */
#define SESSION_GRACE_MS 30000
/* A client is back this soon after a restart of the manager, or its Session says Disconnected. */
#define SESSION_RETURN_MS 1500
#define SESSION_UID_BYTES 64

struct session {
	char uid[SESSION_UID_BYTES];
	char *name, *owner;
	uint8_t public_key[SESSION_KEY_BYTES];
	unsigned int ttl_s;
	unsigned int peers; /* carriers that this replica holds */
	time_t connected_wall; /* 0: never */
	time_t changed_wall; /* when the first peer came or the last one went */
	uint64_t expires_ms; /* meaningful while peers == 0 */
	uint64_t patch_due_ms; /* when status.lastSeen is to be written again */
	uint64_t silent_ms; /* a carrier that was last heard by then is not asked; 0: any is */
	bool ending; /* deletionTimestamp is set */
	struct sessions *table; /* of manager/sessions.h, with the one write in flight or NULL */
	struct kube_request *write;
	UT_hash_handle hh;
};

/* Reads a Session object, new or from before the manager's start. 0, or -EINVAL with err saying
 * which field is off. */
NODISCARD int session_parse(json_object *object, bool is_new, uint64_t now_ms, time_t now_wall,
	struct session **ret_session, struct err *err);
/* Takes over what may change in the object: lastSeen and deletionTimestamp. */
void session_update(struct session *session, json_object *object, uint64_t now_ms, time_t now_wall);
/* It ends without a peer sooner than it asks for, if max_s says so; after the grace in any case. */
void session_limit_ttl(struct session *session, unsigned int max_s, uint64_t now_ms);
void session_free(struct session *session); /* NULL-safe; not in any table */

void session_peer_joined(struct session *session, uint64_t now_ms, time_t now_wall);
void session_peer_left(struct session *session, uint64_t now_ms, time_t now_wall);
bool session_expired(const struct session *session, uint64_t now_ms);
/* Whether status is to be written now: something changed, or a third of the ttl has passed. */
bool session_patch_due(const struct session *session, uint64_t now_ms);
/* The merge patch of /status, malloc'd; the next one is due a third of the ttl later. */
NODISCARD char *session_patch(struct session *session, uint64_t now_ms, time_t now_wall);

#endif /* MANAGER_SESSION_H */

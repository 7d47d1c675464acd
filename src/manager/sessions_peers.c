/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carriers of Sessions. A laptop whose packets vanish without a word leaves carriers that nobody
 * ends for a minute, for what they carry goes on if it comes back. But nobody is there: its TTL
 * begins, and what is intercepted goes to the apps, once nothing was heard for as long as the
 * laptop itself would wait.
 */
#include <string.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/log.h"
#include "manager/sessions_impl.h"
#include "tunnel/server.h"

static bool is_silent(const struct peer *peer)
{
	return peer->silent_ms > 0 && tunnel_peer_heard_ms(peer->tunnel) <= peer->silent_ms;
}

static void listen_to(struct sessions *sessions, struct peer *peer)
{
	uint64_t now = sessions_now_ms(sessions), heard = tunnel_peer_heard_ms(peer->tunnel);
	bool silent = now >= MAX(heard, sessions->awake_ms) + SESSIONS_SILENCE_MS;
	struct session *session = sessions_find(sessions, peer->session_uid);

	if (!session || silent == (peer->silent_ms > 0))
		return;
	peer->silent_ms = silent ? heard : 0;
	if (silent)
		session_peer_left(session, now, time(NULL));
	else
		session_peer_joined(session, now, time(NULL));
	log_info(silent ? "peer silent" : "peer heard again", "session=%s owner=%s carriers=%u",
		session->name, session->owner, session->peers);
	sessions_changed(sessions, session->uid);
}

/* What came while this process stood still is not read yet: that is nobody's silence. */
void sessions_listen(struct sessions *sessions, uint64_t every_ms)
{
	struct peer *peer = NULL;

	if (sessions_now_ms(sessions) > sessions->swept_ms + 2 * every_ms)
		sessions->awake_ms = sessions_now_ms(sessions);
	sessions->swept_ms = sessions_now_ms(sessions);
	DL_FOREACH (sessions->peers, peer)
		listen_to(sessions, peer);
}

void sessions_close(struct sessions *sessions, const char *uid, const char *reason)
{
	struct peer *peer = NULL, *next = NULL;

	DL_FOREACH_SAFE (sessions->peers, peer, next) {
		if (strcmp(peer->session_uid, uid) == 0)
			tunnel_peer_close(peer->tunnel, reason);
	}
}

/* The carrier that was heard last is the likeliest to be alive: a client that came back by another
 * network has left a dead one behind. */
struct h2_session *sessions_reverse(const struct sessions *sessions, const char *uid)
{
	const struct session *session = sessions_find(sessions, uid);
	struct h2_session *best = NULL;
	uint64_t best_ms = 0, heard_ms;
	struct peer *peer = NULL;

	if (!session || session->ending || sessions->handed_over)
		return NULL;
	DL_FOREACH (sessions->peers, peer) {
		if (!tunnel_peer_h2(peer->tunnel) || strcmp(peer->session_uid, uid) != 0)
			continue;
		heard_ms = tunnel_peer_heard_ms(peer->tunnel);
		if (is_silent(peer) || (heard_ms <= session->silent_ms && session->silent_ms > 0))
			continue;
		if (!best || heard_ms >= best_ms) {
			best = tunnel_peer_h2(peer->tunnel);
			best_ms = heard_ms;
		}
	}
	return best;
}

void sessions_silent(struct sessions *sessions, const char *uid, uint64_t since_ms)
{
	struct session *session = sessions_find(sessions, uid);

	if (session)
		session->silent_ms = MAX(session->silent_ms, since_ms);
}

struct peer *sessions_join(struct sessions *sessions, struct tunnel_peer *tunnel)
{
	struct session *session = sessions_find(sessions, tunnel_peer_session_uid(tunnel));
	struct peer *peer;

	if (!session || session->ending || sessions->handed_over)
		return NULL;
	peer = XNEW(struct peer);
	peer->tunnel = tunnel;
	peer->session_uid = xstrdup(session->uid);
	DL_APPEND(sessions->peers, peer);
	session_peer_joined(session, sessions_now_ms(sessions), time(NULL));
	log_info("peer joined", "session=%s owner=%s carriers=%u", session->name, session->owner,
		session->peers);
	sessions_write_status(session);
	sessions_changed(sessions, session->uid);
	return peer;
}

void sessions_leave(struct sessions *sessions, struct peer *peer)
{
	struct session *session = sessions_find(sessions, peer->session_uid);

	DL_DELETE(sessions->peers, peer);
	if (session && !sessions->handed_over) {
		if (peer->silent_ms == 0)
			session_peer_left(session, sessions_now_ms(sessions), time(NULL));
		log_info("peer left", "session=%s owner=%s carriers=%u", session->name,
			session->owner, session->peers);
		sessions_write_status(session);
		sessions_changed(sessions, session->uid);
	}
	free(peer->session_uid);
	free(peer);
}

/* The last word about each: its tunnel is gone. The successor's first one follows it. */
void sessions_hand_over(struct sessions *sessions)
{
	struct session *session = NULL, *next = NULL;
	struct peer *peer = NULL;

	DL_FOREACH (sessions->peers, peer) {
		session = sessions_find(sessions, peer->session_uid);
		if (session && peer->silent_ms == 0)
			session_peer_left(session, sessions_now_ms(sessions), time(NULL));
	}
	HASH_ITER (hh, sessions->table, session, next) {
		if (session_patch_due(session, sessions_now_ms(sessions)))
			sessions_write_status(session);
	}
	sessions->handed_over = true;
	(void)uv_timer_stop(&sessions->sweep);
}

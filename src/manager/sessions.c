/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/sessions.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "cluster/client.h"
#include "cluster/watch.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "manager/session.h"
#include "tunnel/server.h"

#define API_VERSION "telepresence.io/v1alpha1"
#define PLURAL      "sessions"

/* Deadlines are in seconds; a sweep of an empty table does not happen. */
#define SWEEP_MS 1000
/* A write that the API server refused is tried again after this long. */
#define RETRY_MS 10000

struct sessions {
	uv_loop_t *loop;
	struct kube_client *client;
	struct kube_watch *watch;
	char *namespace;
	struct session *table; /* by uid; owns */
	struct peer *peers; /* owns */
	uv_timer_t sweep;
	unsigned int ttl_max_s;
	bool synced;
	void (*on_change)(void *user, const char *uid); /* or NULL */
	void *change_user;
};

static struct session *find(const struct sessions *sessions, const char *uid)
{
	struct session *session = NULL;

	HASH_FIND_STR(sessions->table, uid, session);
	return session;
}

static uint64_t now_ms(const struct sessions *sessions)
{
	return uv_now(sessions->loop);
}

static void changed(const struct sessions *sessions, const char *uid)
{
	if (sessions->on_change)
		sessions->on_change(sessions->change_user, uid);
}

static void write_status(struct session *session);

/* Whoever wrote the object since has the newer truth, and a 404 means that it is gone: the watch
 * brings both. Everything else is said once here and tried again later. */
static void on_written(
	void *user, int r, int status, json_object *body UNUSED, const struct err *err)
{
	struct session *session = user;
	uint64_t now = now_ms(session->table);

	session->write = NULL;
	if (r < 0 && r != -ENOENT && r != -EAGAIN) {
		log_warn("writing a session failed", "name=%s status=%d error=%s", session->name,
			status, err->msg);
		session->patch_due_ms = MIN(session->patch_due_ms, now + RETRY_MS);
	} else if (session_patch_due(session, now)) {
		write_status(session);
	}
}

static void send_request(struct session *session, const char *method, const char *subresource,
	const char *content_type, const char *body)
{
	struct sessions *sessions = session->table;
	auto_free char *object = kube_path(API_VERSION, PLURAL, sessions->namespace, session->name);
	auto_free char *path = xasprintf("%s%s", object, subresource);
	struct kube_request_config config = {
		.method = method, .path = path, .content_type = content_type, .body = body};

	kube_request(sessions->client, &config, on_written, session, &session->write);
}

/* One write at a time: two in flight could arrive in either order. */
static void write_status(struct session *session)
{
	auto_free char *patch = NULL;

	if (session->write || session->ending)
		return;
	patch = session_patch(session, now_ms(session->table), time(NULL));
	send_request(session, "PATCH", "/status", "application/merge-patch+json", patch);
}

static void expire(struct session *session)
{
	auto_free char *options = NULL;

	if (session->write)
		return;
	options = session_delete_options(session);

	log_info("session expired", "name=%s owner=%s ttl_s=%u", session->name, session->owner,
		session->ttl_s);
	session->expires_ms = now_ms(session->table) + RETRY_MS;
	send_request(session, "DELETE", "", NULL, options);
}

static void on_sweep(uv_timer_t *timer)
{
	struct sessions *sessions = timer->data;
	struct session *session = NULL, *next = NULL;

	HASH_ITER (hh, sessions->table, session, next) {
		if (session_expired(session, now_ms(sessions)))
			expire(session);
		else if (session_patch_due(session, now_ms(sessions)))
			write_status(session);
	}
	if (!sessions->table)
		(void)uv_timer_stop(timer);
}

static void arm(struct sessions *sessions)
{
	if (sessions->synced && sessions->table && !uv_is_active((uv_handle_t *)&sessions->sweep))
		(void)uv_timer_start(&sessions->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

static void close_peers_of(struct sessions *sessions, const char *uid, const char *reason)
{
	struct peer *peer = NULL, *next = NULL;

	DL_FOREACH_SAFE (sessions->peers, peer, next) {
		if (strcmp(peer->session_uid, uid) == 0)
			tunnel_peer_close(peer->tunnel, reason);
	}
}

static void remove_session(struct sessions *sessions, struct session *session)
{
	HASH_DEL(sessions->table, session);
	if (session->write)
		kube_request_cancel(session->write);
	session_free(session);
}

static void on_deleted(struct sessions *sessions, const char *uid)
{
	struct session *session = find(sessions, uid);

	if (!session)
		return;
	log_info("session ended", "name=%s owner=%s", session->name, session->owner);
	remove_session(sessions, session);
	close_peers_of(sessions, uid, "the session was deleted");
	changed(sessions, uid);
}

static void on_seen(struct sessions *sessions, const char *uid, json_object *object)
{
	struct session *session = find(sessions, uid);
	bool is_new = !session, was_ending = session && session->ending;
	struct err err = ERR_INIT;

	if (session) {
		session_update(session, object, now_ms(sessions), time(NULL));
	} else {
		if (session_parse(object, sessions->synced, now_ms(sessions), time(NULL), &session,
			    &err) < 0) {
			log_warn("session ignored", "error=%s", err.msg);
			return;
		}
		session_limit_ttl(session, sessions->ttl_max_s, now_ms(sessions));
		session->table = sessions;
		HASH_ADD_STR(sessions->table, uid, session);
		log_info("session found", "name=%s owner=%s", session->name, session->owner);
	}
	/* A finalizer may keep the object for long; its tunnel ends with the request to delete. */
	if (session->ending)
		close_peers_of(sessions, uid, "the session was deleted");
	arm(sessions);
	if (is_new || session->ending != was_ending)
		changed(sessions, uid);
}

static void on_event(void *user, enum kube_event event, json_object *object)
{
	struct sessions *sessions = user;
	json_object *metadata = NULL, *uid = NULL;

	if (!json_object_object_get_ex(object, "metadata", &metadata) ||
		!json_object_object_get_ex(metadata, "uid", &uid))
		return;
	if (event == KUBE_DELETED)
		on_deleted(sessions, json_object_get_string(uid));
	else
		on_seen(sessions, json_object_get_string(uid), object);
}

static void on_synced(void *user)
{
	struct sessions *sessions = user;

	sessions->synced = true;
	arm(sessions);
}

static void on_error(void *user UNUSED, const struct err *err)
{
	log_warn("watch of sessions failed", "error=%s", err->msg);
}

static const struct kube_watch_events watch_events = {
	.on_event = on_event,
	.on_synced = on_synced,
	.on_error = on_error,
};

struct sessions *sessions_new(uv_loop_t *loop, struct kube_client *client, const char *namespace)
{
	struct sessions *sessions = XNEW(struct sessions);
	auto_free char *path = kube_path(API_VERSION, PLURAL, namespace, NULL);

	sessions->loop = loop;
	sessions->client = client;
	sessions->namespace = xstrdup(namespace);
	sessions->ttl_max_s = SESSION_TTL_MAX_S;
	(void)uv_timer_init(loop, &sessions->sweep);
	sessions->sweep.data = sessions;
	sessions->watch = kube_watch_start(client, path, &watch_events, sessions);
	return sessions;
}

void sessions_limit_ttl(struct sessions *sessions, unsigned int max_s)
{
	sessions->ttl_max_s = max_s;
}

static void on_closed(uv_handle_t *handle)
{
	struct sessions *sessions = handle->data;

	free(sessions->namespace);
	free(sessions);
}

void sessions_free(struct sessions *sessions)
{
	struct session *session = NULL, *next = NULL;

	if (!sessions)
		return;
	kube_watch_stop(sessions->watch);
	HASH_ITER (hh, sessions->table, session, next)
		remove_session(sessions, session);
	uv_close((uv_handle_t *)&sessions->sweep, on_closed);
}

bool sessions_synced(const struct sessions *sessions)
{
	return sessions->synced;
}

const char *sessions_owner(const struct sessions *sessions, const char *uid)
{
	const struct session *session = find(sessions, uid);

	return session && !session->ending ? session->owner : NULL;
}

void sessions_observe(
	struct sessions *sessions, void (*on_change)(void *user, const char *uid), void *user)
{
	sessions->on_change = on_change;
	sessions->change_user = user;
}

/* The carrier that was heard last is the likeliest to be alive: a client that came back by another
 * network has left a dead one behind. */
struct h2_session *sessions_reverse(const struct sessions *sessions, const char *uid)
{
	const struct session *session = find(sessions, uid);
	struct h2_session *best = NULL;
	uint64_t best_ms = 0, heard_ms;
	struct peer *peer = NULL;

	if (!session || session->ending)
		return NULL;
	DL_FOREACH (sessions->peers, peer) {
		if (!tunnel_peer_h2(peer->tunnel) || strcmp(peer->session_uid, uid) != 0)
			continue;
		heard_ms = tunnel_peer_heard_ms(peer->tunnel);
		if (heard_ms <= session->silent_ms && session->silent_ms > 0)
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
	struct session *session = find(sessions, uid);

	if (session)
		session->silent_ms = MAX(session->silent_ms, since_ms);
}

int sessions_lookup(void *user, const char *uid, uint8_t ret_public[static SESSION_KEY_BYTES])
{
	const struct session *session = find(user, uid);

	if (!session || session->ending)
		return -ENOENT;
	memcpy(ret_public, session->public_key, SESSION_KEY_BYTES);
	return 0;
}

struct peer *sessions_join(struct sessions *sessions, struct tunnel_peer *tunnel)
{
	struct session *session = find(sessions, tunnel_peer_session_uid(tunnel));
	struct peer *peer;

	if (!session || session->ending)
		return NULL;
	peer = XNEW(struct peer);
	peer->tunnel = tunnel;
	peer->session_uid = xstrdup(session->uid);
	DL_APPEND(sessions->peers, peer);
	session_peer_joined(session, now_ms(sessions), time(NULL));
	log_info("peer joined", "session=%s owner=%s carriers=%u", session->name, session->owner,
		session->peers);
	write_status(session);
	changed(sessions, session->uid);
	return peer;
}

void sessions_leave(struct sessions *sessions, struct peer *peer)
{
	struct session *session = find(sessions, peer->session_uid);

	if (session) {
		session_peer_left(session, now_ms(sessions), time(NULL));
		log_info("peer left", "session=%s owner=%s carriers=%u", session->name,
			session->owner, session->peers);
		write_status(session);
	}
	DL_DELETE(sessions->peers, peer);
	if (session)
		changed(sessions, session->uid);
	free(peer->session_uid);
	free(peer);
}

unsigned int sessions_close_all(struct sessions *sessions, const char *reason)
{
	struct peer *peer = NULL, *next = NULL;
	unsigned int count = 0;

	DL_FOREACH_SAFE (sessions->peers, peer, next) {
		tunnel_peer_close(peer->tunnel, reason);
		count++;
	}
	return count;
}

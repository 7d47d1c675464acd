/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/sessions_impl.h"

#include <errno.h>
#include <string.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "cluster/meta.h"
#include "cluster/watch.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"

#define API_VERSION "telepresence.io/v1alpha1"
#define PLURAL      "sessions"

/* Deadlines are in seconds; a sweep of an empty table does not happen. */
#define SWEEP_MS 1000
/* A write that the API server refused is tried again after this long. */
#define RETRY_MS 10000

struct session *sessions_find(const struct sessions *sessions, const char *uid)
{
	struct session *session = NULL;

	HASH_FIND_STR(sessions->table, uid, session);
	return session;
}

uint64_t sessions_now_ms(const struct sessions *sessions)
{
	return uv_now(sessions->loop);
}

void sessions_changed(const struct sessions *sessions, const char *uid)
{
	if (sessions->on_change)
		sessions->on_change(sessions->change_user, uid);
}

/* Whoever wrote the object since has the newer truth, and a 404 means that it is gone: the watch
 * brings both. Everything else is said once here and tried again later. */
static void on_written(
	void *user, int r, int status, json_object *body UNUSED, const struct err *err)
{
	struct session *session = user;
	uint64_t now = sessions_now_ms(session->table);

	session->write = NULL;
	if (r < 0 && r != -ENOENT && r != -EAGAIN) {
		log_warn("writing a session failed", "name=%s status=%d error=%s", session->name,
			status, err->msg);
		session->patch_due_ms = MIN(session->patch_due_ms, now + RETRY_MS);
	} else if (session_patch_due(session, now)) {
		sessions_write_status(session);
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
void sessions_write_status(struct session *session)
{
	auto_free char *patch = NULL;

	if (session->write || session->ending)
		return;
	patch = session_patch(session, sessions_now_ms(session->table), time(NULL));
	send_request(session, "PATCH", "/status", "application/merge-patch+json", patch);
}

static void expire(struct session *session)
{
	auto_free char *options = NULL;

	if (session->write)
		return;
	options = kube_delete_options(session->uid);

	log_info("session expired", "name=%s owner=%s ttl_s=%u", session->name, session->owner,
		session->ttl_s);
	session->expires_ms = sessions_now_ms(session->table) + RETRY_MS;
	send_request(session, "DELETE", "", NULL, options);
}

static void on_sweep(uv_timer_t *timer)
{
	struct sessions *sessions = timer->data;
	struct session *session = NULL, *next = NULL;

	sessions_listen(sessions, SWEEP_MS);
	HASH_ITER (hh, sessions->table, session, next) {
		if (session_expired(session, sessions_now_ms(sessions)))
			expire(session);
		else if (session_patch_due(session, sessions_now_ms(sessions)))
			sessions_write_status(session);
	}
	if (!sessions->table)
		(void)uv_timer_stop(timer);
}

static void arm(struct sessions *sessions)
{
	if (sessions->synced && sessions->table && !sessions->handed_over &&
		!uv_is_active((uv_handle_t *)&sessions->sweep))
		(void)uv_timer_start(&sessions->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
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
	struct session *session = sessions_find(sessions, uid);

	if (!session)
		return;
	log_info("session ended", "name=%s owner=%s", session->name, session->owner);
	remove_session(sessions, session);
	sessions_close(sessions, uid, "the session was deleted");
	sessions_changed(sessions, uid);
}

static void on_seen(struct sessions *sessions, const char *uid, json_object *object)
{
	struct session *session = sessions_find(sessions, uid);
	bool is_new = !session, was_ending = session && session->ending;
	struct err err = ERR_INIT;

	if (session) {
		session_update(session, object, sessions_now_ms(sessions), time(NULL));
	} else {
		if (session_parse(object, sessions->synced, sessions_now_ms(sessions), time(NULL),
			    &session, &err) < 0) {
			log_warn("session ignored", "error=%s", err.msg);
			return;
		}
		session_limit_ttl(session, sessions->ttl_max_s, sessions_now_ms(sessions));
		session->table = sessions;
		HASH_ADD_STR(sessions->table, uid, session);
		log_info("session found", "name=%s owner=%s", session->name, session->owner);
	}
	/* A finalizer may keep the object for long; its tunnel ends with the request to delete. */
	if (session->ending)
		sessions_close(sessions, uid, "the session was deleted");
	arm(sessions);
	if (is_new || session->ending != was_ending)
		sessions_changed(sessions, uid);
}

static void on_event(void *user, enum kube_event event, json_object *object)
{
	struct sessions *sessions = user;
	const char *uid = json_text(object, "metadata.uid");

	if (!uid)
		return;
	if (event == KUBE_DELETED)
		on_deleted(sessions, uid);
	else
		on_seen(sessions, uid, object);
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
	const struct session *session = sessions_find(sessions, uid);

	return session && !session->ending ? session->owner : NULL;
}

void sessions_observe(
	struct sessions *sessions, void (*on_change)(void *user, const char *uid), void *user)
{
	sessions->on_change = on_change;
	sessions->change_user = user;
}

int sessions_lookup(void *user, const char *uid, uint8_t ret_public[static SESSION_KEY_BYTES])
{
	const struct session *session = sessions_find(user, uid);

	if (!session || session->ending)
		return -ENOENT;
	memcpy(ret_public, session->public_key, SESSION_KEY_BYTES);
	return 0;
}

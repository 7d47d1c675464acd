/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/session.h"

#include <errno.h>
#include <string.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/utc.h"

/* 0: absent, or no point in time. */
static time_t get_time(json_object *object, const char *path)
{
	const char *text = json_text(object, path);
	time_t when = 0;

	return text && utc_parse(text, &when) == 0 ? when : 0;
}

static unsigned int get_ttl(json_object *object)
{
	int64_t value = json_int(object, "spec.ttlSeconds", SESSION_TTL_DEFAULT_S);

	return (unsigned int)MIN(MAX(value, SESSION_TTL_MIN_S), SESSION_TTL_MAX_S);
}

void session_free(struct session *session)
{
	if (!session)
		return;
	free(session->name);
	free(session->owner);
	free(session);
}

int session_parse(json_object *object, bool is_new, uint64_t now_ms, time_t now_wall,
	struct session **ret_session, struct err *err)
{
	const char *uid = json_text(object, "metadata.uid");
	const char *name = json_text(object, "metadata.name");
	const char *key = json_text(object, "spec.publicKey");
	const char *owner = json_text(object, "spec.owner");
	struct session *session;

	if (!uid || !name || strlen(uid) >= SESSION_UID_BYTES)
		return err_set(err, -EINVAL, ERR_INTERNAL, "metadata.uid or metadata.name is off");
	session = XNEW(struct session);
	if (!key || session_key_decode(key, session->public_key) < 0) {
		session_free(session);
		return err_set(err, -EINVAL, ERR_CONFIG,
			"spec.publicKey of session %s is no Ed25519 key in base64", name);
	}
	memcpy(session->uid, uid, strlen(uid) + 1);
	session->name = xstrdup(name);
	session->owner = xstrdup(owner ? owner : "");
	session->ttl_s = get_ttl(object);
	session->connected_wall = get_time(object, "status.connectedAt");
	/* What an earlier manager wrote about its tunnels is not true any more. */
	session->patch_due_ms =
		is_new || session->connected_wall == 0 ? UINT64_MAX : now_ms + SESSION_RETURN_MS;
	session->expires_ms =
		now_ms + (is_new ? (uint64_t)session->ttl_s * 1000 : SESSION_GRACE_MS);
	session_update(session, object, now_ms, now_wall);
	*ret_session = session;
	return 0;
}

void session_limit_ttl(struct session *session, unsigned int max_s, uint64_t now_ms)
{
	const uint64_t latest_ms = now_ms + MAX((uint64_t)max_s * 1000, SESSION_GRACE_MS);

	session->ttl_s = MIN(session->ttl_s, max_s);
	session->expires_ms = MIN(session->expires_ms, latest_ms);
}

void session_update(struct session *session, json_object *object, uint64_t now_ms, time_t now_wall)
{
	time_t seen = get_time(object, "status.lastSeen");
	time_t created = get_time(object, "metadata.creationTimestamp");
	int64_t left_s;
	uint64_t expires_ms;

	if (json_text(object, "metadata.deletionTimestamp"))
		session->ending = true;
	/* A clock that is ahead elsewhere must not keep a Session for longer than its ttl. */
	left_s = (int64_t)MAX(seen, created) + session->ttl_s - (int64_t)now_wall;
	left_s = MIN(MAX(left_s, 0), session->ttl_s);
	expires_ms = now_ms + (uint64_t)left_s * 1000;
	session->expires_ms = MAX(session->expires_ms, expires_ms);
}

void session_peer_joined(struct session *session, uint64_t now_ms, time_t now_wall)
{
	if (session->connected_wall == 0)
		session->connected_wall = now_wall;
	if (session->peers++ == 0)
		session->changed_wall = now_wall;
	session->patch_due_ms = now_ms;
}

void session_peer_left(struct session *session, uint64_t now_ms, time_t now_wall)
{
	if (--session->peers == 0)
		session->changed_wall = now_wall;
	session->patch_due_ms = now_ms;
	session->expires_ms = now_ms + (uint64_t)session->ttl_s * 1000;
}

bool session_expired(const struct session *session, uint64_t now_ms)
{
	return session->peers == 0 && !session->ending && now_ms >= session->expires_ms;
}

bool session_patch_due(const struct session *session, uint64_t now_ms)
{
	return !session->ending && now_ms >= session->patch_due_ms;
}

/* One condition, as `kubectl wait` understands it. */
static json_object *ready_condition(const struct session *session)
{
	bool ready = session->peers > 0;
	json_object *condition = json_object_new_object();
	char changed[UTC_TEXT_BYTES];

	json_add_text(condition, "type", "Ready");
	json_add_text(condition, "status", ready ? "True" : "False");
	json_add_text(condition, "reason", ready ? "Connected" : "Disconnected");
	json_add_text(condition, "message",
		ready ? "The client's tunnel is up"
		      : "The client has no tunnel; it may come back until the ttl is over");
	json_add_text(condition, "lastTransitionTime", utc_format(session->changed_wall, changed));
	return condition;
}

char *session_patch(struct session *session, uint64_t now_ms, time_t now_wall)
{
	char now[UTC_TEXT_BYTES], connected[UTC_TEXT_BYTES];
	json_object *patch = json_object_new_object();
	json_object *metadata = json_object_new_object();
	json_object *status = json_object_new_object();
	json_object *conditions = json_object_new_array();
	char *text;

	/* A uid in the patch makes the API server refuse it for a namesake. */
	json_add_text(metadata, "uid", session->uid);
	json_object_object_add(patch, "metadata", metadata);
	json_object_object_add(status, "conditions", conditions);
	/* Not seen since the manager's restart: that changed now, and the ttl goes on. */
	if (session->changed_wall == 0)
		session->changed_wall = now_wall;
	else
		json_add_text(status, "lastSeen", utc_format(now_wall, now));
	json_object_array_add(conditions, ready_condition(session));
	json_object_object_add(status, "carriers", json_object_new_int((int32_t)session->peers));
	if (session->connected_wall)
		json_add_text(
			status, "connectedAt", utc_format(session->connected_wall, connected));
	json_object_object_add(patch, "status", status);
	text = xstrdup(json_object_to_json_string_ext(patch, JSON_C_TO_STRING_PLAIN));
	json_object_put(patch);
	session->patch_due_ms =
		session->peers > 0 ? now_ms + (uint64_t)session->ttl_s * 1000 / 3 : UINT64_MAX;
	return text;
}

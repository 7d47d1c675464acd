/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"

#define TIME_BYTES 32

static void format_time(time_t wall, char out[static TIME_BYTES])
{
	struct tm tm;

	gmtime_r(&wall, &tm);
	(void)strftime(out, TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* RFC 3339 as the API server writes it, fractions ignored. 0 for anything else. */
static time_t parse_time(const char *text)
{
	struct tm tm = {.tm_isdst = 0};

	if (!text || !strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
		return 0;
	return timegm(&tm);
}

/* The string at object.a.b, or NULL. */
static const char *get_string(json_object *object, const char *a, const char *b)
{
	json_object *outer = NULL, *inner = NULL;

	if (!json_object_object_get_ex(object, a, &outer) ||
		!json_object_object_get_ex(outer, b, &inner) ||
		!json_object_is_type(inner, json_type_string))
		return NULL;
	return json_object_get_string(inner);
}

static unsigned int get_ttl(json_object *object)
{
	json_object *spec = NULL, *ttl = NULL;
	int64_t value = SESSION_TTL_DEFAULT_S;

	if (json_object_object_get_ex(object, "spec", &spec) &&
		json_object_object_get_ex(spec, "ttlSeconds", &ttl) &&
		json_object_is_type(ttl, json_type_int))
		value = json_object_get_int64(ttl);
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
	const char *uid = get_string(object, "metadata", "uid");
	const char *name = get_string(object, "metadata", "name");
	const char *key = get_string(object, "spec", "publicKey");
	const char *owner = get_string(object, "spec", "owner");
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
	session->connected_wall = parse_time(get_string(object, "status", "connectedAt"));
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
	time_t seen = parse_time(get_string(object, "status", "lastSeen"));
	time_t created = parse_time(get_string(object, "metadata", "creationTimestamp"));
	int64_t left_s;
	uint64_t expires_ms;

	if (get_string(object, "metadata", "deletionTimestamp"))
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
	char changed[TIME_BYTES];

	format_time(session->changed_wall, changed);
	json_object_object_add(condition, "type", json_object_new_string("Ready"));
	json_object_object_add(
		condition, "status", json_object_new_string(ready ? "True" : "False"));
	json_object_object_add(
		condition, "reason", json_object_new_string(ready ? "Connected" : "Disconnected"));
	json_object_object_add(condition, "message",
		json_object_new_string(ready ? "The client's tunnel is up"
					     : "The client has no tunnel; it may come back "
					       "until the ttl is over"));
	json_object_object_add(condition, "lastTransitionTime", json_object_new_string(changed));
	return condition;
}

char *session_patch(struct session *session, uint64_t now_ms, time_t now_wall)
{
	char now[TIME_BYTES], connected[TIME_BYTES];
	json_object *patch = json_object_new_object();
	json_object *metadata = json_object_new_object();
	json_object *status = json_object_new_object();
	json_object *conditions = json_object_new_array();
	char *text;

	format_time(now_wall, now);
	format_time(session->connected_wall, connected);
	/* A uid in the patch makes the API server refuse it for a namesake. */
	json_object_object_add(metadata, "uid", json_object_new_string(session->uid));
	json_object_object_add(patch, "metadata", metadata);
	json_object_object_add(status, "conditions", conditions);
	/* Not seen since the manager's restart: that changed now, and the ttl goes on. */
	if (session->changed_wall == 0)
		session->changed_wall = now_wall;
	else
		json_object_object_add(status, "lastSeen", json_object_new_string(now));
	json_object_array_add(conditions, ready_condition(session));
	json_object_object_add(status, "carriers", json_object_new_int((int32_t)session->peers));
	if (session->connected_wall)
		json_object_object_add(status, "connectedAt", json_object_new_string(connected));
	json_object_object_add(patch, "status", status);
	text = xstrdup(json_object_to_json_string_ext(patch, JSON_C_TO_STRING_PLAIN));
	json_object_put(patch);
	session->patch_due_ms =
		session->peers > 0 ? now_ms + (uint64_t)session->ttl_s * 1000 / 3 : UINT64_MAX;
	return text;
}

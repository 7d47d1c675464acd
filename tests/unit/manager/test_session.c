/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/err.h"
#include "manager/session.h"

#define NOW_WALL 1800000000 /* 2027-01-15T08:00:00Z */
#define NOW_MS   5000000
#define KEY      "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static struct session *parse(const char *spec, const char *status)
{
	char text[1024];
	json_object *object;
	struct session *session = NULL;
	struct err err = ERR_INIT;

	(void)snprintf(text, sizeof(text),
		"{\"metadata\":{\"name\":\"s\",\"uid\":\"u-1\","
		"\"creationTimestamp\":\"2027-01-15T07:50:00Z\"},"
		"\"spec\":{\"owner\":\"alice\",%s},\"status\":{%s}}",
		spec, status);
	object = json_tokener_parse(text);
	assert_non_null(object);
	if (session_parse(object, false, NOW_MS, NOW_WALL, &session, &err) < 0)
		assert_string_not_equal(err.msg, "");
	json_object_put(object);
	return session;
}

static void reads_the_object(void **state)
{
	struct session *session = parse("\"publicKey\":\"" KEY "\",\"ttlSeconds\":60", "");

	(void)state;
	assert_non_null(session);
	assert_string_equal(session->uid, "u-1");
	assert_string_equal(session->name, "s");
	assert_string_equal(session->owner, "alice");
	assert_int_equal(session->ttl_s, 60);
	for (uint8_t i = 0; i < SESSION_KEY_BYTES; i++)
		assert_int_equal(session->public_key[i], i);
	session_free(session);
}

static void refuses_what_is_off(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{\"metadata\":{}}",
		"{\"metadata\":{\"name\":\"s\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"s\",\"uid\":7},\"spec\":{\"publicKey\":\"" KEY "\"}}",
		"{\"metadata\":{\"name\":\"s\",\"uid\":\"u\"},\"spec\":{\"publicKey\":\"AAAA\"}}",
		"{\"metadata\":{\"name\":\"s\",\"uid\":"
		"\"01234567890123456789012345678901234567890123456789"
		"01234567890123456789\"},\"spec\":{\"publicKey\":\"" KEY "\"}}",
		"[]",
		"\"x\"",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_object *object = json_tokener_parse(texts[i]);
		struct session *session = NULL;

		assert_non_null(object);
		assert_int_equal(
			session_parse(object, false, NOW_MS, NOW_WALL, &session, NULL), -EINVAL);
		assert_null(session);
		json_object_put(object);
	}
}

static void bounds_the_ttl(void **state)
{
	static const struct {
		const char *ttl;
		unsigned int expected;
	} cases[] = {
		{"\"ttlSeconds\":1", SESSION_TTL_MIN_S},
		{"\"ttlSeconds\":-5", SESSION_TTL_MIN_S},
		{"\"ttlSeconds\":99999999999", SESSION_TTL_MAX_S},
		{"\"ttlSeconds\":\"60\"", SESSION_TTL_DEFAULT_S},
		{"\"other\":1", SESSION_TTL_DEFAULT_S},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char spec[128];
		struct session *session;

		(void)snprintf(spec, sizeof(spec), "\"publicKey\":\"" KEY "\",%s", cases[i].ttl);
		session = parse(spec, "");
		assert_non_null(session);
		assert_int_equal(session->ttl_s, cases[i].expected);
		session_free(session);
	}
}

/* Objects from before a restart of the manager. */
static void expiry_of_found_sessions(void **state)
{
	static const struct {
		const char *status;
		uint64_t expected_ms; /* after NOW_MS */
	} cases[] = {
		/* created 600 s ago, never seen: overdue, but not before the grace */
		{"", SESSION_GRACE_MS},
		{"\"lastSeen\":\"2027-01-15T07:00:00Z\"", SESSION_GRACE_MS},
		{"\"lastSeen\":\"2027-01-15T07:59:50Z\"", 110000},
		/* a clock that is ahead */
		{"\"lastSeen\":\"2031-01-15T07:59:50Z\"", 120000},
		{"\"lastSeen\":\"nonsense\"", SESSION_GRACE_MS},
		{"\"lastSeen\":12", SESSION_GRACE_MS},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct session *session =
			parse("\"publicKey\":\"" KEY "\",\"ttlSeconds\":120", cases[i].status);

		assert_non_null(session);
		assert_int_equal(session->expires_ms, NOW_MS + cases[i].expected_ms);
		assert_false(session_expired(session, session->expires_ms - 1));
		assert_true(session_expired(session, session->expires_ms));
		session_free(session);
	}
}

/* The API server's clock may be behind: a new object has its whole ttl by the loop's clock. */
static void expiry_of_new_sessions(void **state)
{
	json_object *object = json_tokener_parse(
		"{\"metadata\":{\"name\":\"s\",\"uid\":\"u\",\"creationTimestamp\":"
		"\"2020-01-15T07:50:00Z\"},\"spec\":{\"publicKey\":\"" KEY
		"\",\"ttlSeconds\":10}}");
	struct session *session = NULL;

	(void)state;
	assert_int_equal(session_parse(object, true, NOW_MS, NOW_WALL, &session, NULL), 0);
	assert_int_equal(session->expires_ms, NOW_MS + 10000);
	session_peer_joined(session, NOW_MS, NOW_WALL);
	session_peer_left(session, NOW_MS + 1000, NOW_WALL + 1);
	assert_int_equal(session->expires_ms, NOW_MS + 11000);
	json_object_put(object);
	session_free(session);
}

/* What an object from before the manager's start still has is cut, too, but not below the grace. */
static void expiry_by_the_managers_limit(void **state)
{
	struct session *session = parse("\"publicKey\":\"" KEY "\",\"ttlSeconds\":900", "");

	(void)state;
	session_limit_ttl(session, 10, NOW_MS);
	assert_int_equal(session->ttl_s, 10);
	assert_int_equal(session->expires_ms, NOW_MS + SESSION_GRACE_MS);
	session_peer_joined(session, NOW_MS, NOW_WALL);
	session_peer_left(session, NOW_MS + 1000, NOW_WALL + 1);
	assert_int_equal(session->expires_ms, NOW_MS + 11000);
	session_limit_ttl(session, 3600, NOW_MS);
	assert_int_equal(session->ttl_s, 10);
	session_free(session);
}

static void another_replica_keeps_it_alive(void **state)
{
	struct session *session = parse("\"publicKey\":\"" KEY "\",\"ttlSeconds\":120", "");
	json_object *seen = json_tokener_parse(
		"{\"metadata\":{},\"status\":{\"lastSeen\":\"2027-01-15T08:00:20Z\"}}");

	(void)state;
	session_update(session, seen, NOW_MS + 20000, NOW_WALL + 20);
	assert_int_equal(session->expires_ms, NOW_MS + 140000);
	json_object_put(seen);
	session_free(session);
}

static void peers_hold_it(void **state)
{
	struct session *session = parse("\"publicKey\":\"" KEY "\",\"ttlSeconds\":120", "");
	const uint64_t later = NOW_MS + 10000000;

	(void)state;
	session_peer_joined(session, NOW_MS, NOW_WALL);
	session_peer_joined(session, NOW_MS, NOW_WALL);
	session_peer_left(session, NOW_MS, NOW_WALL);
	assert_false(session_expired(session, later));
	session_peer_left(session, later, NOW_WALL + 10000);
	assert_false(session_expired(session, later + 119999));
	assert_true(session_expired(session, later + 120000));
	session->ending = true;
	assert_false(session_expired(session, later + 120000));
	session_free(session);
}

static const char *at(json_object *object, const char *pointer)
{
	json_object *value = NULL;

	assert_int_equal(json_pointer_get(object, pointer, &value), 0);
	return json_object_get_string(value);
}

static json_object *patch(struct session *session, uint64_t now_ms, time_t wall)
{
	char *text = session_patch(session, now_ms, wall);
	json_object *object = json_tokener_parse(text);

	assert_non_null(object);
	free(text);
	return object;
}

static void status_is_written_when_due(void **state)
{
	struct session *session = parse("\"publicKey\":\"" KEY "\",\"ttlSeconds\":120", "");
	json_object *object;

	(void)state;
	assert_false(session_patch_due(session, NOW_MS + 1000000));
	session_peer_joined(session, NOW_MS, NOW_WALL);
	assert_true(session_patch_due(session, NOW_MS));
	object = patch(session, NOW_MS, NOW_WALL);
	assert_string_equal(at(object, "/metadata/uid"), "u-1");
	assert_string_equal(at(object, "/status/carriers"), "1");
	assert_string_equal(at(object, "/status/connectedAt"), "2027-01-15T08:00:00Z");
	assert_string_equal(at(object, "/status/conditions/0/status"), "True");
	json_object_put(object);

	/* A third of the ttl later, with the same time of transition. */
	assert_false(session_patch_due(session, NOW_MS + 39999));
	assert_true(session_patch_due(session, NOW_MS + 40000));
	object = patch(session, NOW_MS + 40000, NOW_WALL + 40);
	assert_string_equal(at(object, "/status/lastSeen"), "2027-01-15T08:00:40Z");
	assert_string_equal(
		at(object, "/status/conditions/0/lastTransitionTime"), "2027-01-15T08:00:00Z");
	json_object_put(object);

	session_peer_left(session, NOW_MS + 50000, NOW_WALL + 50);
	assert_true(session_patch_due(session, NOW_MS + 50000));
	object = patch(session, NOW_MS + 50000, NOW_WALL + 50);
	assert_string_equal(at(object, "/status/carriers"), "0");
	assert_string_equal(at(object, "/status/conditions/0/status"), "False");
	assert_string_equal(
		at(object, "/status/conditions/0/lastTransitionTime"), "2027-01-15T08:00:50Z");
	json_object_put(object);
	assert_false(session_patch_due(session, NOW_MS + 1000000));
	session_free(session);
}

/* After a restart of the manager the object still says Connected. */
static void a_client_that_does_not_come_back_is_told(void **state)
{
	struct session *session = NULL;
	json_object *object = json_tokener_parse(
		"{\"metadata\":{\"uid\":\"u\",\"name\":\"n\"},\"spec\":{\"publicKey\":"
		"\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"},"
		"\"status\":{\"connectedAt\":\"2026-01-01T00:00:00Z\"}}");
	char *text;

	(void)state;
	assert_int_equal(session_parse(object, false, NOW_MS, NOW_WALL, &session, NULL), 0);
	assert_false(session_patch_due(session, NOW_MS + SESSION_RETURN_MS - 1));
	assert_true(session_patch_due(session, NOW_MS + SESSION_RETURN_MS));
	text = session_patch(session, NOW_MS + SESSION_RETURN_MS, NOW_WALL);
	assert_non_null(strstr(text, "Disconnected"));
	/* It has not been seen: its time goes on. */
	assert_null(strstr(text, "lastSeen"));
	assert_false(session_patch_due(session, NOW_MS + 1000000));
	free(text);
	session_free(session);
	json_object_put(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_object),
		cmocka_unit_test(refuses_what_is_off),
		cmocka_unit_test(bounds_the_ttl),
		cmocka_unit_test(expiry_of_found_sessions),
		cmocka_unit_test(expiry_of_new_sessions),
		cmocka_unit_test(expiry_by_the_managers_limit),
		cmocka_unit_test(another_replica_keeps_it_alive),
		cmocka_unit_test(peers_hold_it),
		cmocka_unit_test(status_is_written_when_due),
		cmocka_unit_test(a_client_that_does_not_come_back_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Session objects of a scripted API server, and carriers of a real client, reversed or not. */
#include <stdio.h>

#include "tunnel/fixture_client.h"

#include "cluster/client.h"
#include "cluster/fake_api.h"
#include "manager/sessions_impl.h"

#define SECOND_UID "22222222-2222-3333-4444-555555555555"

/* What an object looked like when it was told of. */
struct change {
	char uid[64], owner[32]; /* "-": none */
	bool reverse;
};

struct rig {
	struct fixture *tunnel;
	struct fake_api api;
	struct fake_conn *watch; /* open */
	struct kube_client *client;
	struct sessions *sessions;
	struct change changes[16];
	int change_count, watches;
	int answered;
};

static char *session_json(const struct rig *rig, const char *uid, const char *more)
{
	static int version;
	uint8_t public[SESSION_KEY_BYTES];
	char key[45];

	session_key_public(rig->tunnel->key, public);
	session_key_encode(public, key);
	/* A watch passes over what it has seen: each event is of another version. */
	return xasprintf("{\"metadata\":{\"name\":\"s-%s\",\"uid\":\"%s\","
			 "\"resourceVersion\":\"%d\"%s},"
			 "\"spec\":{\"publicKey\":\"%s\",\"owner\":\"alice\"}}",
		uid, uid, ++version, more, key);
}

static char *answer(struct fake_api *api, const char *head)
{
	struct rig *rig = container_of(api, struct rig, api);
	auto_free char *object = NULL, *list = NULL;

	if (strncmp(head, "GET", 3) != 0)
		return fake_json(200, "{}");
	if (strstr(head, "watch=")) {
		rig->watch =
			(struct fake_conn *)(uintptr_t)(head - offsetof(struct fake_conn, head));
		rig->watches++;
		return xstrdup("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
	}
	object = session_json(rig, SESSION_UID, "");
	list = xasprintf("{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[%s]}", object);
	return fake_json(200, list);
}

static void on_change(void *user, const char *uid)
{
	struct rig *rig = user;
	struct change *change = &rig->changes[rig->change_count];
	const char *owner = sessions_owner(rig->sessions, uid);

	assert_true(rig->change_count < (int)ARRAY_SIZE(rig->changes));
	(void)snprintf(change->uid, sizeof(change->uid), "%s", uid);
	(void)snprintf(change->owner, sizeof(change->owner), "%s", owner ? owner : "-");
	change->reverse = sessions_reverse(rig->sessions, uid) != NULL;
	rig->change_count++;
}

static struct rig *rig_new(void)
{
	struct rig *rig = XNEW(struct rig);
	struct kube_config config = {.context = (char[]){"ctx"}};

	rig->tunnel = fixture_new();
	rig->api.answer = answer;
	fake_start(&rig->api, &rig->tunnel->loop);
	config.server = rig->api.url;
	assert_int_equal(kube_client_new(&rig->tunnel->loop, &config, &rig->client, NULL), 0);
	rig->sessions = sessions_new(&rig->tunnel->loop, rig->client, "ns");
	sessions_observe(rig->sessions, on_change, rig);
	run_until(rig->tunnel, &rig->watches, 1);
	return rig;
}

static void rig_free(struct rig *rig)
{
	sessions_free(rig->sessions);
	kube_client_free(rig->client);
	fake_stop(&rig->api);
	fixture_free(rig->tunnel);
	free(rig);
}

static void send_event(struct rig *rig, const char *type, const char *uid, const char *more)
{
	auto_free char *object = session_json(rig, uid, more);
	auto_free char *line = xasprintf("{\"type\":\"%s\",\"object\":%s}\n", type, object);

	fake_send(rig->watch, line, strlen(line));
}

static void answer_stream(
	struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	(void)fixture, (void)head;
	h2_respond(stream, 404, NULL, 0, false);
}

/* A client's tunnel that has joined. */
static struct peer *join(struct rig *rig, bool reverse)
{
	struct peer *peer;
	int peers = rig->tunnel->peers;

	rig->tunnel->on_reversed = reverse ? answer_stream : NULL;
	fixture_start_client(rig->tunnel, SESSION_UID, rig->tunnel->key);
	run_until(rig->tunnel, &rig->tunnel->peers, peers + 1);
	peer = sessions_join(rig->sessions, rig->tunnel->peer);
	assert_non_null(peer);
	assert_ptr_equal(peer->tunnel, rig->tunnel->peer);
	return peer;
}

static void leave(struct rig *rig, struct peer *peer)
{
	tunnel_client_free(TAKE_PTR(rig->tunnel->client));
	run_until(rig->tunnel, &rig->tunnel->peers_gone, rig->tunnel->peers);
	sessions_leave(rig->sessions, peer);
}

static void test_owner_and_end(void **state)
{
	struct rig *rig = rig_new();
	uint8_t public[SESSION_KEY_BYTES];

	(void)state;
	assert_true(sessions_synced(rig->sessions));
	assert_string_equal(sessions_owner(rig->sessions, SESSION_UID), "alice");
	assert_null(sessions_owner(rig->sessions, SECOND_UID));
	assert_int_equal(rig->change_count, 1);
	assert_string_equal(rig->changes[0].owner, "alice");
	send_event(rig, "ADDED", SECOND_UID, "");
	run_until(rig->tunnel, &rig->change_count, 2);
	assert_string_equal(rig->changes[1].uid, SECOND_UID);
	/* Asked to go, but held by a finalizer: over all the same, and told of once. */
	send_event(rig, "MODIFIED", SECOND_UID, ",\"deletionTimestamp\":\"2027-01-15T08:00:00Z\"");
	run_until(rig->tunnel, &rig->change_count, 3);
	assert_string_equal(rig->changes[2].uid, SECOND_UID);
	assert_string_equal(rig->changes[2].owner, "-");
	assert_int_equal(sessions_lookup(rig->sessions, SECOND_UID, public), -ENOENT);
	/* What changes nothing of this is not told. */
	send_event(rig, "MODIFIED", SESSION_UID, "");
	send_event(rig, "DELETED", SESSION_UID, "");
	run_until(rig->tunnel, &rig->change_count, 4);
	assert_string_equal(rig->changes[3].uid, SESSION_UID);
	assert_string_equal(rig->changes[3].owner, "-");
	assert_null(sessions_owner(rig->sessions, SESSION_UID));
	rig_free(rig);
}

static void test_reversed_carriers(void **state)
{
	struct rig *rig = rig_new();
	struct peer *peer;

	(void)state;
	assert_null(sessions_reverse(rig->sessions, SESSION_UID));
	peer = join(rig, false);
	assert_null(sessions_reverse(rig->sessions, SESSION_UID));
	assert_false(rig->changes[1].reverse);
	leave(rig, peer);
	assert_int_equal(rig->change_count, 3);
	peer = join(rig, true);
	assert_true(rig->changes[3].reverse);
	assert_ptr_equal(
		sessions_reverse(rig->sessions, SESSION_UID), tunnel_peer_h2(peer->tunnel));
	assert_null(sessions_reverse(rig->sessions, SECOND_UID));
	leave(rig, peer);
	assert_null(sessions_reverse(rig->sessions, SESSION_UID));
	assert_string_equal(rig->changes[4].owner, "alice");
	rig_free(rig);
}

static void on_answered(void *user, uint32_t code)
{
	(void)code;
	((struct rig *)user)->answered++;
}

/* A laptop that did not answer is not asked, until it is heard. */
static void test_silence(void **state)
{
	static const struct h2_stream_events events = {.on_close = on_answered};
	const struct h2_head head = {.method = "CONNECT", .authority = "10.0.0.1:80"};
	struct rig *rig = rig_new();
	struct h2_session *carrier;
	struct h2_stream *stream;
	struct peer *peer;

	(void)state;
	peer = join(rig, true);
	carrier = sessions_reverse(rig->sessions, SESSION_UID);
	/* It was heard after this was asked: slow, not silent. */
	sessions_silent(rig->sessions, SESSION_UID, tunnel_peer_heard_ms(peer->tunnel) - 1);
	assert_ptr_equal(sessions_reverse(rig->sessions, SESSION_UID), carrier);
	sessions_silent(rig->sessions, SESSION_UID, uv_now(&rig->tunnel->loop));
	assert_null(sessions_reverse(rig->sessions, SESSION_UID));
	for (int asked = 1; !sessions_reverse(rig->sessions, SESSION_UID); asked++) {
		assert_int_equal(h2_request(carrier, &head, &events, rig, &stream), 0);
		run_until(rig->tunnel, &rig->answered, asked);
		assert_true(asked < 1000);
	}
	assert_ptr_equal(sessions_reverse(rig->sessions, SESSION_UID), carrier);
	/* A Session that went takes the mark with it. */
	sessions_silent(rig->sessions, SECOND_UID, uv_now(&rig->tunnel->loop));
	leave(rig, peer);
	rig_free(rig);
}

static void later(struct rig *rig, uint64_t ms)
{
	rig->tunnel->loop.time += ms;
	sessions_listen(rig->sessions, 1000);
}

/* One that nothing is heard of does not count, nor is it asked, until it is heard. */
static void test_silent_carrier(void **state)
{
	static const struct h2_stream_events events = {.on_close = on_answered};
	const struct h2_head head = {.method = "CONNECT", .authority = "10.0.0.1:80"};
	struct rig *rig = rig_new();
	struct peer *peer = join(rig, true);
	struct h2_session *carrier = sessions_reverse(rig->sessions, SESSION_UID);
	const struct session *session = sessions_find(rig->sessions, SESSION_UID);
	struct h2_stream *stream;

	(void)state;
	/* Here it was the manager that stood still. */
	later(rig, 60000);
	for (int seconds = 0; seconds < SESSIONS_SILENCE_MS / 1000; seconds++) {
		assert_int_equal(session->peers, 1);
		assert_ptr_equal(sessions_reverse(rig->sessions, SESSION_UID), carrier);
		later(rig, 1000);
	}
	assert_int_equal(session->peers, 0);
	assert_int_equal(session->expires_ms, uv_now(&rig->tunnel->loop) + 900000);
	assert_null(sessions_reverse(rig->sessions, SESSION_UID));
	for (int asked = 1; !sessions_reverse(rig->sessions, SESSION_UID); asked++) {
		assert_int_equal(h2_request(carrier, &head, &events, rig, &stream), 0);
		run_until(rig->tunnel, &rig->answered, asked);
		assert_true(asked < 1000);
	}
	sessions_listen(rig->sessions, 1000);
	assert_int_equal(session->peers, 1);
	/* The loop's own time is that of the machine again. */
	rig->sessions->awake_ms = 0;
	for (int seconds = 0; seconds <= SESSIONS_SILENCE_MS / 1000; seconds++)
		later(rig, 1000);
	assert_int_equal(session->peers, 0);
	leave(rig, peer);
	assert_int_equal(session->peers, 0);
	rig_free(rig);
}

static void test_deleted_with_carrier(void **state)
{
	struct rig *rig = rig_new();
	struct peer *peer = join(rig, true);

	(void)state;
	send_event(rig, "DELETED", SESSION_UID, "");
	run_until(rig->tunnel, &rig->tunnel->peers_gone, 1);
	assert_null(sessions_reverse(rig->sessions, SESSION_UID));
	run_until(rig->tunnel, &rig->tunnel->closed, 1);
	assert_non_null(strstr(rig->tunnel->closed_err.msg, "deleted"));
	sessions_leave(rig->sessions, peer);
	rig_free(rig);
}

/* Its carrier goes on, but is nobody's any more, and whoever comes is sent away. */
static void test_hand_over(void **state)
{
	struct rig *rig = rig_new();
	struct peer *peer = join(rig, true);
	const struct session *session = sessions_find(rig->sessions, SESSION_UID);
	int changes = rig->change_count;

	(void)state;
	sessions_hand_over(rig->sessions);
	assert_null(sessions_reverse(rig->sessions, SESSION_UID));
	assert_null(sessions_join(rig->sessions, rig->tunnel->peer));
	assert_int_equal(session->peers, 0);
	assert_false(uv_is_active((uv_handle_t *)&rig->sessions->sweep));
	assert_int_equal(rig->tunnel->peers_gone, 0);
	leave(rig, peer);
	assert_int_equal(session->peers, 0);
	assert_int_equal(rig->change_count, changes);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owner_and_end),
		cmocka_unit_test(test_reversed_carriers),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_silent_carrier),
		cmocka_unit_test(test_deleted_with_carrier),
		cmocka_unit_test(test_hand_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

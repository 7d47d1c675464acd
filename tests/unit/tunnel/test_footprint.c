/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an idle connection costs in memory, also after bytes went through it: ten thousand of them
 * are to fit into an agent of 64 MB, and their spliced streams into a manager.
 */
#include <malloc.h>
#include <sys/resource.h>

#include "tunnel/fixture_client.h"
#include "tunnel/fixture_end.h"
#include "tunnel/relay.h"
#include "tunnel/splice.h"

#define MANY        400
#define CHUNK_BYTES (16 * 1024)
/* Measured: 1020 and 1680, with room for other versions of the libraries. */
#define RELAYED_BYTES 1536
#define SPLICED_BYTES 2560

/* Of the address sanitizer, where it is built in. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks;
}

/* MANY connections: app - near (a relay, or a bare end) - server - far (an end). */
struct rig {
	struct fixture *fixture;
	struct tunnel_client *caller;
	struct tunnel_peer *laptop; /* NULL: the server is the far side */
	int ready;
	bool relayed;
	struct near {
		struct relay *relay;
		struct end end;
		int app, fd, heads;
	} near[MANY];
	struct end far[MANY];
	int served;
};

static void rig_on_ready(void *user)
{
	((struct rig *)user)->ready = 1;
}

static void rig_on_closed(void *user, const struct err *err)
{
	(void)user, (void)err;
}

static void answer(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	struct rig *rig = fixture->extra;
	struct end *end = &rig->far[rig->served++];

	(void)head;
	end->hold = true;
	end->stream = stream;
	h2_stream_set_events(stream, &end_events, end);
	h2_respond(stream, 200, NULL, 0, true);
}

static void serve(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	struct rig *rig = fixture->extra;
	struct splice *splice;

	if (!rig->laptop)
		answer(fixture, stream, head);
	else
		assert_int_equal(splice_start(stream, tunnel_peer_h2(rig->laptop), head,
					 DEADLINE_MS, NULL, NULL, &splice),
			0);
}

static void near_on_head(void *user, const struct h2_head *head)
{
	struct near *near = user;

	assert_int_equal(head->status, 200);
	near->heads++;
	if (near->relay)
		assert_int_equal(relay_start(near->relay, near->fd, NULL, NULL), 0);
	else
		h2_stream_set_events(near->end.stream, &end_events, &near->end);
}

static ssize_t near_on_read(void *user, uint8_t *out, size_t len)
{
	(void)user, (void)out, (void)len;
	return H2_READ_AGAIN;
}

static void near_open(struct rig *rig, struct near *near)
{
	static const struct h2_stream_events events = {
		.on_head = near_on_head, .on_read = near_on_read};
	const struct h2_header fields[] = {
		{"telepresence-intercept", "6a1ff3d3-6d1f-4a5e-9c80-ce9d8d6d6a10"},
		{"telepresence-source", "10.1.2.3:45678"},
	};
	const struct h2_head head = {.method = "CONNECT",
		.authority = "10.0.0.1:80",
		.headers = fields,
		.header_count = ARRAY_SIZE(fields)};
	int fds[2];

	near->end.hold = true;
	near->app = near->fd = -1;
	if (rig->relayed) {
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
		near->app = fds[0];
		near->fd = fds[1];
		near->relay = relay_new(&rig->fixture->loop);
	}
	assert_int_equal(
		h2_request(tunnel_client_h2(rig->caller), &head, &events, near, &near->end.stream),
		0);
	if (near->relay)
		relay_set_stream(near->relay, near->end.stream);
}

static struct rig *rig_new(bool relayed, bool spliced)
{
	static const struct tunnel_client_events events = {
		.on_ready = rig_on_ready, .on_closed = rig_on_closed};
	struct rig *rig = XNEW(struct rig);
	struct fixture *fixture = rig->fixture = fixture_new();
	const struct tunnel_client_config config = {
		.session_uid = SESSION_UID, .key = fixture->key};

	rig->relayed = relayed;
	fixture->extra = rig;
	fixture->on_stream = serve;
	if (spliced) {
		fixture->on_reversed = answer;
		fixture_start_client(fixture, SESSION_UID, fixture->key);
		run_until(fixture, &fixture->peers, 1);
		run_until(fixture, &fixture->ready, 1);
		rig->laptop = fixture->peer;
	}
	rig->caller =
		tunnel_client_new(&fixture->loop, fixture_carrier(fixture), &config, &events, rig);
	run_until(fixture, &rig->ready, 1);
	run_until(fixture, &fixture->peers, 1 + spliced);
	return rig;
}

static void turns(struct rig *rig, int count)
{
	for (int i = 0; i < count; i++)
		uv_run(&rig->fixture->loop, UV_RUN_NOWAIT);
}

/* CHUNK_BYTES through each relayed connection, to the far side. */
static void use(struct rig *rig)
{
	static uint8_t bytes[CHUNK_BYTES];

	for (int i = 0; i < MANY; i++)
		assert_int_equal(send(rig->near[i].app, bytes, CHUNK_BYTES, 0), CHUNK_BYTES);
	for (int i = 0; i < MANY; i++)
		while (rig->far[i].received < CHUNK_BYTES)
			uv_run(&rig->fixture->loop, UV_RUN_ONCE);
}

/* Bytes in memory for each connection, over all that stand in this process. */
static size_t cost(bool relayed, bool spliced)
{
	struct rig *rig = rig_new(relayed, spliced);
	size_t before, each;

	/* Tables that grow by doubling, and buffers of the carriers, are there by now. */
	turns(rig, 100);
	before = allocated();
	for (int i = 0; i < MANY; i++)
		near_open(rig, &rig->near[i]);
	for (int i = 0; i < MANY; i++)
		run_until(rig->fixture, &rig->near[i].heads, 1);
	if (relayed)
		use(rig);
	turns(rig, 100);
	each = (allocated() - before) / MANY;
	tunnel_client_free(rig->caller);
	turns(rig, 100);
	for (int i = 0; relayed && i < MANY; i++)
		close(rig->near[i].app);
	fixture_free(rig->fixture);
	free(rig);
	return each;
}

static void test_idle(void **state)
{
	const struct rlimit files = {.rlim_cur = 4096, .rlim_max = 4096};
	size_t stream, relay, splice;

	(void)state;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	stream = cost(false, false) / 2;
	relay = cost(true, false) - 2 * stream;
	splice = cost(true, true) - relay - 4 * stream;
	print_message("a stream %zu bytes, a relay %zu, a splice %zu\n", stream, relay, splice);
	assert_true(stream + relay <= RELAYED_BYTES);
	assert_true(2 * stream + splice <= SPLICED_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

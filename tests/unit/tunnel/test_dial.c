/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that become sockets of this host: what a peer may ask for, and what the laptop chose. */
#include "tunnel/dial.h"

#include "tunnel/capsule.h"
#include "tunnel/datagram.h"
#include "tunnel/fixture_client.h"
#include "tunnel/fixture_end.h"

#define DATAGRAM "a datagram"
/* More than a listener without a queue takes. */
#define HELD 4

struct rig {
	struct fixture *fixture;
	struct dial_env env;
	struct dials dials;
	unsigned int associations;
	const char *host; /* NULL: what the request names */
	uint16_t port;
	char reason[32];
	struct end near;
};

static void serve(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	struct rig *rig = fixture->extra;
	struct ip_endpoint endpoint = {.port = rig->port};

	if (!rig->host) {
		if (head->protocol)
			datagram_start_udp(&rig->env, &rig->associations, stream, head);
		else
			dial_start(&rig->env, &rig->dials, stream, head);
		return;
	}
	if (!head->protocol) {
		dial_host(&rig->env, &rig->dials, stream, rig->host, rig->port);
		return;
	}
	assert_int_equal(ip_addr_parse(rig->host, &endpoint.addr), 0);
	datagram_start_endpoint(&rig->env, &rig->associations, stream, &endpoint);
}

static struct rig *rig_new(void)
{
	struct rig *rig = XNEW(struct rig);

	rig->fixture = fixture_new();
	rig->fixture->extra = rig;
	rig->fixture->on_stream = serve;
	rig->env.loop = &rig->fixture->loop;
	fixture_ready(rig->fixture);
	return rig;
}

static void rig_free(struct rig *rig)
{
	fixture_free(rig->fixture);
	assert_int_equal(rig->dials.count, 0);
	assert_int_equal(rig->associations, 0);
	free(rig);
}

static void near_on_head(void *user, const struct h2_head *head)
{
	struct rig *rig = container_of(user, struct rig, near);
	const char *reason = h2_head_get(head, REASON_HEADER);

	strncpy(rig->reason, reason ? reason : "", sizeof(rig->reason) - 1);
	end_events.on_head(user, head);
}

static void ask(struct rig *rig, const char *authority, const char *udp_path)
{
	struct h2_stream_events events = end_events;
	const struct h2_head head = {
		.method = "CONNECT",
		.protocol = udp_path ? "connect-udp" : NULL,
		.path = udp_path,
		.authority = authority,
	};

	events.on_head = near_on_head;
	rig->near = (struct end){.hold = true};
	assert_int_equal(h2_request(tunnel_client_h2(rig->fixture->client), &head, &events,
				 &rig->near, &rig->near.stream),
		0);
	run_until(rig->fixture, &rig->near.heads, 1);
}

/* A bound socket of the laptop's own process; TCP: it listens. */
static int local(int type, uint16_t *ret_port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(type == SOCK_STREAM ? listen(fd, 16) : 0, 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void test_own_choice(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost", "::ffff:127.0.0.1"};
	struct rig *rig = rig_new();
	int listener = local(SOCK_STREAM, &rig->port), fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		rig->host = hosts[i];
		/* Neither address nor port of the request matter. */
		ask(rig, "10.9.8.7:1", NULL);
		assert_int_equal(rig->near.status, 200);
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(send(fd, "x", 1, 0), 1);
		close(fd);
		run_until(rig->fixture, &rig->near.ended, 1);
		assert_int_equal(rig->near.received, 1);
		h2_stream_reset(rig->near.stream, 8);
		run_until(rig->fixture, &rig->near.closed, 1);
		assert_int_equal(rig->dials.count, 0);
	}
	close(listener);
	rig_free(rig);
}

static bool refuses_loopback(void *user, const struct ip_addr *addr)
{
	(*(unsigned int *)user)++;
	return addr->family == AF_INET && addr->bytes[0] == 127;
}

/* Also where a name leads. */
static void test_own_choice_refused(void **state)
{
	struct rig *rig = rig_new();
	unsigned int asked = 0;
	int listener = local(SOCK_STREAM, &rig->port);

	(void)state;
	rig->env.refuses = refuses_loopback;
	rig->env.user = &asked;
	rig->host = "127.0.0.1";
	ask(rig, "10.9.8.7:1", NULL);
	assert_string_equal(rig->reason, "forbidden");
	assert_int_equal(asked, 1);
	rig->host = "localhost";
	ask(rig, "10.9.8.7:1", NULL);
	assert_int_not_equal(rig->near.status, 200);
	assert_true(asked > 1);
	close(listener);
	rig_free(rig);
}

/* A program may listen on ::1 only, and a machine's files know one address of the name only. */
static void test_localhost_is_both(void **state)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct rig *rig = rig_new();

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	rig->port = ntohs(address.sin6_port);
	rig->host = "localhost";
	ask(rig, "10.9.8.7:1", NULL);
	assert_int_equal(rig->near.status, 200);
	close(listener);
	rig_free(rig);
}

static void test_refused(void **state)
{
	struct rig *rig = rig_new();
	static const struct {
		const char *host, *reason;
		int status;
	} rows[] = {
		{"127.0.0.1", "refused", 502},
		{"localhost", "refused", 502},
		{"no such name", "name-not-found", 502},
		{"", "name-not-found", 502},
		{NULL, "forbidden", 403},
	};

	(void)state;
	close(local(SOCK_STREAM, &rig->port));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		rig->host = rows[i].host;
		ask(rig, "127.0.0.1:80", NULL);
		assert_int_equal(rig->near.status, rows[i].status);
		assert_string_equal(rig->reason, rows[i].reason);
		run_until(rig->fixture, &rig->near.closed, 1);
	}
	rig_free(rig);
}

/* A bound socket that takes no connection any more; *ret_held: what it has taken. */
static int full(uint16_t *ret_port, int ret_held[static HELD])
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = local(SOCK_STREAM, ret_port);

	assert_int_equal(listen(listener, 0), 0);
	address.sin_port = htons(*ret_port);
	for (int i = 0; i < HELD; i++) {
		ret_held[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(ret_held[i], (struct sockaddr *)&address, sizeof(address));
	}
	return listener;
}

static void turn_until_dialling(struct rig *rig, unsigned int count)
{
	uint64_t end_ms = uv_now(&rig->fixture->loop) + DEADLINE_MS;

	while (rig->dials.count != count) {
		uv_run(&rig->fixture->loop, UV_RUN_ONCE);
		assert_true(uv_now(&rig->fixture->loop) < end_ms);
	}
}

static void test_one_too_many(void **state)
{
	const struct h2_head head = {.method = "CONNECT", .authority = "10.9.8.7:1"};
	struct rig *rig = rig_new();
	struct h2_session *h2 = tunnel_client_h2(rig->fixture->client);
	struct h2_stream_events events = end_events;
	struct end other = {.hold = true};
	int held[HELD], listener = full(&rig->port, held);

	(void)state;
	rig->host = "127.0.0.1";
	rig->near = (struct end){.hold = true};
	events.on_head = near_on_head;
	assert_int_equal(h2_request(h2, &head, &events, &rig->near, &rig->near.stream), 0);
	turn_until_dialling(rig, 1);
	/* As many as there may be, of which this one is the oldest. */
	rig->dials.count = DIAL_MAX_PER_PEER;
	assert_int_equal(h2_request(h2, &head, &end_events, &other, &other.stream), 0);
	run_until(rig->fixture, &rig->near.heads, 1);
	assert_int_equal(rig->near.status, 504);
	assert_string_equal(rig->reason, "timed-out");
	assert_int_equal(rig->dials.count, DIAL_MAX_PER_PEER);
	assert_int_equal(other.heads, 0);
	rig->dials.count = 1;
	h2_stream_reset(other.stream, 8);
	turn_until_dialling(rig, 0);
	for (int i = 0; i < HELD; i++)
		close(held[i]);
	close(listener);
	rig_free(rig);
}

static void test_udp(void **state)
{
	struct rig *rig = rig_new();
	int fd = local(SOCK_DGRAM, &rig->port);
	uint64_t end_ms = uv_now(&rig->fixture->loop) + DEADLINE_MS;
	char bytes[64] = "";
	uint8_t *capsule = (uint8_t *)bytes;
	size_t header = capsule_header(capsule, strlen(DATAGRAM));

	(void)state;
	ask(rig, NULL, "/.well-known/masque/udp/127.0.0.1/53/");
	assert_int_equal(rig->near.status, 403);
	run_until(rig->fixture, &rig->near.closed, 1);
	rig->host = "127.0.0.1";
	ask(rig, NULL, "/.well-known/masque/udp/10.9.8.7/53/");
	assert_int_equal(rig->near.status, 200);
	memcpy(capsule + header, DATAGRAM, strlen(DATAGRAM));
	rig->near.bytes = capsule;
	rig->near.to_send = header + strlen(DATAGRAM);
	rig->near.hold = false;
	h2_stream_resume(rig->near.stream);
	while (recv(fd, bytes, sizeof(bytes), 0) < 0) {
		uv_run(&rig->fixture->loop, UV_RUN_ONCE);
		assert_true(uv_now(&rig->fixture->loop) < end_ms);
	}
	assert_memory_equal(bytes, DATAGRAM, strlen(DATAGRAM));
	close(fd);
	run_until(rig->fixture, &rig->near.closed, 1);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_choice),
		cmocka_unit_test(test_own_choice_refused),
		cmocka_unit_test(test_localhost_is_both),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_one_too_many),
		cmocka_unit_test(test_udp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* TLS as a carrier between two ends of a socket pair, and what a wire may do to it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/identity.h"
#include "tunnel/tls_carrier.h"

#define DEADLINE_MS 20000
#define PIECE_BYTES (64 * 1024)
#define BULK_BYTES  (2 * 1024 * 1024)
/* Less than a record. */
#define SOCKET_BYTES (8 * 1024)

struct side {
	struct carrier *carrier;
	size_t sent, to_send, received;
	int writable, closed;
	bool in_order;
	struct err err;
};

struct rig {
	uv_loop_t loop;
	struct identity *identity;
	SSL_CTX *client_tls;
	struct side client, server;
};

static uint8_t pattern(size_t at)
{
	return (uint8_t)(at * 7 >> 3);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct side *side = user;

	for (size_t i = 0; i < len; i++)
		side->in_order = side->in_order && data[i] == pattern(side->received + i);
	side->received += len;
}

static void send_more(struct side *side)
{
	static uint8_t piece[PIECE_BYTES];
	size_t len;

	while (side->sent < side->to_send && carrier_room(side->carrier) > 0) {
		len = MIN(sizeof(piece), side->to_send - side->sent);
		for (size_t i = 0; i < len; i++)
			piece[i] = pattern(side->sent + i);
		side->sent += len;
		carrier_send(side->carrier, piece, len);
	}
}

static void on_writable(void *user)
{
	struct side *side = user;

	side->writable++;
	assert_true(carrier_room(side->carrier) > 0);
	send_more(side);
}

static void on_closed(void *user, const struct err *err)
{
	struct side *side = user;

	side->closed++;
	side->err = *err;
}

static const struct carrier_events carrier_events = {
	.on_data = on_data, .on_writable = on_writable, .on_closed = on_closed};

static void start_side(struct rig *rig, struct side *side, int fd, enum tls_side which)
{
	SSL_CTX *tls =
		which == TLS_SIDE_SERVER ? identity_server_tls(rig->identity) : rig->client_tls;

	side->in_order = true;
	side->carrier = tls_carrier_new(&rig->loop, fd, tls, which);
	assert_int_equal(carrier_room(side->carrier), 0);
	carrier_start(side->carrier, &carrier_events, side);
	assert_int_equal(side->closed, 0);
}

static void make_pair(int fds[2])
{
	int size = SOCKET_BYTES;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

static struct rig *rig_new(void)
{
	struct rig *rig = XNEW(struct rig);
	struct err err = ERR_INIT;

	uv_loop_init(&rig->loop);
	assert_int_equal(identity_new(&rig->identity, &err), 0);
	/* Verifies nothing: agent_credentials.c does, and has its own tests. */
	rig->client_tls = SSL_CTX_new(TLS_client_method());
	return rig;
}

static struct rig *rig_connected(void)
{
	struct rig *rig = rig_new();
	int fds[2];

	make_pair(fds);
	start_side(rig, &rig->client, fds[0], TLS_SIDE_CLIENT);
	start_side(rig, &rig->server, fds[1], TLS_SIDE_SERVER);
	return rig;
}

static void rig_free(struct rig *rig)
{
	carrier_free(rig->client.carrier);
	carrier_free(rig->server.carrier);
	uv_run(&rig->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig->loop), 0);
	SSL_CTX_free(rig->client_tls);
	identity_free(rig->identity);
	free(rig);
}

static bool in_time(struct rig *rig, uint64_t *since_ms)
{
	uv_run(&rig->loop, UV_RUN_NOWAIT);
	if (*since_ms == 0)
		*since_ms = uv_now(&rig->loop);
	assert_true(uv_now(&rig->loop) - *since_ms < DEADLINE_MS);
	return true;
}

static void run_until_size(struct rig *rig, const size_t *value, size_t least)
{
	uint64_t since_ms = 0;

	while (*value < least && in_time(rig, &since_ms))
		continue;
}

static void run_until(struct rig *rig, const int *value, int least)
{
	uint64_t since_ms = 0;

	while (*value < least && in_time(rig, &since_ms))
		continue;
}

/* Both ways at once through sockets that take less than a record at a time. */
static void test_both_ways(void **state)
{
	struct rig *rig = rig_connected();

	(void)state;
	rig->client.to_send = rig->server.to_send = BULK_BYTES;
	run_until_size(rig, &rig->server.received, BULK_BYTES);
	run_until_size(rig, &rig->client.received, BULK_BYTES);
	assert_true(rig->client.in_order && rig->server.in_order);
	assert_int_equal(rig->client.received, BULK_BYTES);
	assert_int_equal(rig->server.received, BULK_BYTES);
	/* It was full in between, and said so. */
	assert_true(rig->client.writable > 2 && rig->server.writable > 2);
	assert_int_equal(rig->client.closed + rig->server.closed, 0);
	assert_string_equal(rig->client.carrier->ops->name, "tls");
	rig_free(rig);
}

/* A peer that does not read: there is no room, and what waits is bounded. */
static void test_no_room(void **state)
{
	struct rig *rig = rig_connected();
	uint8_t piece[16] = {0};
	size_t sent;

	(void)state;
	run_until(rig, &rig->client.writable, 1);
	run_until(rig, &rig->server.writable, 1);
	rig->client.to_send = BULK_BYTES;
	/* Without a turn of the loop in between nobody reads. */
	send_more(&rig->client);
	sent = rig->client.sent;
	assert_in_range(sent, 1, PIECE_BYTES);
	assert_int_equal(carrier_room(rig->client.carrier), 0);
	/* Control records may still be queued, but not without end. */
	for (size_t i = 0; i < LIMIT_CARRIER_QUEUE_BYTES && rig->client.closed == 0; i++)
		carrier_send(rig->client.carrier, piece, sizeof(piece));
	run_until(rig, &rig->client.closed, 1);
	assert_int_equal(rig->client.closed, 1);
	rig_free(rig);
}

static void test_ends(void **state)
{
	struct rig *rig = rig_connected();

	(void)state;
	run_until(rig, &rig->client.writable, 1);
	run_until(rig, &rig->server.writable, 1);
	assert_false(tls_carrier_ended(rig->client.carrier));
	carrier_free(TAKE_PTR(rig->server.carrier));
	run_until(rig, &rig->client.closed, 1);
	assert_int_equal(rig->client.err.kind, ERR_NONE);
	assert_true(tls_carrier_ended(rig->client.carrier));
	rig_free(rig);
}

/* A connection that just ends is told from one that the peer closed. */
static void test_abort(void **state)
{
	struct rig *rig = rig_connected();

	(void)state;
	run_until(rig, &rig->client.writable, 1);
	run_until(rig, &rig->server.writable, 1);
	tls_carrier_abort(rig->server.carrier);
	carrier_free(TAKE_PTR(rig->server.carrier));
	run_until(rig, &rig->client.closed, 1);
	assert_int_equal(rig->client.err.kind, ERR_UNREACHABLE);
	assert_false(tls_carrier_ended(rig->client.carrier));
	rig_free(rig);
}

/* Moves what there is from one socket to another; flips one bit of the byte at *flip, counted from
 * the first. */
static void relay(int from, int to, size_t *at, size_t flip)
{
	uint8_t bytes[4096];
	ssize_t n = recv(from, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n <= 0)
		return;
	if (flip >= *at && flip < *at + (size_t)n)
		bytes[flip - *at] ^= 1;
	*at += (size_t)n;
	(void)!send(to, bytes, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Whichever byte of the client's is altered, the server takes none of its data. */
static void flip_byte(size_t flip)
{
	struct rig *rig = rig_new();
	int near[2], far[2];
	size_t up = 0, down = 0;
	uint64_t since_ms = 0;

	make_pair(near);
	make_pair(far);
	start_side(rig, &rig->client, near[0], TLS_SIDE_CLIENT);
	start_side(rig, &rig->server, far[0], TLS_SIDE_SERVER);
	rig->client.to_send = 3000;
	while (rig->server.closed == 0 && rig->client.closed == 0 &&
		rig->server.received < rig->client.to_send && in_time(rig, &since_ms)) {
		relay(near[1], far[1], &up, flip);
		relay(far[1], near[1], &down, SIZE_MAX);
		/* A length that has grown: the server waits for bytes that do not come. */
		if (up > flip + 1000 && uv_now(&rig->loop) - since_ms > 20)
			shutdown(far[1], SHUT_RDWR);
	}
	assert_true(rig->server.closed + rig->client.closed > 0);
	assert_int_equal(rig->server.received, 0);
	close(near[1]);
	close(far[1]);
	rig_free(rig);
}

/* How long a ClientHello is. */
static size_t first_flight(void)
{
	struct rig *rig = rig_new();
	uint64_t since_ms = 0;
	size_t len = 0;
	int fds[2];

	make_pair(fds);
	start_side(rig, &rig->client, fds[0], TLS_SIDE_CLIENT);
	while (len == 0 && in_time(rig, &since_ms))
		relay(fds[1], fds[1], &len, SIZE_MAX);
	close(fds[1]);
	rig_free(rig);
	return len;
}

static void test_altered(void **state)
{
	/* In ClientHello's record header, version, random, extensions; in the Finished; in the
	 * data. */
	static const size_t places[] = {0, 1, 5, 9, 20, 100, 200};
	size_t hello;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		flip_byte(places[i]);
	hello = first_flight();
	/* After it come change_cipher_spec (6 bytes), Finished and data. */
	flip_byte(hello + 6 + 20);
	flip_byte(hello + 6 + 80 + 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_altered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* From the first byte to the proven peer, with a well-behaved client and with strangers. */
#include "tunnel/fixture_client.h"

#include <openssl/evp.h>
#include <poll.h>
#include <sys/resource.h>

#include "tunnel/pipe.h"
#include "tunnel/proof.h"
#include "tunnel/ws.h"

#define HELLO_RECORD_BYTES (4 + PROOF_HELLO_BYTES)
#define REFUSE_TEXT        "no such session, or not its key"

/* Reads what the server says to fd until it closes or `want` bytes are there. */
static size_t hear(struct fixture *fixture, int fd, uint8_t *out, size_t want, bool *ret_closed)
{
	uint64_t end = uv_hrtime() + DEADLINE_MS * 1000000ull;
	size_t len = 0;
	ssize_t n;

	*ret_closed = false;
	while (len < want && !*ret_closed) {
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
		n = recv(fd, out + len, want - len, MSG_DONTWAIT);
		if (n > 0)
			len += (size_t)n;
		*ret_closed = n == 0 || (n < 0 && errno != EAGAIN);
		assert_true(uv_hrtime() < end);
	}
	return len;
}

/* Everything that the server says before it closes. */
static size_t hear_all(struct fixture *fixture, int fd, uint8_t *out, size_t size)
{
	bool closed;
	size_t len = hear(fixture, fd, out, size, &closed);

	assert_true(closed);
	return len;
}

static void say(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void test_accepted(void **state)
{
	struct fixture *fixture = fixture_new();

	(void)state;
	fixture_ready(fixture);
	run_until(fixture, &fixture->peers, 1);
	assert_string_equal(tunnel_peer_session_uid(fixture->peer), SESSION_UID);
	assert_string_equal(tunnel_peer_carrier(fixture->peer), "socket");
	fixture_free(fixture);
}

/* The Session reaches the manager's watch after the proof. */
static void test_early_proof(void **state)
{
	struct fixture *fixture = fixture_new();

	(void)state;
	fixture->lookups_until_known = 3;
	fixture_ready(fixture);
	fixture_free(fixture);
}

static void check_refused(struct fixture *fixture)
{
	run_until(fixture, &fixture->closed, 1);
	assert_int_equal(fixture->ready, 0);
	assert_int_equal(fixture->closed_err.code, -EACCES);
	assert_int_equal(fixture->closed_err.kind, ERR_AUTH);
	assert_non_null(strstr(fixture->closed_err.msg, REFUSE_TEXT));
	assert_int_equal(fixture->peers, 0);
	fixture_free(fixture);
}

static void test_wrong_key(void **state)
{
	struct fixture *fixture = fixture_new();

	(void)state;
	fixture_start_client(fixture, SESSION_UID, fixture->other_key);
	check_refused(fixture);
}

static void test_unknown_session(void **state)
{
	struct fixture *fixture = fixture_new();

	(void)state;
	fixture_start_client(fixture, "another-uid", fixture->key);
	check_refused(fixture);
}

static void test_session_ends(void **state)
{
	struct fixture *fixture = fixture_new();

	(void)state;
	fixture_ready(fixture);
	run_until(fixture, &fixture->peers, 1);
	tunnel_peer_close(fixture->peer, "the session was deleted");
	assert_int_equal(fixture->peers_gone, 1);
	run_until(fixture, &fixture->closed, 1);
	assert_non_null(strstr(fixture->closed_err.msg, "the session was deleted"));
	assert_null(tunnel_client_h2(fixture->client));
	fixture_free(fixture);
}

/* The record of a proof, signed for the nonce of the HELLO in `hello`. */
static size_t make_proof(const struct fixture *fixture, const uint8_t *hello, uint8_t *out)
{
	ssize_t len =
		proof_format(SESSION_UID, "test", false, hello + 4 + 1, fixture->key, out + 4);

	assert_true(len > 0);
	assert_int_equal(hello[0], PIPE_HELLO);
	out[0] = PIPE_PROOF;
	out[1] = 0;
	out[2] = (uint8_t)(len >> 8);
	out[3] = (uint8_t)len;
	return (size_t)len + 4;
}

static int connect_preamble(struct fixture *fixture, uint8_t *hello)
{
	int fd = fixture_connect(fixture);
	bool closed;

	say(fd, TUNNEL_PREAMBLE, strlen(TUNNEL_PREAMBLE));
	assert_int_equal(hear(fixture, fd, hello, HELLO_RECORD_BYTES, &closed), HELLO_RECORD_BYTES);
	return fd;
}

static void test_replay(void **state)
{
	static const uint8_t accept[4] = {PIPE_ACCEPT, 0, 0, 0};
	static const char refuse[] = "\x04\0\0\x1f" REFUSE_TEXT;
	struct fixture *fixture = fixture_new();
	uint8_t hello[HELLO_RECORD_BYTES], proof[256], answer[256];
	int fd = connect_preamble(fixture, hello);
	size_t len = make_proof(fixture, hello, proof);
	bool closed;

	(void)state;
	say(fd, proof, len);
	assert_int_equal(hear(fixture, fd, answer, sizeof(accept), &closed), sizeof(accept));
	assert_memory_equal(answer, accept, sizeof(accept));
	close(fd);
	/* The same bytes again, on a connection with a nonce of its own. */
	fd = connect_preamble(fixture, hello);
	say(fd, proof, len);
	assert_int_equal(hear_all(fixture, fd, answer, sizeof(answer)), sizeof(refuse) - 1);
	assert_memory_equal(answer, refuse, sizeof(refuse) - 1);
	close(fd);
	run_until(fixture, &fixture->peers_gone, 1);
	assert_int_equal(fixture->peers, 1);
	fixture_free(fixture);
}

/* Strangers: what they send, and every byte they get. */
static void test_strangers(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *answer; /* NULL: a HELLO and nothing else */
	} rows[] = {
#define ROW(bytes, answer) {bytes, sizeof(bytes) - 1, answer}
		ROW("\x16\x03\x01\x02\x00\x01", ""),
		ROW("tpt/1\r\n", ""),
		ROW("TPT/2\r\n\r\n\r\n", "HTTP/1.1 400 "),
		ROW("TPT/1\r\n\x02", ""),
		ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400 "),
		ROW("GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 200 "),
		ROW("GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "),
		ROW("GET /healthz HTTP/1.1\r\n\r\nmore", "HTTP/1.1 400 "),
		ROW("POST /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 "),
		ROW("GET /other HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
			"HTTP/1.1 404 "),
		ROW("GET /tunnel HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
			"HTTP/1.1 400 "),
		/* After the preamble, instead of a proof: DATA, PING, ACCEPT, nonsense, too long.
		 */
		ROW("TPT/1\r\n#\x05\0\0\x0a\0\0\0\0\0\0\0\0hi", NULL),
		ROW("TPT/1\r\n#\x07\0\0\x08\0\0\0\0\0\0\0\0", NULL),
		ROW("TPT/1\r\n#\x03\0\0\0", NULL),
		ROW("TPT/1\r\n#\x02\0\0\x03\x01\x41\x01", NULL),
		ROW("TPT/1\r\n#\x02\xff\xff\xff", NULL),
		ROW("TPT/1\r\n#\xff\xff\xff\xff", NULL),
		ROW("TPT/1\r\n#GET / HTTP/1.1\r\n\r\n", NULL),
#undef ROW
	};
	struct fixture *fixture = fixture_new();
	uint8_t answer[1024] = {0};
	bool closed;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		/* '#': wait for the HELLO, then send what follows it. */
		const char *pause = rows[i].answer ? NULL : memchr(rows[i].bytes, '#', rows[i].len);
		size_t first = pause ? (size_t)(pause - rows[i].bytes) : rows[i].len;
		int fd = fixture_connect(fixture);
		size_t len;

		say(fd, rows[i].bytes, first);
		if (pause) {
			assert_int_equal(hear(fixture, fd, answer, HELLO_RECORD_BYTES, &closed),
				HELLO_RECORD_BYTES);
			say(fd, pause + 1, rows[i].len - first - 1);
		}
		len = hear_all(fixture, fd, answer, sizeof(answer));
		if (rows[i].answer && rows[i].answer[0])
			assert_int_equal(
				strncmp((char *)answer, rows[i].answer, strlen(rows[i].answer)), 0);
		else
			assert_int_equal(len, 0);
		close(fd);
	}
	assert_int_equal(fixture->peers, 0);
	fixture_free(fixture);
}

static void test_long_head(void **state)
{
	struct fixture *fixture = fixture_new();
	char head[LIMIT_HTTP_HEAD_BYTES];
	uint8_t answer[256];
	int fd = fixture_connect(fixture);

	(void)state;
	memset(head, 'x', sizeof(head));
	memcpy(head, "GET /", 5);
	say(fd, head, sizeof(head));
	assert_true(hear_all(fixture, fd, answer, sizeof(answer)) > 0);
	assert_int_equal(memcmp(answer, "HTTP/1.1 431 ", 13), 0);
	close(fd);
	fixture_free(fixture);
}

#define UPGRADE \
	"GET /tunnel HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" \
	"Sec-WebSocket-Protocol: telepresence.io.v1\r\n\r\n"
#define SWITCHED \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" \
	"Sec-WebSocket-Protocol: telepresence.io.v1\r\n\r\n"

/* The WebSocket form, byte by byte: upgrade, HELLO, masked PROOF, ACCEPT; then an unmasked frame.
 */
static void test_websocket(void **state)
{
	static const uint8_t mask[4] = {1, 2, 3, 4}, accept[6] = {0x82, 4, PIPE_ACCEPT, 0, 0, 0};
	struct fixture *fixture = fixture_new();
	uint8_t answer[512], proof[256], frame[256 + WS_HEADER_MAX_BYTES];
	size_t want = strlen(SWITCHED) + 2 + HELLO_RECORD_BYTES, len, header;
	int fd = fixture_connect(fixture);
	bool closed;

	(void)state;
	say(fd, UPGRADE, strlen(UPGRADE));
	assert_int_equal(hear(fixture, fd, answer, want, &closed), want);
	assert_memory_equal(answer, SWITCHED, strlen(SWITCHED));
	len = make_proof(fixture, answer + strlen(SWITCHED) + 2, proof);
	header = ws_frame_header(frame, WS_OP_BINARY, len, mask);
	ws_mask(frame + header, proof, len, mask, 0);
	say(fd, frame, header + len);
	assert_int_equal(hear(fixture, fd, answer, sizeof(accept), &closed), sizeof(accept));
	assert_memory_equal(answer, accept, sizeof(accept));
	assert_int_equal(fixture->peers, 1);
	say(fd, "\x82\x01x", 3);
	run_until(fixture, &fixture->peers_gone, 1);
	close(fd);
	fixture_free(fixture);
}

/* A manager of a later version, played by the test. */
static void test_other_version(void **state)
{
	static const struct tunnel_client_events events = {
		.on_ready = fixture_on_ready, .on_closed = fixture_on_closed};
	struct fixture *fixture = fixture_new();
	const struct tunnel_client_config config = {.session_uid = "u", .key = fixture->key};
	const uint8_t hello[] = {PIPE_HELLO, 0, 0, 3, PROOF_VERSION + 1, 'x', 'y'};
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	fixture->client = tunnel_client_new(&fixture->loop,
		socket_carrier_new(&fixture->loop, fds[0], SOCKET_RAW), &config, &events, fixture);
	say(fds[1], hello, sizeof(hello));
	run_until(fixture, &fixture->closed, 1);
	assert_int_equal(fixture->closed_err.kind, ERR_UNSUPPORTED);
	assert_non_null(strstr(fixture->closed_err.msg, "version 2"));
	close(fds[1]);
	fixture_free(fixture);
}

/* Whether each of these is open and was told nothing. */
static void assert_silent(const int *fds, size_t count)
{
	uint8_t byte;

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(recv(fds[i], &byte, 1, MSG_DONTWAIT), -1);
		assert_int_equal(errno, EAGAIN);
	}
}

/*
 * Connections that never say a word, from five sources. One that has its share loses its own
 * oldest; when the table is full the oldest of all goes; a proven peer stays.
 */
static void test_table_full(void **state)
{
	const struct rlimit files = {.rlim_cur = 4096, .rlim_max = 4096};
	struct fixture *fixture = fixture_new();
	static int fds[LIMIT_HANDSHAKES + 1];
	const size_t share = LIMIT_HANDSHAKES / 4;
	uint8_t byte;

	(void)state;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	fixture_ready(fixture);
	fds[0] = fixture_connect_from(fixture, 2);
	for (size_t i = 1; i < share + 2; i++) {
		fds[i] = fixture_connect_from(fixture, 3);
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(hear_all(fixture, fds[1], &byte, 1), 0);
	assert_silent(fds, 1);
	assert_silent(fds + 2, share);
	for (size_t i = share + 2; i < ARRAY_SIZE(fds); i++) {
		fds[i] = fixture_connect_from(fixture, (uint8_t)(4 + i % 3));
		uv_run(&fixture->loop, UV_RUN_NOWAIT);
	}
	/* It is full now, without the one that was closed. */
	assert_silent(fds, 1);
	close(fds[1]);
	fds[1] = fixture_connect_from(fixture, 7);
	assert_int_equal(hear_all(fixture, fds[0], &byte, 1), 0);
	assert_silent(fds + 1, ARRAY_SIZE(fds) - 1);
	assert_non_null(fixture->peer);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_early_proof),
		cmocka_unit_test(test_wrong_key),
		cmocka_unit_test(test_unknown_session),
		cmocka_unit_test(test_session_ends),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_long_head),
		cmocka_unit_test(test_websocket),
		cmocka_unit_test(test_other_version),
		cmocka_unit_test(test_table_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

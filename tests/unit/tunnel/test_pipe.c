/* SPDX-License-Identifier: Apache-2.0 */
/* Records against a carrier in memory. */
#include "tunnel/fixture_pipe.h"

#define U64(n)              "\0\0\0\0\0\0\0" n
#define DATA(offset, bytes) "\x05\0\0\x0a" U64(offset) bytes

struct row {
	const char *name;
	bool open;
	const char *bytes;
	size_t len;
	int records;
	const char *data; /* what the stream has got before the end */
	bool closed;
};

#define ROW(name, open, bytes, records, data, closed) \
	{name, open, bytes, sizeof(bytes) - 1, records, data, closed}

static const struct row rows[] = {
	ROW("hello", false, "\x01\0\0\x02xy", 1, "", false),
	ROW("empty record", false, "\x03\0\0\0", 1, "", false),
	ROW("two records", false, "\x03\0\0\0\x04\0\0\x01x", 2, "", false),
	ROW("control too long", false, "\x01\0\x02\x01", 0, "", true),
	ROW("data before it is open", false, DATA("\0", "hi"), 0, "", true),
	ROW("ping before it is open", false, "\x07\0\0\x08" U64("\0"), 0, "", true),
	ROW("no such type", false, "\0\0\0\0", 0, "", true),
	ROW("no such type when open", true, "\x0a\0\0\0", 0, "", true),
	ROW("hello when open", true, "\x01\0\0\0", 0, "", true),
	ROW("data", true, DATA("\0", "hi") DATA("\2", "ho"), 0, "hiho", false),
	ROW("data with a hole", true, DATA("\0", "hi") DATA("\3", "ho"), 0, "hi", true),
	ROW("data again", true, DATA("\0", "hi") DATA("\0", "hi"), 0, "hi", true),
	ROW("data without bytes", true, "\x05\0\0\x08" U64("\0"), 0, "", true),
	ROW("data shorter than its offset", true, "\x05\0\0\x07", 0, "", true),
	ROW("data too long", true, "\x05\x01\0\x09", 0, "", true),
	ROW("longest data begins", true, "\x05\x01\0\x08" U64("\0") "x", 0, "x", false),
	ROW("ack of nothing", true, "\x06\0\0\x08" U64("\0"), 0, "", false),
	ROW("ack of what was not sent", true, "\x06\0\0\x08" U64("\1"), 0, "", true),
	ROW("ping too short", true, "\x07\0\0\x07", 0, "", true),
	ROW("ping too long", true, "\x07\0\0\x09", 0, "", true),
	ROW("pong of no ping", true, "\x08\0\0\x08" U64("\7"), 0, "", false),
	ROW("close", true, "\x09\0\0\x03why", 0, "", true),
	ROW("close without a word", true, "\x09\0\0\0", 0, "", true),
	ROW("close before it is open", false, "\x09\0\0\x03why", 0, "", true),
	ROW("nothing after a close", true, "\x09\0\0\x03why" DATA("\0", "hi"), 0, "", true),
};

static void test_records(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t piece = 1; piece <= rows[i].len; piece++) {
			struct rig rig = {.suspect_ms = 0};

			rig_init(&rig, 0, 60000);
			if (rows[i].open)
				pipe_open(rig.pipe);
			for (size_t at = 0; at < rows[i].len; at += piece)
				feed(&rig, rows[i].bytes + at, MIN(piece, rows[i].len - at));
			if (rig.closed != rows[i].closed)
				print_error("row: %s\n", rows[i].name);
			assert_int_equal(rig.closed, rows[i].closed);
			assert_int_equal(rig.records, rows[i].records);
			assert_int_equal(rig.data_len, strlen(rows[i].data));
			assert_memory_equal(rig.data, rows[i].data, rig.data_len);
			rig_done(&rig);
		}
}

static void test_close_text(void **state)
{
	struct rig rig = {.suspect_ms = 0};

	(void)state;
	rig_init(&rig, 0, 60000);
	feed(&rig, "\x09\0\0\x05\x1b[2J\n", 9);
	assert_non_null(strstr(rig.err.msg, "closed the tunnel: ?[2J?"));
	rig_done(&rig);
}

static void test_data_out(void **state)
{
	uint8_t record[PIPE_DATA_HEADER_BYTES + 2 + PIPE_DATA_TAIL_BYTES] = {0};
	struct rig rig = {.suspect_ms = 0};

	(void)state;
	rig_init(&rig, 0, 60000);
	pipe_open(rig.pipe);
	memcpy(record + PIPE_DATA_HEADER_BYTES, "hi", 2);
	pipe_send_data(rig.pipe, record, 2);
	pipe_send_data(rig.pipe, record, 2);
	assert_int_equal(rig.carrier.out_len, 28);
	assert_memory_equal(rig.carrier.out, DATA("\0", "hi") DATA("\2", "hi"), 28);
	/* Acknowledged once, then not less. */
	feed(&rig, "\x06\0\0\x08" U64("\4"), 12);
	assert_int_equal(rig.closed, 0);
	feed(&rig, "\x06\0\0\x08" U64("\3"), 12);
	assert_int_equal(rig.closed, 1);
	rig_done(&rig);
}

static void test_acks(void **state)
{
	static uint8_t record[PIPE_DATA_HEADER_BYTES + 16 * 1024] = {5, 0, 0x40, 8};
	struct rig rig = {.suspect_ms = 0};

	(void)state;
	rig_init(&rig, 0, 60000);
	pipe_open(rig.pipe);
	feed(&rig, record, sizeof(record) - 1);
	assert_int_equal(rig.carrier.out_len, 0);
	feed(&rig, record, 1);
	uv_run(&rig.loop, UV_RUN_NOWAIT);
	assert_int_equal(rig.carrier.out_len, 12);
	assert_memory_equal(rig.carrier.out, "\x06\0\0\x08\0\0\0\0\0\0\x40\0", 12);
	/* Once. */
	uv_run(&rig.loop, UV_RUN_NOWAIT);
	assert_int_equal(rig.carrier.out_len, 12);
	rig_done(&rig);
}

/* What is sent in the same turn of the loop takes the ACK with it. */
static void test_ack_goes_along(void **state)
{
	static uint8_t record[PIPE_DATA_HEADER_BYTES + 16 * 1024] = {5, 0, 0x40, 8};
	uint8_t answer[PIPE_DATA_HEADER_BYTES + 2 + PIPE_DATA_TAIL_BYTES] = {
		[PIPE_DATA_HEADER_BYTES] = 'o', 'k'};
	struct rig rig = {.suspect_ms = 0};

	(void)state;
	rig_init(&rig, 0, 60000);
	pipe_open(rig.pipe);
	feed(&rig, record, sizeof(record));
	for (int i = 0; i < 2; i++)
		pipe_send_data(rig.pipe, answer, 2);
	uv_run(&rig.loop, UV_RUN_NOWAIT);
	assert_int_equal(rig.carrier.sends, 2);
	assert_int_equal(rig.carrier.out_len, 14 + 12 + 14);
	assert_memory_equal(rig.carrier.out + 12, "ok\x06\0\0\x08\0\0\0\0\0\0\x40\0\x05", 15);
	rig_done(&rig);
}

/* Without room it waits, and comes when there is some. */
static void test_ack_waits_for_room(void **state)
{
	static uint8_t record[PIPE_DATA_HEADER_BYTES + 16 * 1024] = {5, 0, 0x40, 8};
	struct rig rig = {.suspect_ms = 0};

	(void)state;
	rig_init(&rig, 0, 60000);
	pipe_open(rig.pipe);
	feed(&rig, record, sizeof(record));
	rig.carrier.room = 0;
	uv_run(&rig.loop, UV_RUN_NOWAIT);
	assert_int_equal(rig.carrier.out_len, 0);
	rig.carrier.room = 1;
	rig.carrier.base.events.on_writable(rig.carrier.base.user);
	uv_run(&rig.loop, UV_RUN_NOWAIT);
	assert_int_equal(rig.carrier.out_len, 12);
	rig_done(&rig);
}

/* A bulk transfer is not acknowledged record by record: at most every 2 ms or 256 KiB. */
static void test_acks_are_few(void **state)
{
	static uint8_t record[PIPE_DATA_HEADER_BYTES + 16 * 1024] = {5, 0, 0x40, 8};
	const unsigned int records = 1024;
	uint64_t start = uv_hrtime(), elapsed_ms;
	struct rig rig = {.suspect_ms = 0};

	(void)state;
	rig_init(&rig, 0, 60000);
	pipe_open(rig.pipe);
	for (unsigned int i = 0; i < records; i++) {
		struct wire offset = wire_writer(record + 4, 8);

		wire_put_u64(&offset, (uint64_t)i * 16 * 1024);
		feed(&rig, record, sizeof(record));
		uv_run(&rig.loop, UV_RUN_NOWAIT);
	}
	elapsed_ms = (uv_hrtime() - start) / 1000000;
	assert_int_equal(rig.closed, 0);
	assert_true(rig.carrier.out_len / 12 >= records / 16);
	assert_true(rig.carrier.out_len / 12 <= records / 16 + elapsed_ms / 2 + 2);
	rig_done(&rig);
}

/* A peer that asks and does not read gets one answer when there is room, not a queue. */
static void test_ping_flood(void **state)
{
	struct rig rig = {.suspect_ms = 0};
	uint64_t start = uv_hrtime(), asked = 0;

	(void)state;
	rig_init(&rig, 0, 60000);
	pipe_open(rig.pipe);
	rig.carrier.room = 0;
	for (int i = 0; i < 1000; i++)
		feed(&rig, "\x07\0\0\x08" U64("\1"), 12);
	feed(&rig, "\x07\0\0\x08" U64("\2"), 12);
	assert_int_equal(rig.carrier.out_len, 0);
	rig.carrier.room = 1;
	rig.carrier.base.events.on_writable(rig.carrier.base.user);
	/* And no more than one question of its own. */
	assert_int_equal(rig.carrier.out_len, 24);
	assert_memory_equal(rig.carrier.out, "\x08\0\0\x08" U64("\2"), 12);
	assert_memory_equal(rig.carrier.out + 12, "\x07\0\0\x08", 4);
	assert_int_equal(rig.writable, 1);
	for (int i = 0; i < 10; i++)
		feed(&rig, "\x07\0\0\x08" U64("\3"), 12);
	for (size_t at = 0; at < rig.carrier.out_len; at += 12)
		asked += rig.carrier.out[at] == PIPE_PING;
	assert_true(asked <= 1 + (uv_hrtime() - start) / 1000000000);
	rig_done(&rig);
}

static void run_until(struct rig *rig, const size_t *value, size_t least)
{
	uint64_t end = uv_hrtime() + DEADLINE_NS;

	while (*value < least && uv_hrtime() < end)
		uv_run(&rig->loop, UV_RUN_ONCE);
	assert_true(*value >= least);
}

static void test_rtt(void **state)
{
	uint8_t pong[12];
	struct rig rig = {.suspect_ms = 0};

	(void)state;
	rig_init(&rig, 20, 60000);
	pipe_open(rig.pipe);
	assert_int_equal(rig.carrier.out_len, 12); /* the first at once */
	memcpy(pong, rig.carrier.out, sizeof(pong));
	pong[0] = PIPE_PONG;
	assert_int_equal(pipe_rtt_us(rig.pipe), 0);
	feed(&rig, pong, sizeof(pong));
	assert_true(pipe_rtt_us(rig.pipe) > 0);
	run_until(&rig, &rig.carrier.out_len, 36);
	rig_done(&rig);
}

/* A side without heartbeats measures too: it asks beside its first answer. */
static void test_rtt_of_the_other_side(void **state)
{
	uint8_t pong[12];
	struct rig rig = {.suspect_ms = 0};

	(void)state;
	rig_init(&rig, 0, 60000);
	pipe_open(rig.pipe);
	assert_int_equal(rig.carrier.out_len, 0);
	feed(&rig, "\x07\0\0\x08" U64("\1"), 12);
	assert_int_equal(rig.carrier.out_len, 24);
	memcpy(pong, rig.carrier.out + 12, sizeof(pong));
	assert_int_equal(pong[0], PIPE_PING);
	pong[0] = PIPE_PONG;
	assert_int_equal(pipe_rtt_us(rig.pipe), 0);
	feed(&rig, pong, sizeof(pong));
	assert_true(pipe_rtt_us(rig.pipe) > 0);
	rig_done(&rig);
}

static void test_silence(void **state)
{
	struct rig rig = {.suspect_ms = 0};
	uint64_t start = uv_hrtime();

	(void)state;
	rig_init(&rig, 20, 100);
	pipe_open(rig.pipe);
	while (!rig.closed && uv_hrtime() - start < DEADLINE_NS)
		uv_run(&rig.loop, UV_RUN_ONCE);
	assert_int_equal(rig.closed, 1);
	assert_int_equal(rig.err.code, -ETIMEDOUT);
	/* Less what the two ends of the time lose when they are cut to milliseconds. */
	assert_true(uv_hrtime() - start >= 98000000ull);
	rig_done(&rig);
}

static void wait_silence(struct rig *rig, enum pipe_silence silence)
{
	uint64_t start = uv_hrtime();

	while (rig->silence != silence && uv_hrtime() - start < DEADLINE_NS)
		uv_run(&rig->loop, UV_RUN_ONCE);
	assert_int_equal(rig->silence, silence);
}

/* An unanswered PING says so long before the end, and a byte takes it back. */
static void test_suspect(void **state)
{
	struct rig rig = {.suspect_ms = 60, .lost_ms = 200};
	uint64_t start = uv_hrtime();

	(void)state;
	rig_init(&rig, 20, 400);
	pipe_open(rig.pipe);
	feed(&rig, "\x08\0\0\x08" U64("\0"), 12);
	wait_silence(&rig, PIPE_SUSPECT);
	/* 20 ms to the next PING, then its time. */
	assert_true(uv_hrtime() - start >= 78000000ull);
	feed(&rig, "\x08\0\0\x08" U64("\0"), 12);
	assert_int_equal(rig.silence, PIPE_HEARD);
	wait_silence(&rig, PIPE_SUSPECT);
	wait_silence(&rig, PIPE_LOST);
	assert_true(uv_hrtime() - start >= 278000000ull);
	assert_int_equal(rig.silences, 4);
	/* Also that is not the end. */
	feed(&rig, "\x08\0\0\x08" U64("\0"), 12);
	assert_int_equal(rig.silence, PIPE_HEARD);
	assert_int_equal(rig.closed, 0);
	wait_silence(&rig, PIPE_LOST);
	while (!rig.closed && uv_hrtime() - start < DEADLINE_NS)
		uv_run(&rig.loop, UV_RUN_ONCE);
	assert_int_equal(rig.closed, 1);
	rig_done(&rig);
}

/* The process stood still (SIGSTOP, a suspended laptop): the peer is asked once more before it is
 * given up. */
static void test_own_pause(void **state)
{
	struct rig rig = {.suspect_ms = 0};
	uint64_t start;
	size_t before;

	(void)state;
	rig_init(&rig, 20, 100);
	pipe_open(rig.pipe);
	before = rig.carrier.out_len;
	start = uv_hrtime();
	while (uv_hrtime() - start < 200000000ull)
		;
	uv_run(&rig.loop, UV_RUN_NOWAIT);
	assert_int_equal(rig.closed, 0);
	assert_int_equal(rig.carrier.out_len, before + 12);
	feed(&rig, "\x08\0\0\x08" U64("\0"), 12);
	while (uv_hrtime() - start < 260000000ull)
		uv_run(&rig.loop, UV_RUN_NOWAIT);
	/* Unless this process was put aside in between, for too long. */
	assert_true(rig.closed == 0 || uv_hrtime() - start >= 300000000ull);
	start = uv_hrtime();
	while (!rig.closed && uv_hrtime() - start < DEADLINE_NS)
		uv_run(&rig.loop, UV_RUN_ONCE);
	assert_int_equal(rig.closed, 1);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_close_text),
		cmocka_unit_test(test_data_out),
		cmocka_unit_test(test_acks),
		cmocka_unit_test(test_ack_goes_along),
		cmocka_unit_test(test_ack_waits_for_room),
		cmocka_unit_test(test_acks_are_few),
		cmocka_unit_test(test_ping_flood),
		cmocka_unit_test(test_rtt),
		cmocka_unit_test(test_rtt_of_the_other_side),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_suspect),
		cmocka_unit_test(test_own_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The limit against a path that is computed (a rate, a delay, a queue without an end), and within a
 * pipe. */
#include "tunnel/fixture_pipe.h"
#include "tunnel/flight.h"

#define RECORD_BYTES (64 * 1024)
/* An ACK is sent every 2 ms, as pipe.c does. */
#define ACK_US  2000
#define ON_WAY  4096
#define SECOND  1000000
#define MBIT(n) ((n) / 8.0) /* bytes per microsecond */
#define MS(n)   ((n) * 1000)

struct path {
	struct flight flight;
	double bytes_per_us;
	uint64_t delay_us; /* both ways */
	uint64_t offsets[ON_WAY], due_us[ON_WAY]; /* when the sender hears of it */
	unsigned int head, tail;
	double free_us; /* when the line has sent all that was given to it */
	double cold; /* bytes a round trip of a TCP connection that only begins; 0: it is warm */
	size_t most; /* the application has no more under way; 0: no limit */
	uint64_t now_us, delivered;
	uint64_t ticks, queue_us; /* sum of the waits before the line, as each tick finds it */
};

/* Of a cold connection a round trip carries twice as much as the one before. */
static double take_us(struct path *path)
{
	double us = RECORD_BYTES / path->bytes_per_us, cold_us;

	if (path->cold == 0)
		return us;
	cold_us = (double)path->delay_us * RECORD_BYTES / path->cold;
	path->cold += RECORD_BYTES;
	if (cold_us <= us)
		path->cold = 0;
	return cold_us > us ? cold_us : us;
}

static bool may_send(const struct path *path)
{
	return flight_room(&path->flight) > 0 && path->tail - path->head < ON_WAY &&
	       (path->most == 0 || path->flight.sent - path->flight.acked < path->most);
}

static void send_all(struct path *path)
{
	uint64_t ready_us;

	while (may_send(path)) {
		flight_sent(&path->flight, RECORD_BYTES, path->now_us);
		if (path->free_us < (double)path->now_us)
			path->free_us = (double)path->now_us;
		path->free_us += take_us(path);
		ready_us = (uint64_t)path->free_us + path->delay_us;
		path->offsets[path->tail % ON_WAY] = path->flight.sent;
		path->due_us[path->tail++ % ON_WAY] = (ready_us / ACK_US + 1) * ACK_US;
	}
}

static void run(struct path *path, uint64_t for_us)
{
	uint64_t end_us = path->now_us + for_us, offset;

	while (path->now_us < end_us) {
		path->now_us += ACK_US;
		offset = 0;
		while (path->head != path->tail &&
			path->due_us[path->head % ON_WAY] <= path->now_us)
			offset = path->offsets[path->head++ % ON_WAY];
		if (offset > 0) {
			path->delivered += offset - path->flight.acked;
			flight_acked(&path->flight, offset, path->now_us);
		}
		send_all(path);
		path->ticks++;
		if (path->free_us > (double)path->now_us)
			path->queue_us += (uint64_t)path->free_us - path->now_us;
	}
}

static void path_init(struct path *path, double bytes_per_us, uint64_t delay_us)
{
	*path = (struct path){.bytes_per_us = bytes_per_us, .delay_us = delay_us, .now_us = SECOND};
	flight_init(&path->flight, path->now_us);
	send_all(path);
}

struct row {
	const char *name;
	double bytes_per_us;
	uint64_t delay_us, ramp_us, queue_us;
};

static const struct row rows[] = {
	/* Queued are 128 KiB or 3 ms, and what a whole record and the ACKs' 2 ms add. */
	{"100 Mbit/s, 40 ms", MBIT(100), MS(40), MS(500), MS(20)},
	{"100 Mbit/s, 100 ms", MBIT(100), MS(100), MS(1000), MS(20)},
	{"1 Gbit/s, 4 ms", MBIT(1000), MS(4), MS(200), MS(8)},
	{"1 Gbit/s, 20 ms", MBIT(1000), MS(20), MS(500), MS(8)},
	{"20 Mbit/s, 40 ms", MBIT(20), MS(40), MS(3000), MS(90)},
	{"8 Gbit/s, none", MBIT(8000), 100, MS(200), MS(8)},
};

/* The line stays busy, and nothing stands in front of it. Over 30 s, so that the least round trip
 * is measured anew more than once. */
static void test_paths(void **state)
{
	static struct path path;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		double capacity = rows[i].bytes_per_us * 30 * SECOND;

		path_init(&path, rows[i].bytes_per_us, rows[i].delay_us);
		run(&path, rows[i].ramp_us);
		path.delivered = path.queue_us = path.ticks = 0;
		run(&path, (uint64_t)30 * SECOND);
		print_message("%s: %.3f of the line, mean queue %u us\n", rows[i].name,
			(double)path.delivered / capacity,
			(unsigned int)(path.queue_us / path.ticks));
		assert_true((double)path.delivered >= 0.98 * capacity);
		assert_true(path.queue_us / path.ticks <= rows[i].queue_us);
	}
}

/* A new carrier is TCP that begins: its first round trips carry little, and that is not a queue.
 * The streams, whose windows are small at first as well, find the whole path when they are larger.
 */
static void test_cold(void **state)
{
	static struct path path;

	(void)state;
	path = (struct path){
		.bytes_per_us = MBIT(1000), .delay_us = MS(20), .cold = 12000, .now_us = SECOND};
	flight_init(&path.flight, path.now_us);
	flight_round_trip(&path.flight, path.delay_us);
	path.most = 4 * RECORD_BYTES;
	send_all(&path);
	run(&path, MS(200));
	path.most = 0;
	path.delivered = 0;
	run(&path, MS(400));
	print_message("%.3f of the line in the first 0.4 s\n",
		(double)path.delivered / (MBIT(1000) * MS(400)));
	assert_true((double)path.delivered >= 0.75 * MBIT(1000) * MS(400));
}

/* A busy machine gives this process the processor now and then, and all ACKs that came meanwhile
 * are read together: a round that begins and ends with them took no time, but says nothing of the
 * path. */
static void test_acks_together(void **state)
{
	static struct path path;
	uint64_t most = 0;
	uint32_t random = 1;

	(void)state;
	path_init(&path, MBIT(2400), 100);
	for (uint64_t end_us = path.now_us + (uint64_t)20 * SECOND; path.now_us < end_us;) {
		random = random * 1664525 + 1013904223;
		path.now_us += MS(1) + (random >> 16) % MS(7);
		while (path.head != path.tail && path.due_us[path.head % ON_WAY] <= path.now_us)
			flight_acked(&path.flight, path.offsets[path.head++ % ON_WAY], path.now_us);
		send_all(&path);
		most = MAX(most, path.flight.sent - path.flight.acked);
	}
	print_message("%u KiB under way at most\n", (unsigned int)(most / 1024));
	/* What the path carries while this process waits, and as much as may queue. */
	assert_true(most <= 8 * 1024 * 1024);
}

/* The path gets longer: the base that was seen before is forgotten, not kept for ever. */
static void test_longer_path(void **state)
{
	static struct path path;

	(void)state;
	path_init(&path, MBIT(100), MS(10));
	run(&path, (uint64_t)5 * SECOND);
	path.delay_us = MS(80);
	run(&path, (uint64_t)25 * SECOND);
	path.delivered = 0;
	run(&path, (uint64_t)10 * SECOND);
	assert_true((double)path.delivered >= 0.97 * MBIT(100) * 10 * SECOND);
}

/* An application that sends little does not lose the window that a transfer has found. */
static void test_sparse_use(void **state)
{
	static struct path path;
	size_t before;

	(void)state;
	path_init(&path, MBIT(1000), MS(20));
	run(&path, (uint64_t)2 * SECOND);
	before = path.flight.window;
	run(&path, 0);
	path.now_us += SECOND;
	flight_acked(&path.flight, path.flight.sent, path.now_us);
	for (int i = 0; i < 100; i++) {
		flight_sent(&path.flight, 100, path.now_us);
		path.now_us += MS(20);
		flight_acked(&path.flight, path.flight.sent, path.now_us);
	}
	assert_true(path.flight.window >= before / 2);
}

/* What comes within 2 ms of an ACK has its own soon after, with nothing more that comes: a peer
 * that may not have more under way waits for it. */
static void test_last_ack(void **state)
{
	static uint8_t record[PIPE_DATA_HEADER_BYTES + 16 * 1024] = {5, 0, 0x40, 8};
	struct rig rig;

	(void)state;
	rig_init(&rig, 0, 60000);
	pipe_open(rig.pipe);
	for (uint8_t i = 0; i < 3; i++) {
		record[10] = (uint8_t)(i * 0x40);
		feed(&rig, record, sizeof(record));
		uv_run(&rig.loop, UV_RUN_NOWAIT);
	}
	for (uint64_t end = uv_hrtime() + DEADLINE_NS;
		rig.carrier.out[rig.carrier.out_len - 2] != 0xc0 && uv_hrtime() < end;)
		uv_run(&rig.loop, UV_RUN_NOWAIT); /* it leaves before the loop would sleep */
	assert_int_equal(rig.carrier.out[rig.carrier.out_len - 2], 0xc0);
	rig_done(&rig);
}

/* No more is under way than an ACK allows; it makes the pipe writable again. */
static void test_in_flight(void **state)
{
	static uint8_t record[PIPE_DATA_HEADER_BYTES + PIPE_DATA_MAX_BYTES + PIPE_DATA_TAIL_BYTES];
	uint8_t ack[12] = {PIPE_ACK, 0, 0, 8};
	struct wire wire = wire_writer(ack + 4, 8);
	struct rig rig;
	uint64_t sent = 0;

	(void)state;
	rig_init(&rig, 0, 60000);
	pipe_open(rig.pipe);
	rig.carrier.room = SIZE_MAX;
	while (pipe_room(rig.pipe) > 0) {
		rig.carrier.out_len = 0;
		pipe_send_data(rig.pipe, record, PIPE_DATA_MAX_BYTES);
		sent += PIPE_DATA_MAX_BYTES;
		assert_true(sent <= 64 * 1024 * 1024);
	}
	assert_int_equal(rig.writable, 0);
	wire_put_u64(&wire, PIPE_DATA_MAX_BYTES);
	feed(&rig, ack, sizeof(ack));
	assert_int_equal(rig.writable, 1);
	assert_true(pipe_room(rig.pipe) > 0);
	rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_cold),
		cmocka_unit_test(test_acks_together),
		cmocka_unit_test(test_longer_path),
		cmocka_unit_test(test_sparse_use),
		cmocka_unit_test(test_last_ack),
		cmocka_unit_test(test_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows that run at the same time, a process each, and one that asks small questions beside them.
 * Uploads are counted where they arrive: what waits in the sender's buffers has not been carried.
 */
#include "pump.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FLOWS_MAX    1024
#define ROUNDS_MAX   (1 << 20)
#define UPLOAD_BLOCK (64 * 1024)
#define ENDLESS      "D 1000000000000000\n"

/* Shared between the processes. */
struct board {
	atomic_bool measuring;
	atomic_uint opened;
	_Atomic uint64_t bytes[FLOWS_MAX], at_ns[FLOWS_MAX]; /* as struct pump_count */
	_Atomic uint32_t rounds;
	float round_us[ROUNDS_MAX];
};

static void nap(double seconds)
{
	struct timespec left = {.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

	while (nanosleep(&left, &left) < 0)
		;
}

static void note(struct board *board, unsigned int index, uint64_t bytes, uint64_t at_ns)
{
	board->bytes[index] = bytes;
	board->at_ns[index] = at_ns;
}

static void download(struct pump_stream *stream, struct board *board, unsigned int index)
{
	static char block[PUMP_BLOCK];
	uint64_t total = 0;
	ssize_t n;

	if (pump_write_all(stream, ENDLESS, strlen(ENDLESS)) < 0)
		return;
	while ((n = stream->read(stream, block, sizeof(block))) > 0)
		note(board, index, total += (uint64_t)n, pump_now_ns());
}

static void upload(struct pump_stream *stream, struct board *board, unsigned int index)
{
	static char block[UPLOAD_BLOCK];
	struct pump_count count;
	size_t have = 0;

	if (pump_write_all(stream, "S\n", 2) < 0)
		return;
	while (pump_write_all(stream, block, sizeof(block)) == 0) {
		ssize_t n;

		while ((n = stream->read_now(stream, (char *)&count + have, sizeof(count) - have)) >
			0) {
			have += (size_t)n;
			if (have == sizeof(count)) {
				note(board, index, be64toh(count.bytes), be64toh(count.at_ns));
				have = 0;
			}
		}
		if (n < 0)
			return;
	}
}

static void ask(struct pump_stream *stream, struct board *board)
{
	cpu_set_t first;
	char byte = 'x';

	/* See pump.h. */
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	(void)sched_setaffinity(0, sizeof(first), &first);
	if (pump_write_all(stream, "E\n", 2) < 0)
		return;
	for (;;) {
		double start = pump_now();

		if (pump_write_all(stream, &byte, 1) < 0 || stream->read(stream, &byte, 1) != 1)
			return;
		if (board->measuring && board->rounds < ROUNDS_MAX)
			board->round_us[board->rounds++] = (float)((pump_now() - start) * 1e6);
	}
}

/* One child: flow number `index`, the asker if that is `flows`, a stalled reader beyond. */
static _Noreturn void child(const struct pump_target *target, const struct pump_load *load,
	unsigned int index, struct board *board)
{
	struct pump_stream *stream = target->open(target->a, target->b);

	if (!stream)
		_exit(1);
	board->opened++;
	if (index == load->flows) {
		ask(stream, board);
	} else if (index > load->flows) {
		(void)pump_write_all(stream, ENDLESS, strlen(ENDLESS));
		for (;;)
			pause();
	} else if (load->up) {
		upload(stream, board, index);
	} else {
		download(stream, board, index);
	}
	_exit(1);
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/* The state of all flows now; one that has said nothing has begun. */
static void read_counts(const struct board *board, const struct pump_load *load,
	struct pump_count counts[static FLOWS_MAX])
{
	uint64_t now = pump_now_ns();

	for (unsigned int i = 0; i < load->flows; i++) {
		do {
			counts[i].at_ns = board->at_ns[i];
			counts[i].bytes = board->bytes[i];
		} while (counts[i].at_ns != board->at_ns[i]);
		if (counts[i].at_ns == 0)
			counts[i].at_ns = now;
	}
}

static void print(struct board *board, const struct pump_load *load, double seconds,
	const struct pump_count before[static FLOWS_MAX])
{
	static struct pump_count after[FLOWS_MAX];
	uint32_t n = board->rounds;
	unsigned int moving = 0;
	double rate = 0;

	read_counts(board, load, after);
	for (unsigned int i = 0; i < load->flows; i++) {
		moving += board->bytes[i] > 0;
		if (after[i].at_ns > before[i].at_ns)
			rate += (double)(after[i].bytes - before[i].bytes) /
				(double)(after[i].at_ns - before[i].at_ns);
	}
	qsort(board->round_us, n, sizeof(board->round_us[0]), by_value);
	(void)printf("{\"seconds\": %.3f, \"mb_per_s\": %.2f, \"moving\": %u, \"rounds\": %u",
		seconds, rate * 1000, moving, n);
	if (n > 0)
		(void)printf(", \"per_second\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f",
			(double)n / seconds, (double)board->round_us[n / 2],
			(double)board->round_us[(uint64_t)n * 99 / 100]);
	(void)printf("}\n");
}

/* Waits until all children have their connection; -ECONNREFUSED when one could not have it. */
static int wait_opened(struct board *board, unsigned int count)
{
	double deadline = pump_now() + 30;

	while (board->opened < count) {
		if (waitpid(-1, NULL, WNOHANG) > 0 || pump_now() > deadline)
			return -ECONNREFUSED;
		nap(0.002);
	}
	return 0;
}

int pump_load_run(const struct pump_target *target, const struct pump_load *load)
{
	unsigned int count = load->flows + 1 + load->stalled;
	pid_t pids[FLOWS_MAX + 1];
	struct board *board = mmap(
		NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	static struct pump_count before[FLOWS_MAX];
	double start;
	int r;

	if (board == MAP_FAILED)
		return -errno;
	if (count > FLOWS_MAX)
		return -EINVAL;
	for (unsigned int i = 0; i < count; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			child(target, load, i, board);
	}
	r = wait_opened(board, count);
	nap(r < 0 ? 0 : load->warm_seconds);
	read_counts(board, load, before);
	start = pump_now();
	board->measuring = true;
	nap(r < 0 ? 0 : load->seconds);
	board->measuring = false;
	if (r == 0)
		print(board, load, pump_now() - start, before);
	for (unsigned int i = 0; i < count; i++) {
		if (pids[i] > 0)
			(void)kill(pids[i], SIGKILL);
	}
	while (wait(NULL) > 0)
		;
	(void)munmap(board, sizeof(*board));
	return r;
}

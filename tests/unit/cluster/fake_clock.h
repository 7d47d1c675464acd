/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/cluster/fake_clock.h - a loop on which nobody waits for a timer
 *
 * The monotonic clock of this program, and so of libuv and libcurl in it, is ahead of the kernel's
 * by what fake_clock_turn() has skipped: a millisecond in which nothing happens on the loop counts
 * as FAKE_CLOCK_SKIP_MS. What is done takes its time, also on a slow machine; only waiting does
 * not.
 */
#ifndef TESTS_FAKE_CLOCK_H
#define TESTS_FAKE_CLOCK_H

#include <poll.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "core/attr.h"

/* No more at once: what is late on loopback must not look like a time-out. */
#define FAKE_CLOCK_SKIP_MS 25

static uint64_t fake_clock_skipped_ms;

/* In place of the C library's, for its libraries too (ld.so(8)): one file of a program includes it.
 * NOLINTNEXTLINE(misc-definitions-in-headers) */
int clock_gettime(clockid_t id, struct timespec *ret_now)
{
	int r = (int)syscall(SYS_clock_gettime, id, ret_now);

	if (r < 0 || (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE))
		return r;
	ret_now->tv_sec += (time_t)(fake_clock_skipped_ms / 1000);
	ret_now->tv_nsec += (long)(fake_clock_skipped_ms % 1000) * 1000000;
	if (ret_now->tv_nsec >= 1000000000) {
		ret_now->tv_sec++;
		ret_now->tv_nsec -= 1000000000;
	}
	return 0;
}

/* What has happened on the loop by now, or a part of its next timer's time. */
static inline void fake_clock_turn(uv_loop_t *loop)
{
	struct pollfd events = {.fd = uv_backend_fd(loop), .events = POLLIN};
	int wait_ms = uv_backend_timeout(loop);

	if (wait_ms != 0 && poll(&events, 1, 1) == 0)
		fake_clock_skipped_ms += (uint64_t)MIN(MAX(wait_ms, 0), FAKE_CLOCK_SKIP_MS);
	(void)uv_run(loop, UV_RUN_NOWAIT);
}

#endif /* TESTS_FAKE_CLOCK_H */

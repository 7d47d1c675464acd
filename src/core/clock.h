/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/clock.h - time for deadlines of those that have no event loop
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds of CLOCK_MONOTONIC: never set, and standing still while the machine sleeps. */
static inline int64_t clock_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif /* CORE_CLOCK_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/resident.h - gives back the memory that only starting up, or a burst of work, needed
 *
 * libcurl alone brings thirty shared libraries, whose constructors and relocation touch 10 MB of
 * code and tables that are never used again. resident_trim() lets go of all unmodified pages of
 * loaded objects and of free heap pages; what is in use comes back from the page cache at once.
 * Call it when a daemon has become idle for the first time, or leave it to resident_tick() when
 * that is. Loop thread only.
 */
#ifndef CORE_RESIDENT_H
#define CORE_RESIDENT_H

#include <stdint.h>

#define RESIDENT_TICK_MS 3000

/* Zeroed at first. */
struct resident {
	uint64_t cpu_us; /* used until the last tick */
	unsigned int pause, left; /* ticks from one trim to the next, and of that to come */
};

/* Once, before anything large is freed. */
void resident_init(void);
void resident_trim(void);
/* What was done until now is not of the first tick. */
void resident_begin(struct resident *resident);
/* To be called every RESIDENT_TICK_MS: trims when next to nothing was done since the last time and
 * the process is larger than an idle one has to be. What made it large need not be known: a watch
 * that could only now be opened, a connection that was made anew, sessions that went. */
void resident_tick(struct resident *resident);

#endif /* CORE_RESIDENT_H */

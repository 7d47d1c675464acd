/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/sched.h - which stream's bytes go out next: sparse ones first, then deficit round robin
 *
 * A stream with bytes to send is put in line by sched_ready() and gets a turn by sched_next(). One
 * that has sent less than a quantum in this round is sparse and overtakes all that have
 * sent more: a small request, a DNS question or a datagram waits for no bulk. A stream alone is
 * not held to a quantum. Entries are embedded in their owner; nothing is allocated.
 */
#ifndef TUNNEL_SCHED_H
#define TUNNEL_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* Of one stream before the next one has its turn; it is what all of them wait for. A fast path
 * makes larger ones: see sched_set_rate(). */
#define SCHED_QUANTUM_BYTES     ((size_t)16 * 1024)
#define SCHED_QUANTUM_MAX_BYTES ((size_t)64 * 1024)
/* Of a quantum: as good as nothing. */
#define SCHED_CRUMB_BYTES ((size_t)1024)
/* What a quantum may take of the path's time. */
#define SCHED_QUANTUM_US 500

enum sched_line { SCHED_NONE, SCHED_SPARSE, SCHED_BULK };

struct sched_entry {
	TAILQ_ENTRY(sched_entry) entry;
	enum sched_line line;
	size_t deficit; /* bytes that it may still send in this round */
	uint32_t round; /* when it had its last turn; 0: never */
};

TAILQ_HEAD(sched_list, sched_entry);

struct sched {
	struct sched_list sparse, bulk;
	struct sched_entry *turn; /* whose bytes may go out; in no line */
	uint32_t round; /* begins at 1 */
	size_t quantum;
};

void sched_init(struct sched *sched);
/* From now on, for a path that carries so many bytes in a second. */
void sched_set_rate(struct sched *sched, uint64_t bytes_per_second);
/* It has bytes to send. No effect on one in line or with the turn. */
void sched_ready(struct sched *sched, struct sched_entry *entry);
/* Gives the turn to the next one; NULL: nobody is in line. The turn must be free. */
struct sched_entry *sched_next(struct sched *sched);
/* Bytes that the one with the turn may send now; 0: its turn is over and it is in line again. */
size_t sched_quantum(struct sched *sched);
void sched_sent(struct sched *sched, size_t len); /* of the one with the turn */
/* It has nothing more to send for now, or goes away. */
void sched_remove(struct sched *sched, struct sched_entry *entry);

#endif /* TUNNEL_SCHED_H */

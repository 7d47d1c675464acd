/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/sched.h"

#include <assert.h>

#include "core/attr.h"

void sched_init(struct sched *sched)
{
	*sched = (struct sched){.round = 1, .quantum = SCHED_QUANTUM_BYTES};
	TAILQ_INIT(&sched->sparse);
	TAILQ_INIT(&sched->bulk);
}

void sched_set_rate(struct sched *sched, uint64_t bytes_per_second)
{
	uint64_t carried = bytes_per_second / 1000000 * SCHED_QUANTUM_US;

	sched->quantum = (size_t)MIN(
		MAX(carried, (uint64_t)SCHED_QUANTUM_BYTES), (uint64_t)SCHED_QUANTUM_MAX_BYTES);
}

static struct sched_list *list_of(struct sched *sched, enum sched_line line)
{
	return line == SCHED_SPARSE ? &sched->sparse : &sched->bulk;
}

static void line_up(struct sched *sched, struct sched_entry *entry, enum sched_line line)
{
	entry->line = line;
	TAILQ_INSERT_TAIL(list_of(sched, line), entry, entry);
}

void sched_ready(struct sched *sched, struct sched_entry *entry)
{
	if (entry->line != SCHED_NONE || entry == sched->turn)
		return;
	if (entry->round != sched->round)
		entry->deficit = sched->quantum;
	line_up(sched, entry, entry->deficit > 0 ? SCHED_SPARSE : SCHED_BULK);
}

struct sched_entry *sched_next(struct sched *sched)
{
	struct sched_entry *entry = TAILQ_FIRST(&sched->sparse);

	assert(!sched->turn);
	if (!entry)
		entry = TAILQ_FIRST(&sched->bulk);
	if (!entry)
		return NULL;
	TAILQ_REMOVE(list_of(sched, entry->line), entry, entry);
	if (entry->line == SCHED_BULK) {
		/* Whoever comes a second time says that all others had their turn. */
		if (entry->round == sched->round)
			sched->round = sched->round == UINT32_MAX ? 1 : sched->round + 1;
		entry->deficit = sched->quantum;
	}
	entry->round = sched->round;
	entry->line = SCHED_NONE;
	sched->turn = entry;
	return entry;
}

size_t sched_quantum(struct sched *sched)
{
	struct sched_entry *entry = sched->turn;

	if (TAILQ_EMPTY(&sched->sparse) && TAILQ_EMPTY(&sched->bulk))
		return SIZE_MAX;
	if (entry->deficit > 0)
		return entry->deficit;
	sched->turn = NULL;
	line_up(sched, entry, SCHED_BULK);
	return 0;
}

void sched_sent(struct sched *sched, size_t len)
{
	struct sched_entry *entry = sched->turn;

	entry->deficit -= MIN(len, entry->deficit);
	/* A record is a little shorter than the largest quantum: what is left is not worth a read,
	 * a frame and a write of its own, which would shift all that follow it, too. */
	if (entry->deficit < SCHED_CRUMB_BYTES)
		entry->deficit = 0;
}

void sched_remove(struct sched *sched, struct sched_entry *entry)
{
	if (entry == sched->turn)
		sched->turn = NULL;
	if (entry->line != SCHED_NONE)
		TAILQ_REMOVE(list_of(sched, entry->line), entry, entry);
	entry->line = SCHED_NONE;
}

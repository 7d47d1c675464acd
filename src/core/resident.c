/* SPDX-License-Identifier: Apache-2.0 */
#include "core/resident.h"

#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/attr.h"

/* What is larger is a mapping of its own, whose pages are resident once they are used and go when
 * it is freed. glibc raises its own threshold to the largest block that was ever freed
 * (mallopt(3)): the tables and queues of the next connection are cleared within the heap then, and
 * stay. */
#define MAPPED_BYTES (256 * 1024)
/* Free bytes at the heap's end that are kept; a burst of work does not move it with each block. */
#define KEPT_BYTES (1024 * 1024)
/* More than this in a tick is work, whose pages would be back at once: one percent. */
#define BUSY_US (RESIDENT_TICK_MS * 1000 / 100)
/* What an idle daemon needs is less. */
#define SMALL_BYTES ((uint64_t)4 << 20)
/* One that needs more is left in peace a little longer each time, but not so long that a burst of
 * start-up work beside it would be seen. */
#define PAUSE_TICKS_MAX 4

/* Segments without write permission are the file's bytes: dropping their pages loses nothing
 * (madvise(2), MADV_DONTNEED of a private file mapping that was never written to). */
static int drop_segments(struct dl_phdr_info *object, size_t size UNUSED, void *user UNUSED)
{
	const uintptr_t page_mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;

	for (unsigned int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uintptr_t start = object->dlpi_addr + segment->p_vaddr;
		uintptr_t end = (start + segment->p_memsz + page_mask) & ~page_mask;

		start &= ~page_mask;
		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W))
			(void)madvise((void *)start, end - start, MADV_DONTNEED);
	}
	return 0;
}

void resident_trim(void)
{
	(void)malloc_trim(0);
	(void)dl_iterate_phdr(drop_segments, NULL);
}

static uint64_t cpu_us(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) < 0)
		return 0;
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* The second number of proc(5)'s statm counts pages in memory. 0 where there is no /proc. */
static uint64_t resident_bytes(void)
{
	char text[128], *end = text;
	auto_close int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	(void)strtoull(text, &end, 10);
	return strtoull(end, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void resident_init(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

void resident_begin(struct resident *resident)
{
	*resident = (struct resident){.cpu_us = cpu_us()};
}

void resident_tick(struct resident *resident)
{
	uint64_t used = cpu_us() - resident->cpu_us;

	resident->cpu_us += used;
	if (used >= BUSY_US || resident_bytes() <= SMALL_BYTES) {
		resident->pause = resident->left = 0;
		return;
	}
	if (resident->left > 1) {
		resident->left--;
		return;
	}
	resident_trim();
	resident->pause = MAX(1, MIN(2 * resident->pause, PAUSE_TICKS_MAX));
	resident->left = resident->pause;
}

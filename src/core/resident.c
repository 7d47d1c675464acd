/* SPDX-License-Identifier: Apache-2.0 */
#include "core/resident.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/attr.h"

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

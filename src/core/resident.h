/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/resident.h - gives back the memory that only starting up needed
 *
 * libcurl alone brings thirty shared libraries, whose constructors and relocation touch 10 MB of
 * code and tables that are never used again. resident_trim() lets go of all unmodified pages of
 * loaded objects and of free heap pages; what is in use comes back from the page cache at once.
 * Call it when a daemon has become idle for the first time. Loop thread only.
 */
#ifndef CORE_RESIDENT_H
#define CORE_RESIDENT_H

void resident_trim(void);

#endif /* CORE_RESIDENT_H */

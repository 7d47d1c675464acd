/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/utc.h - points in time as Kubernetes writes them (RFC 3339 5.6), to the second
 */
#ifndef CORE_UTC_H
#define CORE_UTC_H

#include <time.h>

#include "core/attr.h"

#define UTC_TEXT_BYTES 32

/* "2026-01-31T12:00:00Z". Returns out. */
const char *utc_format(time_t when, char out[static UTC_TEXT_BYTES]);
/* With Z or an offset of hours and minutes; a fraction of a second is left out. 0 or -EINVAL. */
NODISCARD int utc_parse(const char *text, time_t *ret_when);

#endif /* CORE_UTC_H */

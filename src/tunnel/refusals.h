/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/refusals.h - whose refusal is worth a line in the log
 *
 * One line for each source in REFUSALS_MS, of at most REFUSALS_SOURCES sources at a time: who comes
 * from many addresses cannot fill the log either. What was left out is counted.
 */
#ifndef TUNNEL_REFUSALS_H
#define TUNNEL_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "net/addr.h"

#define REFUSALS_MS      60000
#define REFUSALS_SOURCES 64

struct refusals {
	struct {
		struct ip_addr source;
		uint64_t logged_ms;
		bool used;
	} slots[REFUSALS_SOURCES];
	uint64_t untold; /* since the last one that was told */
};

/* Whether to log this one; *ret_untold: how many were not before it. */
NODISCARD bool refusals_tell(struct refusals *refusals, const struct ip_addr *source,
	uint64_t now_ms, uint64_t *ret_untold);

#endif /* TUNNEL_REFUSALS_H */

/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/refusals.h"

bool refusals_tell(struct refusals *refusals, const struct ip_addr *source, uint64_t now_ms,
	uint64_t *ret_untold)
{
	size_t free_slot = REFUSALS_SOURCES;

	for (size_t i = 0; i < REFUSALS_SOURCES; i++) {
		bool fresh = refusals->slots[i].used &&
			     now_ms - refusals->slots[i].logged_ms < REFUSALS_MS;

		if (fresh && ip_addr_equal(&refusals->slots[i].source, source)) {
			refusals->untold++;
			return false;
		}
		if (!fresh)
			free_slot = i;
	}
	if (free_slot == REFUSALS_SOURCES) {
		refusals->untold++;
		return false;
	}
	refusals->slots[free_slot].source = *source;
	refusals->slots[free_slot].logged_ms = now_ms;
	refusals->slots[free_slot].used = true;
	*ret_untold = refusals->untold;
	refusals->untold = 0;
	return true;
}

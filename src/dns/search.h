/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/search.h - asks the cluster for a name; a single label, "_http._tcp." and one, or a headless
 * Service's pod in one namespace after the other
 *
 * Lifecycle: embedded in whoever waits, all zero -> dns_search_start() -> on_done, or
 * dns_search_cancel(). A namespace that does not know the label leads to the next one; one that
 * could not be asked ends the search, since the name may be there.
 */
#ifndef DNS_SEARCH_H
#define DNS_SEARCH_H

#include <stdint.h>

#include "core/attr.h"
#include "dns/lookup.h"
#include "dns/names.h"

struct dns_search {
	struct dns_waiter waiter;
	struct dns_lookups *lookups; /* borrowed */
	const struct dns_names *names; /* borrowed */
	char label[DNS_NAME_BYTES]; /* what is searched for; "": asked once */
	size_t next; /* of dns_names_further() */
	uint16_t type;
	dns_lookup_fn on_done;
	void *user;
};

/* judgement: of a name that the cluster is asked for; search->type is set. Returns, and calls
 * on_done, as dns_lookup(). */
NODISCARD int dns_search_start(struct dns_search *search, struct dns_lookups *lookups,
	const struct dns_names *names, const struct dns_judgement *judgement, dns_lookup_fn on_done,
	void *user);
void dns_search_cancel(struct dns_search *search);

#endif /* DNS_SEARCH_H */

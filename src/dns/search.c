/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/search.h"

#include <string.h>

static void on_looked_up(
	void *user, const uint8_t *msg, size_t len, const struct dns_answer_facts *facts)
{
	struct dns_search *search = user;
	char full[DNS_NAME_BYTES];

	if (!facts || facts->rcode != DNS_NXDOMAIN || !search->label[0] ||
		!dns_names_further(search->names, search->label, search->next++, full)) {
		search->on_done(search->user, msg, len, facts);
		return;
	}
	/* From the cache the end comes from within, and the search may be gone by now. */
	if (dns_lookup(search->lookups, full, search->type, &search->waiter) < 0)
		search->on_done(search->user, NULL, 0, NULL);
}

int dns_search_start(struct dns_search *search, struct dns_lookups *lookups,
	const struct dns_names *names, const struct dns_judgement *judgement, dns_lookup_fn on_done,
	void *user)
{
	size_t len = judgement->searched;

	search->waiter.on_done = on_looked_up;
	search->waiter.user = search;
	search->on_done = on_done;
	search->user = user;
	search->lookups = lookups;
	search->names = names;
	search->next = 0;
	memcpy(search->label, judgement->full, len);
	search->label[len] = '\0';
	return dns_lookup(lookups, judgement->full, search->type, &search->waiter);
}

void dns_search_cancel(struct dns_search *search)
{
	dns_lookup_cancel(&search->waiter);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/text.h"

#include <ldns/ldns.h>
#include <string.h>
#include <sys/random.h>

#include "core/limits.h"
#include "dns/message.h"

uint16_t dns_type_parse(const char *text)
{
	/* ldns takes what it does not know for a type "0". */
	return (uint16_t)ldns_get_rr_type_by_name(text);
}

uint8_t *dns_query_new(const char *name, uint16_t type, size_t *ret_len)
{
	uint8_t *msg = dns_cluster_query(name, type, ret_len);

	if (msg && getrandom(msg, sizeof(uint16_t), 0) != sizeof(uint16_t))
		memset(msg, 0, sizeof(uint16_t));
	return msg;
}

static const char *rcode_name(unsigned int rcode)
{
	static const char *const names[] = {
		"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};

	return rcode < ARRAY_SIZE(names) ? names[rcode] : "another error";
}

const char *dns_answer_read(const uint8_t *msg, size_t len,
	void (*on_record)(void *user, const char *record), void *user)
{
	ldns_pkt *pkt = NULL;
	const ldns_rr_list *records;
	const char *rcode;

	if (len > LIMIT_DNS_MESSAGE_BYTES || ldns_wire2pkt(&pkt, msg, len) != LDNS_STATUS_OK)
		return NULL;
	records = ldns_pkt_answer(pkt);
	for (size_t i = 0; i < ldns_rr_list_rr_count(records); i++) {
		char *text = ldns_rr2str(ldns_rr_list_rr(records, i));

		if (text) {
			text[strcspn(text, "\n")] = '\0';
			for (char *tab = text; (tab = strchr(tab, '\t'));)
				*tab = ' ';
			on_record(user, text);
		}
		LDNS_FREE(text);
	}
	rcode = rcode_name(ldns_pkt_get_rcode(pkt));
	ldns_pkt_free(pkt);
	return rcode;
}

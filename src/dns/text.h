/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/text.h - types and answers as people write and read them
 */
#ifndef DNS_TEXT_H
#define DNS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "core/attr.h"

/* "a", "AAAA", "TYPE65"; 0: there is no such type. */
NODISCARD uint16_t dns_type_parse(const char *text);
/* A query with a random id and EDNS. NULL: not a name. The caller frees. */
NODISCARD uint8_t *dns_query_new(const char *name, uint16_t type, size_t *ret_len);
/* Calls on_record for each of the answer's records. The rcode's name ("NOERROR"), or NULL if this
 * is no message. */
NODISCARD const char *dns_answer_read(const uint8_t *msg, size_t len,
	void (*on_record)(void *user, const char *record), void *user);

#endif /* DNS_TEXT_H */

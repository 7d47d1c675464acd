/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/message.h - reading, making and rewriting wire-format messages
 *
 * Everything here takes bytes from outside. Messages that are returned are malloc'ed and the
 * caller's.
 */
#ifndef DNS_MESSAGE_H
#define DNS_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "dns/names.h"

#define DNS_HEADER_BYTES 12
/* RFC 1035 4.2.1: what a client takes that did not say. */
#define DNS_UDP_BYTES 512
/* RFC 6891 6.2.5 and the 2020 flag day: crosses any path unfragmented. */
#define DNS_EDNS_BYTES 1232
#define DNS_TYPE_A     1
#define DNS_TYPE_CNAME 5
#define DNS_TYPE_PTR   12
#define DNS_TYPE_AAAA  28
/* What programs and caches of the laptop (systemd-resolved) may keep of the cluster's: a Service
 * made anew is seen after a second. The resolver in front of them knows sooner. */
#define DNS_CLUSTER_TTL_S 1

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
};

struct dns_question {
	char name[DNS_NAME_BYTES]; /* lower case, no final dot; "" is the root */
	bool plain; /* a query of class IN whose name is only letters, digits, '-' and '_' */
	uint16_t type, class;
	size_t end; /* where the message goes on behind it */
};

struct dns_answer_facts {
	enum dns_rcode rcode;
	uint32_t ttl_s; /* least of its records; of the SOA when it is negative; 0 without any */
	bool negative; /* NXDOMAIN or no data */
	bool absent; /* NXDOMAIN of the asked name, not of one that it is an alias for */
};

/*
 * The question of a query. -EINVAL: nothing to answer (too short, or itself an answer); -EBADMSG:
 * deserves FORMERR; -EOPNOTSUPP: well-formed as far as looked at, but not a query (RFC 1035 opcode
 * 0).
 */
NODISCARD int dns_question_parse(const uint8_t *msg, size_t len, struct dns_question *ret_question);
/* Whether answer has query's id (or `id`) and question. Servers answer some errors without one. */
NODISCARD bool dns_answer_matches(
	const uint8_t *query, size_t query_len, uint16_t id, const uint8_t *answer, size_t len);
/* Has a header, and it is not an answer's. */
bool dns_is_query(const uint8_t *msg, size_t len);
enum dns_rcode dns_rcode_of(const uint8_t *answer, size_t len); /* of a whole header */
bool dns_is_truncated(const uint8_t *msg, size_t len);
/* Header, question (if it could be read) and rcode. NULL if the query has no header. */
NODISCARD uint8_t *dns_error_reply(
	const uint8_t *query, size_t len, enum dns_rcode rcode, size_t *ret_len);

/* A query with id 0 (RFC 8484 4.1) for name/type of class IN. NULL: not a name. */
NODISCARD uint8_t *dns_cluster_query(const char *name, uint16_t type, size_t *ret_len);
/* Facts of the cluster's answer to `query`; -EBADMSG if it is none. */
NODISCARD int dns_cluster_facts(const uint8_t *query, size_t query_len, const uint8_t *answer,
	size_t len, struct dns_answer_facts *ret_facts);
/*
 * The cluster's answer as the answer to `query`, which asked for the name in another form: id,
 * question and owner names as asked, TTLs capped, OPT only if asked with one. udp: cut to the size
 * that the query allows, TC set. alias: the asked name is one for this one, whose answer it is; or
 * NULL. NULL: the query or the answer cannot be parsed.
 */
NODISCARD uint8_t *dns_cluster_answer(const uint8_t *query, size_t query_len, const char *alias,
	const uint8_t *answer, size_t len, bool udp, size_t *ret_len);
/* From here: the address, if the question's type is its own, or no data. address NULL: the CNAME
 * alias. */
NODISCARD uint8_t *dns_fixed_answer(const uint8_t *query, size_t query_len,
	const struct ip_addr *address, const char *alias, size_t *ret_len);

#endif /* DNS_MESSAGE_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/service_answer.h - A, AAAA and PTR of a Service with a ClusterIP, as CoreDNS answers them
 *
 * For who knows the Services better than CoreDNS, which keeps what it said for 5 s.
 */
#ifndef DNS_SERVICE_ANSWER_H
#define DNS_SERVICE_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "dns/message.h"

/* Of both families today. */
#define DNS_SERVICE_ADDRESSES 4

struct dns_service_question {
	uint16_t type; /* DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_PTR */
	char name[DNS_NAME_BYTES]; /* "NAME.NAMESPACE" in lower case; "": PTR */
	struct ip_addr addr; /* PTR: whose name is asked for */
	size_t end; /* of the question in the message */
	size_t domain_at; /* where the cluster's domain stands in it; not of PTR */
	bool edns, dnssec_ok;
	uint16_t udp_bytes; /* of the query's OPT record */
};

/* True: it asks for A or AAAA of NAME.NAMESPACE.svc.DOMAIN, or for PTR of an address, and nothing
 * in it is out of the common. domain: lower case. */
bool dns_service_question_parse(const uint8_t *msg, size_t len, const char *domain,
	struct dns_service_question *ret_question);
/* The answer to that message (A, AAAA), malloc'ed: the addresses of the family that was asked for,
 * or no data and the domain's SOA. serial: of that. */
NODISCARD uint8_t *dns_service_answer(const uint8_t *msg,
	const struct dns_service_question *question, const struct ip_addr *addrs, size_t count,
	uint32_t serial, size_t *ret_len);
/* The same of PTR: service ("NAME.NAMESPACE") has the address. */
NODISCARD uint8_t *dns_service_pointer(const uint8_t *msg,
	const struct dns_service_question *question, const char *service, const char *domain,
	size_t *ret_len);

#endif /* DNS_SERVICE_ANSWER_H */

/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/message.h"

#include <errno.h>
#include <ldns/ldns.h>
#include <string.h>

#include "core/limits.h"

DEFINE_AUTO(ldns_struct_pkt, ldns_pkt_free);

/* Every message this project takes part in has one question. */
static ldns_pkt *parse(const uint8_t *msg, size_t len)
{
	ldns_pkt *pkt = NULL;

	if (len > LIMIT_DNS_MESSAGE_BYTES || ldns_wire2pkt(&pkt, msg, len) != LDNS_STATUS_OK)
		return NULL;
	if (ldns_rr_list_rr_count(ldns_pkt_question(pkt)) != 1) {
		ldns_pkt_free(pkt);
		return NULL;
	}
	return pkt;
}

static ldns_rr *question_of(const ldns_pkt *pkt)
{
	return ldns_rr_list_rr(ldns_pkt_question(pkt), 0);
}

uint8_t *dns_cluster_query(const char *name, uint16_t type, size_t *ret_len)
{
	AUTO(ldns_struct_pkt) pkt = NULL;
	ldns_rdf *owner = ldns_dname_new_frm_str(name);
	uint8_t *msg = NULL;

	if (!owner)
		return NULL;
	pkt = ldns_pkt_query_new(owner, (ldns_rr_type)type, LDNS_RR_CLASS_IN, LDNS_RD);
	if (!pkt) {
		ldns_rdf_deep_free(owner);
		return NULL;
	}
	ldns_pkt_set_id(pkt, 0);
	ldns_pkt_set_edns_udp_size(pkt, DNS_EDNS_BYTES);
	if (ldns_pkt2wire(&msg, pkt, ret_len) != LDNS_STATUS_OK)
		return NULL;
	return msg;
}

/* The negative TTL (RFC 2308 5). */
static uint32_t soa_ttl(const ldns_rr *rr)
{
	const ldns_rdf *minimum = ldns_rr_rdf(rr, ldns_rr_rd_count(rr) - 1);

	return MIN(ldns_rr_ttl(rr), minimum ? ldns_rdf2native_int32(minimum) : 0);
}

int dns_cluster_facts(const uint8_t *query, size_t query_len, const uint8_t *answer, size_t len,
	struct dns_answer_facts *ret_facts)
{
	struct dns_answer_facts facts = {.ttl_s = UINT32_MAX};
	AUTO(ldns_struct_pkt) pkt = NULL;
	const ldns_rr_list *records;

	if (!dns_answer_matches(query, query_len, 0, answer, len))
		return -EBADMSG;
	pkt = parse(answer, len);
	if (!pkt)
		return -EBADMSG;
	facts.rcode = (enum dns_rcode)ldns_pkt_get_rcode(pkt);
	records = ldns_pkt_answer(pkt);
	facts.negative = facts.rcode == DNS_NXDOMAIN || ldns_rr_list_rr_count(records) == 0;
	facts.absent = facts.rcode == DNS_NXDOMAIN && ldns_rr_list_rr_count(records) == 0;
	for (size_t i = 0; i < ldns_rr_list_rr_count(records); i++)
		facts.ttl_s = MIN(facts.ttl_s, ldns_rr_ttl(ldns_rr_list_rr(records, i)));
	records = ldns_pkt_authority(pkt);
	for (size_t i = 0; facts.negative && i < ldns_rr_list_rr_count(records); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(records, i);

		if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA)
			facts.ttl_s = MIN(facts.ttl_s, soa_ttl(rr));
	}
	if (facts.ttl_s == UINT32_MAX)
		facts.ttl_s = 0;
	*ret_facts = facts;
	return 0;
}

/* Whether the record says something about DNSSEC, which the new names would make a lie. */
static bool is_signature(const ldns_rr *rr)
{
	switch (ldns_rr_get_type(rr)) {
	case LDNS_RR_TYPE_RRSIG:
	case LDNS_RR_TYPE_NSEC:
	case LDNS_RR_TYPE_NSEC3:
		return true;
	default:
		return false;
	}
}

static void cap_ttl(ldns_rr *rr)
{
	ldns_rdf *minimum;

	ldns_rr_set_ttl(rr, MIN(ldns_rr_ttl(rr), DNS_CLUSTER_TTL_S));
	if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_SOA || ldns_rr_rd_count(rr) == 0)
		return;
	minimum = ldns_rr_rdf(rr, ldns_rr_rd_count(rr) - 1);
	if (!minimum || ldns_rdf_size(minimum) != sizeof(uint32_t))
		return;
	if (ldns_rdf2native_int32(minimum) > DNS_CLUSTER_TTL_S)
		ldns_write_uint32(ldns_rdf_data(minimum), DNS_CLUSTER_TTL_S);
}

/* Copies a section; records of `full` become the asked name's. */
static void copy_section(ldns_pkt *reply, ldns_pkt_section section, const ldns_rr_list *records,
	const ldns_rdf *full, const ldns_rdf *asked)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(records); i++) {
		ldns_rr *rr = ldns_rr_list_rr(records, i);

		if (is_signature(rr))
			continue;
		rr = ldns_rr_clone(rr);
		cap_ttl(rr);
		if (section == LDNS_SECTION_ANSWER &&
			ldns_dname_compare(ldns_rr_owner(rr), full) == 0) {
			ldns_rdf_deep_free(ldns_rr_owner(rr));
			ldns_rr_set_owner(rr, ldns_rdf_clone(asked));
		}
		(void)ldns_pkt_push_rr(reply, section, rr);
	}
}

/* The head of the answer to a query; false: EDNS of a later version, which is all there is to say.
 */
static bool start_reply(const ldns_pkt *query, ldns_pkt *reply)
{
	ldns_pkt_set_id(reply, ldns_pkt_id(query));
	ldns_pkt_set_qr(reply, true);
	ldns_pkt_set_rd(reply, ldns_pkt_rd(query));
	ldns_pkt_set_cd(reply, ldns_pkt_cd(query));
	ldns_pkt_set_ra(reply, true);
	(void)ldns_pkt_push_rr(reply, LDNS_SECTION_QUESTION, ldns_rr_clone(question_of(query)));
	if (ldns_pkt_edns(query)) {
		ldns_pkt_set_edns_udp_size(reply, DNS_EDNS_BYTES);
		ldns_pkt_set_edns_do(reply, ldns_pkt_edns_do(query));
	}
	if (ldns_pkt_edns_version(query) == 0)
		return true;
	/* BADVERS (RFC 6891 6.1.3) is 16: the upper eight bits of it go into the OPT. */
	ldns_pkt_set_rcode(reply, 0);
	ldns_pkt_set_edns_extended_rcode(reply, 1);
	return false;
}

/* A record of the asked name; takes rdata. */
static void push_record(ldns_pkt *reply, ldns_rr_type type, const ldns_rdf *owner, ldns_rdf *rdata)
{
	ldns_rr *rr = ldns_rr_new();

	ldns_rr_set_type(rr, type);
	ldns_rr_set_owner(rr, ldns_rdf_clone(owner));
	ldns_rr_set_ttl(rr, DNS_CLUSTER_TTL_S);
	(void)ldns_rr_push_rdf(rr, rdata);
	(void)ldns_pkt_push_rr(reply, LDNS_SECTION_ANSWER, rr);
}

static ldns_pkt *make_reply(const ldns_pkt *query, const ldns_pkt *answer, const char *alias)
{
	const ldns_rdf *asked = ldns_rr_owner(question_of(query));
	const ldns_rdf *full = ldns_rr_owner(question_of(answer));
	ldns_rdf *target = alias ? ldns_dname_new_frm_str(alias) : NULL;
	const ldns_rdf *owner = target ? target : asked;
	ldns_pkt *reply = ldns_pkt_new();

	ldns_pkt_set_aa(reply, ldns_pkt_aa(answer));
	ldns_pkt_set_rcode(reply, (uint8_t)ldns_pkt_get_rcode(answer));
	if (start_reply(query, reply)) {
		if (target)
			push_record(reply, LDNS_RR_TYPE_CNAME, asked, ldns_rdf_clone(target));
		copy_section(reply, LDNS_SECTION_ANSWER, ldns_pkt_answer(answer), full, owner);
		copy_section(
			reply, LDNS_SECTION_AUTHORITY, ldns_pkt_authority(answer), full, owner);
		copy_section(
			reply, LDNS_SECTION_ADDITIONAL, ldns_pkt_additional(answer), full, owner);
	}
	ldns_rdf_deep_free(target);
	return reply;
}

static bool fits(const ldns_pkt *reply, size_t limit)
{
	uint8_t *msg = NULL;
	size_t len = 0;
	bool fit = ldns_pkt2wire(&msg, reply, &len) == LDNS_STATUS_OK && len <= limit;

	LDNS_FREE(msg);
	return fit;
}

static void drop_records(ldns_rr_list *records, size_t keep)
{
	while (ldns_rr_list_rr_count(records) > keep)
		ldns_rr_free(ldns_rr_list_pop_rr(records));
}

/* Additional records may be missing silently; an answer that lost any says so (RFC 2181 9). */
static void cut(ldns_pkt *reply, size_t limit)
{
	ldns_rr_list *answer = ldns_pkt_answer(reply);

	if (fits(reply, limit))
		return;
	drop_records(ldns_pkt_additional(reply), 0);
	ldns_pkt_set_arcount(reply, 0);
	if (fits(reply, limit))
		return;
	ldns_pkt_set_tc(reply, true);
	drop_records(ldns_pkt_authority(reply), 0);
	ldns_pkt_set_nscount(reply, 0);
	/* Some: clients exist that never come back by TCP. Halving keeps it to 16 attempts. */
	while (!fits(reply, limit) && ldns_rr_list_rr_count(answer) > 0) {
		drop_records(answer, ldns_rr_list_rr_count(answer) / 2);
		ldns_pkt_set_ancount(reply, (uint16_t)ldns_rr_list_rr_count(answer));
	}
}

uint8_t *dns_cluster_answer(const uint8_t *query, size_t query_len, const char *alias,
	const uint8_t *answer, size_t len, bool udp, size_t *ret_len)
{
	AUTO(ldns_struct_pkt) asked = parse(query, query_len);
	AUTO(ldns_struct_pkt) got = parse(answer, len);
	AUTO(ldns_struct_pkt) reply = NULL;
	uint8_t *msg = NULL;

	if (!asked || !got)
		return NULL;
	reply = make_reply(asked, got, alias);
	cut(reply,
		udp ? MAX(DNS_UDP_BYTES, ldns_pkt_edns_udp_size(asked)) : LIMIT_DNS_MESSAGE_BYTES);
	if (ldns_pkt2wire(&msg, reply, ret_len) != LDNS_STATUS_OK ||
		*ret_len > LIMIT_DNS_MESSAGE_BYTES) {
		LDNS_FREE(msg);
		return NULL;
	}
	return msg;
}

static void push_fixed(
	ldns_pkt *reply, const ldns_rr *question, const struct ip_addr *address, const char *alias)
{
	ldns_rr_type type = !address                     ? LDNS_RR_TYPE_CNAME
			    : address->family == AF_INET ? LDNS_RR_TYPE_A
							 : LDNS_RR_TYPE_AAAA;
	ldns_rdf *rdata = NULL;

	if (ldns_rr_get_type(question) != type)
		return;
	if (!address)
		rdata = ldns_dname_new_frm_str(alias);
	else if (type == LDNS_RR_TYPE_A)
		rdata = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_A, 4, address->bytes);
	else
		rdata = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_AAAA, 16, address->bytes);
	if (rdata)
		push_record(reply, type, ldns_rr_owner(question), rdata);
}

uint8_t *dns_fixed_answer(const uint8_t *query, size_t query_len, const struct ip_addr *address,
	const char *alias, size_t *ret_len)
{
	AUTO(ldns_struct_pkt) asked = parse(query, query_len);
	AUTO(ldns_struct_pkt) reply = NULL;
	uint8_t *msg = NULL;

	if (!asked)
		return NULL;
	reply = ldns_pkt_new();
	if (start_reply(asked, reply))
		push_fixed(reply, question_of(asked), address, alias);
	if (ldns_pkt2wire(&msg, reply, ret_len) != LDNS_STATUS_OK) {
		LDNS_FREE(msg);
		return NULL;
	}
	return msg;
}

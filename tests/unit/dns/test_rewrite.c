/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <ldns/ldns.h>

#include "dns/message.h"

#define FULL "web.shop.svc.cluster.local."

/* A message in text: question, then records prefixed with the section they go to. */
struct text {
	const char *name;
	ldns_rr_type type;
	ldns_pkt_rcode rcode;
	const char *answer[4], *authority[2], *additional[2];
};

static void push(ldns_pkt *pkt, ldns_pkt_section section, const char *const *records, size_t count)
{
	for (size_t i = 0; i < count && records[i]; i++) {
		ldns_rr *rr = NULL;

		assert_int_equal(
			ldns_rr_new_frm_str(&rr, records[i], 0, NULL, NULL), LDNS_STATUS_OK);
		assert_true(ldns_pkt_push_rr(pkt, section, rr));
	}
}

static size_t to_wire(ldns_pkt *pkt, uint8_t **ret_msg)
{
	size_t len = 0;

	assert_int_equal(ldns_pkt2wire(ret_msg, pkt, &len), LDNS_STATUS_OK);
	ldns_pkt_free(pkt);
	return len;
}

static size_t make_answer(const struct text *text, uint8_t **ret_msg)
{
	ldns_pkt *pkt = ldns_pkt_query_new(ldns_dname_new_frm_str(text->name), text->type,
		LDNS_RR_CLASS_IN, LDNS_QR | LDNS_AA);

	ldns_pkt_set_id(pkt, 0);
	ldns_pkt_set_rcode(pkt, (uint8_t)text->rcode);
	ldns_pkt_set_edns_udp_size(pkt, 1232);
	push(pkt, LDNS_SECTION_ANSWER, text->answer, ARRAY_SIZE(text->answer));
	push(pkt, LDNS_SECTION_AUTHORITY, text->authority, ARRAY_SIZE(text->authority));
	push(pkt, LDNS_SECTION_ADDITIONAL, text->additional, ARRAY_SIZE(text->additional));
	return to_wire(pkt, ret_msg);
}

/* As a client asks: edns 0 is without OPT. */
static size_t make_query(const char *name, ldns_rr_type type, uint16_t edns, uint8_t **ret_msg)
{
	ldns_pkt *pkt =
		ldns_pkt_query_new(ldns_dname_new_frm_str(name), type, LDNS_RR_CLASS_IN, LDNS_RD);

	ldns_pkt_set_id(pkt, 0xbeef);
	ldns_pkt_set_edns_udp_size(pkt, edns);
	return to_wire(pkt, ret_msg);
}

static ldns_pkt *rewrite(const char *asked, uint16_t edns, const struct text *text, bool udp)
{
	auto_free uint8_t *query = NULL, *answer = NULL, *reply = NULL;
	size_t query_len = make_query(asked, text->type, edns, &query);
	size_t answer_len = make_answer(text, &answer), len = 0;
	ldns_pkt *pkt = NULL;

	reply = dns_cluster_answer(query, query_len, NULL, answer, answer_len, udp, &len);
	assert_non_null(reply);
	if (udp)
		assert_true(len <= MAX(edns, DNS_UDP_BYTES));
	assert_int_equal(ldns_wire2pkt(&pkt, reply, len), LDNS_STATUS_OK);
	assert_int_equal(ldns_pkt_id(pkt), 0xbeef);
	assert_true(ldns_pkt_qr(pkt) && ldns_pkt_rd(pkt) && ldns_pkt_ra(pkt) && ldns_pkt_aa(pkt));
	assert_int_equal(ldns_pkt_edns(pkt), edns > 0);
	assert_int_equal(ldns_pkt_qdcount(pkt), 1);
	return pkt;
}

static void assert_record(const ldns_rr_list *records, size_t i, const char *want)
{
	char *got;

	assert_true(i < ldns_rr_list_rr_count(records));
	got = ldns_rr2str(ldns_rr_list_rr(records, i));
	got[strcspn(got, "\n")] = '\0';
	assert_string_equal(got, want);
	free(got);
}

static void restores_the_asked_name(void **state)
{
	const struct text text = {
		.name = FULL,
		.type = LDNS_RR_TYPE_A,
		.answer = {FULL " 30 IN A 10.96.0.10",
			"WEB.shop.svc.cluster.local. 2 IN A 10.96.0.11"},
	};
	ldns_pkt *pkt = rewrite("Web.SHOP.", 0, &text, true);
	char *name = ldns_rdf2str(ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_question(pkt), 0)));

	(void)state;
	assert_string_equal(name, "Web.SHOP.");
	assert_record(ldns_pkt_answer(pkt), 0, "Web.SHOP.\t1\tIN\tA\t10.96.0.10");
	assert_record(ldns_pkt_answer(pkt), 1, "Web.SHOP.\t1\tIN\tA\t10.96.0.11");
	free(name);
	ldns_pkt_free(pkt);
}

static void keeps_an_alias_chain(void **state)
{
	const struct text text = {
		.name = "ext.shop.svc.cluster.local.",
		.type = LDNS_RR_TYPE_A,
		.answer = {"ext.shop.svc.cluster.local. 30 IN CNAME www.example.com.",
			"www.example.com. 3600 IN A 192.0.2.1"},
	};
	ldns_pkt *pkt = rewrite("ext.shop.", 1232, &text, true);

	(void)state;
	assert_record(ldns_pkt_answer(pkt), 0, "ext.shop.\t1\tIN\tCNAME\twww.example.com.");
	assert_record(ldns_pkt_answer(pkt), 1, "www.example.com.\t1\tIN\tA\t192.0.2.1");
	ldns_pkt_free(pkt);
}

static void keeps_service_targets(void **state)
{
	const struct text text = {
		.name = "_http._tcp.web.shop.svc.cluster.local.",
		.type = LDNS_RR_TYPE_SRV,
		.answer = {"_http._tcp.web.shop.svc.cluster.local. 30 IN SRV 0 100 80 " FULL},
		.additional = {FULL " 30 IN AAAA fd00::1"},
	};
	ldns_pkt *pkt = rewrite("_http._tcp.web.shop.", 0, &text, true);

	(void)state;
	assert_record(ldns_pkt_answer(pkt), 0, "_http._tcp.web.shop.\t1\tIN\tSRV\t0 100 80 " FULL);
	assert_record(ldns_pkt_additional(pkt), 0, FULL "\t1\tIN\tAAAA\tfd00::1");
	ldns_pkt_free(pkt);
}

static void caps_a_negative_answer(void **state)
{
	const struct text text = {
		.name = FULL,
		.type = LDNS_RR_TYPE_A,
		.rcode = LDNS_RCODE_NXDOMAIN,
		.authority =
			{"cluster.local. 30 IN SOA ns.dns.cluster.local. h.cluster.local. 1 7200 "
			 "1800 86400 30"},
	};
	ldns_pkt *pkt = rewrite("web.shop.svc.", 0, &text, true);

	(void)state;
	assert_int_equal(ldns_pkt_get_rcode(pkt), LDNS_RCODE_NXDOMAIN);
	assert_record(ldns_pkt_authority(pkt), 0,
		"cluster.local.\t1\tIN\tSOA\tns.dns.cluster.local. h.cluster.local. 1 7200 1800 "
		"86400 1");
	ldns_pkt_free(pkt);
}

/* An answer of 30 addresses: 480 bytes of records and more. */
static size_t many_addresses(uint8_t **ret_msg, unsigned int count)
{
	ldns_pkt *pkt = ldns_pkt_query_new(
		ldns_dname_new_frm_str(FULL), LDNS_RR_TYPE_A, LDNS_RR_CLASS_IN, LDNS_QR);

	ldns_pkt_set_id(pkt, 0);
	for (unsigned int i = 0; i < count; i++) {
		char text[64];
		ldns_rr *rr = NULL;

		(void)snprintf(text, sizeof(text), FULL " 5 IN A 10.0.%u.%u", i / 256, i % 256);
		assert_int_equal(ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL), LDNS_STATUS_OK);
		(void)ldns_pkt_push_rr(pkt, LDNS_SECTION_ANSWER, rr);
	}
	return to_wire(pkt, ret_msg);
}

static void cuts_what_does_not_fit(void **state)
{
	static const struct {
		uint16_t edns;
		bool udp, truncated;
	} cases[] = {
		{0, true, true},
		{256, true, true}, /* RFC 6891 6.2.3: less than 512 is 512 */
		{1232, true, true},
		{4096, true, false},
		{0, false, false},
	};
	auto_free uint8_t *answer = NULL;
	size_t answer_len = many_addresses(&answer, 200);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free uint8_t *query = NULL, *reply = NULL;
		size_t query_len = make_query("web.shop.", LDNS_RR_TYPE_A, cases[i].edns, &query);
		size_t len = 0;

		reply = dns_cluster_answer(
			query, query_len, NULL, answer, answer_len, cases[i].udp, &len);
		assert_non_null(reply);
		assert_int_equal(dns_is_truncated(reply, len), cases[i].truncated);
		if (cases[i].truncated)
			assert_in_range(len, 200, MAX(cases[i].edns, DNS_UDP_BYTES));
		else
			assert_int_equal(reply[7], 200);
	}
}

static void refuses_a_later_edns(void **state)
{
	const struct text text = {
		.name = FULL, .type = LDNS_RR_TYPE_A, .answer = {FULL " 30 IN A 10.96.0.10"}};
	auto_free uint8_t *query = NULL, *answer = NULL, *reply = NULL;
	size_t query_len = make_query("web.shop.", text.type, 1232, &query);
	size_t answer_len = make_answer(&text, &answer), len = 0;
	ldns_pkt *pkt = NULL;

	(void)state;
	query[query_len - 5] = 1; /* the OPT's version */
	reply = dns_cluster_answer(query, query_len, NULL, answer, answer_len, true, &len);
	assert_non_null(reply);
	assert_int_equal(ldns_wire2pkt(&pkt, reply, len), LDNS_STATUS_OK);
	assert_int_equal(ldns_pkt_edns_extended_rcode(pkt), 1);
	assert_int_equal(ldns_pkt_ancount(pkt), 0);
	ldns_pkt_free(pkt);
}

static void knows_the_facts(void **state)
{
	static const struct {
		struct text text;
		struct dns_answer_facts facts;
	} cases[] = {
		{{.name = FULL,
			 .type = LDNS_RR_TYPE_A,
			 .answer = {FULL " 30 IN A 10.0.0.1", FULL " 7 IN A 10.0.0.2"}},
			{DNS_NOERROR, 7, false, false}},
		{{.name = FULL, .type = LDNS_RR_TYPE_A}, {DNS_NOERROR, 0, true, false}},
		{{.name = FULL,
			 .type = LDNS_RR_TYPE_A,
			 .authority = {"cluster.local. 30 IN SOA a. b. 1 2 3 4 9"}},
			{DNS_NOERROR, 9, true, false}},
		{{.name = FULL,
			 .type = LDNS_RR_TYPE_A,
			 .rcode = LDNS_RCODE_NXDOMAIN,
			 .authority = {"cluster.local. 3 IN SOA a. b. 1 2 3 4 9"}},
			{DNS_NXDOMAIN, 3, true, true}},
		/* The name is there; what it is an alias for is not. */
		{{.name = FULL,
			 .type = LDNS_RR_TYPE_A,
			 .rcode = LDNS_RCODE_NXDOMAIN,
			 .answer = {FULL " 5 IN CNAME nobody.example."}},
			{DNS_NXDOMAIN, 5, true, false}},
		{{.name = FULL, .type = LDNS_RR_TYPE_A, .rcode = LDNS_RCODE_SERVFAIL},
			{DNS_SERVFAIL, 0, true, false}},
	};
	auto_free uint8_t *query = NULL;
	size_t query_len = 0;

	(void)state;
	query = dns_cluster_query("web.shop.svc.cluster.local", 1, &query_len);
	assert_non_null(query);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dns_answer_facts facts;
		auto_free uint8_t *answer = NULL;
		size_t len = make_answer(&cases[i].text, &answer);

		assert_int_equal(dns_cluster_facts(query, query_len, answer, len, &facts), 0);
		assert_int_equal(facts.rcode, cases[i].facts.rcode);
		assert_int_equal(facts.ttl_s, cases[i].facts.ttl_s);
		assert_int_equal(facts.negative, cases[i].facts.negative);
		assert_int_equal(facts.absent, cases[i].facts.absent);
		/* Of another question, or cut anywhere: no answer, and no crash. */
		answer[13] = 'x';
		assert_int_equal(
			dns_cluster_facts(query, query_len, answer, len, &facts), -EBADMSG);
		answer[13] = 'w';
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(
				dns_cluster_facts(query, query_len, answer, cut, &facts), -EBADMSG);
	}
	assert_null(dns_cluster_query("a..b", 1, &query_len));
}

/* A mapping: the asked name is an alias, and what it stands for has the answer. */
static void alias_comes_first(void **state)
{
	static const struct text text = {.type = LDNS_RR_TYPE_A,
		.name = "db.shop.svc.cluster.local",
		.answer = {"db.shop.svc.cluster.local. 30 IN A 10.96.0.7"}};
	auto_free uint8_t *query = NULL, *answer = NULL, *reply = NULL;
	size_t query_len = make_query("DB.corp", LDNS_RR_TYPE_A, 0, &query), len = 0;
	size_t answer_len = make_answer(&text, &answer);
	ldns_pkt *pkt = NULL;

	(void)state;
	reply = dns_cluster_answer(query, query_len, "db.shop", answer, answer_len, true, &len);
	assert_non_null(reply);
	assert_int_equal(ldns_wire2pkt(&pkt, reply, len), LDNS_STATUS_OK);
	assert_record(ldns_pkt_answer(pkt), 0, "DB.corp.\t1\tIN\tCNAME\tdb.shop.");
	assert_record(ldns_pkt_answer(pkt), 1, "db.shop.\t1\tIN\tA\t10.96.0.7");
	ldns_pkt_free(pkt);
}

static void assert_fixed(
	ldns_rr_type type, const char *address, const char *alias, const char *want)
{
	auto_free uint8_t *query = NULL, *reply = NULL;
	size_t query_len = make_query("x.corp", type, 1232, &query), len = 0;
	struct ip_addr addr;
	ldns_pkt *pkt = NULL;

	if (address)
		assert_int_equal(ip_addr_parse(address, &addr), 0);
	reply = dns_fixed_answer(query, query_len, address ? &addr : NULL, alias, &len);
	assert_non_null(reply);
	assert_int_equal(ldns_wire2pkt(&pkt, reply, len), LDNS_STATUS_OK);
	assert_int_equal(ldns_pkt_get_rcode(pkt), 0);
	assert_true(ldns_pkt_edns(pkt));
	if (want)
		assert_record(ldns_pkt_answer(pkt), 0, want);
	else
		assert_int_equal(ldns_pkt_ancount(pkt), 0);
	ldns_pkt_free(pkt);
}

static void fixed_answers(void **state)
{
	size_t len;

	(void)state;
	assert_fixed(LDNS_RR_TYPE_A, "192.0.2.7", NULL, "x.corp.\t1\tIN\tA\t192.0.2.7");
	assert_fixed(LDNS_RR_TYPE_AAAA, "192.0.2.7", NULL, NULL);
	assert_fixed(LDNS_RR_TYPE_AAAA, "fd00::7", NULL, "x.corp.\t1\tIN\tAAAA\tfd00::7");
	assert_fixed(LDNS_RR_TYPE_TXT, "fd00::7", NULL, NULL);
	assert_fixed(LDNS_RR_TYPE_CNAME, NULL, "web.shop", "x.corp.\t1\tIN\tCNAME\tweb.shop.");
	assert_null(dns_fixed_answer((const uint8_t *)"short", 5, NULL, "a", &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(restores_the_asked_name),
		cmocka_unit_test(keeps_an_alias_chain),
		cmocka_unit_test(keeps_service_targets),
		cmocka_unit_test(caps_a_negative_answer),
		cmocka_unit_test(cuts_what_does_not_fit),
		cmocka_unit_test(refuses_a_later_edns),
		cmocka_unit_test(knows_the_facts),
		cmocka_unit_test(alias_comes_first),
		cmocka_unit_test(fixed_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

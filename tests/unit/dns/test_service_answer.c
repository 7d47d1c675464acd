/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ldns/ldns.h>

#include "core/alloc.h"
#include "dns/service_answer.h"

#define DOMAIN "cluster.local"

static size_t make_query(const char *name, uint16_t type, uint16_t edns, uint8_t **ret_msg)
{
	ldns_pkt *pkt = ldns_pkt_query_new(
		ldns_dname_new_frm_str(name), (ldns_rr_type)type, LDNS_RR_CLASS_IN, LDNS_RD);
	size_t len = 0;

	ldns_pkt_set_id(pkt, 0x1234);
	if (edns)
		ldns_pkt_set_edns_udp_size(pkt, edns);
	assert_int_equal(ldns_pkt2wire(ret_msg, pkt, &len), LDNS_STATUS_OK);
	ldns_pkt_free(pkt);
	return len;
}

static void knows_what_is_asked(void **state)
{
	static const struct {
		const char *query;
		uint16_t type;
		const char *name; /* NULL: not a Service's address */
	} cases[] = {
		{"web.shop.svc.cluster.local.", 1, "web.shop"},
		{"Web.SHOP.svc.Cluster.Local.", 28, "web.shop"},
		{"web.shop.svc.cluster.local.", 16, NULL},
		{"web.shop.svc.cluster.local.", 255, NULL},
		{"db-0.web.shop.svc.cluster.local.", 1, NULL},
		{"shop.svc.cluster.local.", 1, NULL},
		{"svc.cluster.local.", 1, NULL},
		{"web.shop.pod.cluster.local.", 1, NULL},
		{"web.shop.svc.cluster.localx.", 1, NULL},
		{"web.shop.svc.cluster.", 1, NULL},
		{"web.", 1, NULL},
		{".", 1, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dns_service_question question;
		auto_free uint8_t *msg = NULL;
		size_t len = make_query(cases[i].query, cases[i].type, 1232, &msg);
		bool found = dns_service_question_parse(msg, len, DOMAIN, &question);

		assert_int_equal(found, cases[i].name != NULL);
		if (found)
			assert_string_equal(question.name, cases[i].name);
	}
}

static void knows_whose_name_is_asked(void **state)
{
	static const struct {
		const char *query;
		uint16_t type;
		const char *addr; /* NULL: of no address */
	} cases[] = {
		{"7.0.96.10.in-addr.arpa.", 12, "10.96.0.7"},
		{"7.0.96.10.IN-ADDR.ARPA.", 12, "10.96.0.7"},
		{"7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.f.ip6.arpa.", 12,
			"fd00::7"},
		{"7.0.96.10.in-addr.arpa.", 1, NULL},
		{"0.96.10.in-addr.arpa.", 12, NULL},
		{"web.shop.svc.cluster.local.", 12, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dns_service_question question;
		char text[ADDR_TEXT_BYTES];
		auto_free uint8_t *msg = NULL;
		size_t len = make_query(cases[i].query, cases[i].type, 1232, &msg);
		bool found = dns_service_question_parse(msg, len, DOMAIN, &question);

		assert_int_equal(found, cases[i].addr != NULL);
		if (found)
			assert_string_equal(ip_addr_format(&question.addr, text), cases[i].addr);
	}
}

/* What is out of the common is CoreDNS's. */
static void leaves_what_is_odd(void **state)
{
	struct dns_service_question question;
	auto_free uint8_t *msg = NULL;
	size_t len = make_query("web.shop.svc.cluster.local.", 1, 1232, &msg);
	uint8_t longer[128];

	(void)state;
	memcpy(longer, msg, len);
	longer[len] = 0;
	assert_false(dns_service_question_parse(longer, len + 1, DOMAIN, &question));
	for (size_t cut = 0; cut < len; cut++)
		assert_false(dns_service_question_parse(msg, cut, DOMAIN, &question));
	memcpy(longer, msg, len);
	longer[len - 6] = 0; /* the extended RCODE */
	longer[len - 5] = 1; /* EDNS version 1 */
	assert_false(dns_service_question_parse(longer, len, DOMAIN, &question));
	memcpy(longer, msg, len);
	longer[7] = 1; /* an answer in a query */
	assert_false(dns_service_question_parse(longer, len, DOMAIN, &question));
	memcpy(longer, msg, len);
	longer[11] = 2;
	assert_false(dns_service_question_parse(longer, len, DOMAIN, &question));
}

/* The answer as ldns prints it, without the lines that are comments. */
static char *answer_text(const char *name, uint16_t type, uint16_t edns, const char *const *ips)
{
	struct dns_service_question question;
	struct ip_addr addrs[2];
	size_t count = 0, len, answer_len = 0;
	uint8_t *msg = NULL, *answer;
	ldns_pkt *pkt = NULL;
	char *text;

	for (; ips[count]; count++)
		assert_int_equal(ip_addr_parse(ips[count], &addrs[count]), 0);
	len = make_query(name, type, edns, &msg);
	assert_true(dns_service_question_parse(msg, len, DOMAIN, &question));
	answer = dns_service_answer(msg, &question, addrs, count, 7, &answer_len);
	assert_int_equal(ldns_wire2pkt(&pkt, answer, answer_len), LDNS_STATUS_OK);
	assert_int_equal(ldns_pkt_id(pkt), 0x1234);
	assert_true(ldns_pkt_qr(pkt) && ldns_pkt_aa(pkt) && ldns_pkt_rd(pkt));
	assert_int_equal(ldns_pkt_get_rcode(pkt), LDNS_RCODE_NOERROR);
	assert_int_equal(ldns_pkt_edns_udp_size(pkt), edns);
	text = ldns_rr_list2str(
		type && ldns_pkt_ancount(pkt) ? ldns_pkt_answer(pkt) : ldns_pkt_authority(pkt));
	ldns_pkt_free(pkt);
	free(answer);
	free(msg);
	return text;
}

static void answers_as_coredns(void **state)
{
	static const char soa[] = "cluster.local.\t5\tIN\tSOA\tns.dns.cluster.local. "
				  "hostmaster.cluster.local. 7 7200 1800 86400 5\n";
	static const struct {
		uint16_t type, edns;
		const char *ips[3];
		const char *text;
	} cases[] = {
		{1, 1232, {"10.0.0.7"}, "web.shop.svc.cluster.local.\t5\tIN\tA\t10.0.0.7\n"},
		{1, 0, {"fd00::7", "10.0.0.7"},
			"web.shop.svc.cluster.local.\t5\tIN\tA\t10.0.0.7\n"},
		{28, 512, {"10.0.0.7", "fd00::7"},
			"web.shop.svc.cluster.local.\t5\tIN\tAAAA\tfd00::7\n"},
		{28, 1232, {"10.0.0.7"}, soa},
		{1, 0, {"fd00::7"}, soa},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text = answer_text(
			"web.shop.svc.cluster.local.", cases[i].type, cases[i].edns, cases[i].ips);

		assert_string_equal(text, cases[i].text);
	}
}

static void answers_with_a_name(void **state)
{
	static const char query[] = "7.0.96.10.in-addr.arpa.";

	(void)state;
	for (uint16_t edns = 0; edns <= 1232; edns = (uint16_t)(edns + 1232)) {
		struct dns_service_question question;
		auto_free uint8_t *msg = NULL, *answer = NULL;
		auto_free char *text = NULL;
		size_t len = make_query(query, 12, edns, &msg), answer_len = 0;
		ldns_pkt *pkt = NULL;

		assert_true(dns_service_question_parse(msg, len, DOMAIN, &question));
		answer = dns_service_pointer(msg, &question, "web.shop", DOMAIN, &answer_len);
		assert_int_equal(ldns_wire2pkt(&pkt, answer, answer_len), LDNS_STATUS_OK);
		assert_true(ldns_pkt_qr(pkt) && ldns_pkt_aa(pkt));
		assert_int_equal(ldns_pkt_id(pkt), 0x1234);
		assert_int_equal(ldns_pkt_edns_udp_size(pkt), edns);
		text = ldns_rr_list2str(ldns_pkt_answer(pkt));
		assert_string_equal(
			text, "7.0.96.10.in-addr.arpa.\t5\tIN\tPTR\tweb.shop.svc.cluster.local.\n");
		ldns_pkt_free(pkt);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_what_is_asked),
		cmocka_unit_test(knows_whose_name_is_asked),
		cmocka_unit_test(leaves_what_is_odd),
		cmocka_unit_test(answers_as_coredns),
		cmocka_unit_test(answers_with_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

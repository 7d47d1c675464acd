/* fuzz: dns */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/fuzz/dns_message.c - a client's query and a nameserver's answer, both hostile
 *
 * Input: the length of the query (two bytes), the query, the answer.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "dns/message.h"
#include "dns/names.h"
#include "dns/service_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const char *name)
{
	static const char *const namespaces[] = {"shop", "default"};
	struct dns_names *names = dns_names_new("cluster.local", "default");
	char private[] = "private", corp[] = "a.private", host[] = "printer", mapped[] = "db.corp",
	     alias[] = "db.shop";
	char *include[] = {corp, NULL}, *exclude[] = {private, NULL}, *excludes[] = {host, NULL},
	     *mappings[] = {mapped, alias, NULL};
	const struct dns_settings settings = {include, exclude, excludes, mappings, 0};
	struct dns_judgement judgement;
	enum dns_verdict verdict;

	dns_names_set_cluster(names, "cluster.local", namespaces, ARRAY_SIZE(namespaces));
	dns_names_set_settings(names, &settings);
	verdict = dns_names_judge(names, name, &judgement);
	assert(dns_rule_name(judgement.rule));
	if (verdict == DNS_CLUSTER || verdict == DNS_CLUSTER_FIRST) {
		size_t len = 0;
		/* Labels that the query's own length allowed may be too long in text form only. */
		auto_free uint8_t *msg = dns_cluster_query(judgement.full, 1, &len);

		assert(msg);
	}
	dns_names_free(names);
}

static void rewrite(const uint8_t *query, size_t query_len, const char *alias,
	const uint8_t *answer, size_t len, bool udp)
{
	size_t reply_len = 0;
	auto_free uint8_t *reply =
		dns_cluster_answer(query, query_len, alias, answer, len, udp, &reply_len);

	if (!reply)
		return;
	assert(reply_len >= DNS_HEADER_BYTES && reply_len <= UINT16_MAX);
	assert(reply[0] == query[0] && reply[1] == query[1]);
}

static void fix(const uint8_t *query, size_t query_len)
{
	struct ip_addr address = {.family = AF_INET6};
	size_t len = 0;
	uint8_t *reply = dns_fixed_answer(query, query_len, &address, NULL, &len);

	assert(!reply || len <= DNS_UDP_BYTES);
	free(reply);
	reply = dns_fixed_answer(query, query_len, NULL, "web.shop", &len);
	free(reply);
}

static void answer_service(const uint8_t *query, size_t query_len)
{
	const struct ip_addr addrs[] = {{.family = AF_INET}, {.family = AF_INET6}};
	struct dns_service_question question;
	struct dns_answer_facts facts;
	size_t len = 0;
	uint8_t *reply;

	if (!dns_service_question_parse(query, query_len, "cluster.local", &question))
		return;
	if (question.type == DNS_TYPE_PTR) {
		reply = dns_service_pointer(query, &question, "web.shop", "cluster.local", &len);
		if (query[0] == 0 && query[1] == 0)
			assert(dns_cluster_facts(query, query_len, reply, len, &facts) == 0);
		free(reply);
		return;
	}
	for (size_t count = 0; count <= ARRAY_SIZE(addrs); count++) {
		reply = dns_service_answer(query, &question, addrs, count, 1, &len);
		/* Answers to queries of the tunnel, whose id is 0, are read again at its other end.
		 */
		if (query[0] == 0 && query[1] == 0)
			assert(dns_cluster_facts(query, query_len, reply, len, &facts) == 0);
		free(reply);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_answer_facts facts;
	struct dns_question question;
	const uint8_t *query, *answer;
	size_t query_len, len, reply_len = 0;
	uint8_t *reply;

	if (size < 2)
		return 0;
	query = data + 2;
	query_len = MIN((size_t)(data[0] << 8 | data[1]), size - 2);
	answer = query + query_len;
	len = size - 2 - query_len;

	if (dns_question_parse(query, query_len, &question) == 0 && question.plain)
		judge(question.name);
	reply = dns_error_reply(query, query_len, DNS_FORMERR, &reply_len);
	assert(!reply || reply_len <= query_len);
	free(reply);
	if (query_len < DNS_HEADER_BYTES)
		return 0;
	if (dns_cluster_facts(query, query_len, answer, len, &facts) < 0)
		facts.ttl_s = 0;
	rewrite(query, query_len, NULL, answer, len, true);
	rewrite(query, query_len, "web.shop", answer, len, false);
	fix(query, query_len);
	answer_service(query, query_len);
	return 0;
}

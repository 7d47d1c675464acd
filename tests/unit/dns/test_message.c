/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/wire.h"
#include "dns/message.h"

/* A query for "a.Bc." type A, id 0x1234, RD. */
static const uint8_t query[] = {
	0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 2, 'B', 'c', 0, 0, 1, 0, 1};

#define NAME_END 18

static void reads_a_question(void **state)
{
	struct dns_question question;

	(void)state;
	assert_int_equal(dns_question_parse(query, sizeof(query), &question), 0);
	assert_string_equal(question.name, "a.bc");
	assert_true(question.plain);
	assert_int_equal(question.type, 1);
	assert_int_equal(question.class, 1);
	assert_int_equal(question.end, sizeof(query));
}

/* One byte of the query changed; what becomes of it. */
static void judges_a_question(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		int r;
		bool plain;
	} cases[] = {
		{2, 0x81, -EINVAL, false}, /* an answer */
		{2, 0x21, -EOPNOTSUPP, false}, /* NOTIFY */
		{5, 0, -EBADMSG, false}, /* no question */
		{5, 2, -EBADMSG, false}, {4, 1, -EBADMSG, false}, /* 257 of them */
		{12, 64, -EBADMSG, false}, /* no such label */
		{12, 0xc0, -EBADMSG, false}, /* a pointer */
		{14, 60, -EBADMSG, false}, /* beyond the end */
		{13, 0, 0, false}, {13, '.', 0, false}, /* within a label */
		{13, '-', 0, true}, {13, '_', 0, true}, {21, 3, 0, false}, /* CHAOS */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct dns_question question = {.plain = false};
		uint8_t msg[sizeof(query)];

		memcpy(msg, query, sizeof(query));
		msg[cases[i].at] = cases[i].value;
		assert_int_equal(dns_question_parse(msg, sizeof(msg), &question), cases[i].r);
		assert_int_equal(question.plain, cases[i].plain);
	}
	for (size_t len = 0; len < sizeof(query); len++) {
		struct dns_question question;

		assert_int_equal(dns_question_parse(query, len, &question),
			len < DNS_HEADER_BYTES ? -EINVAL : -EBADMSG);
	}
}

/* A query whose name has `labels` labels of `len` bytes. */
static size_t long_query(uint8_t *msg, size_t bytes, unsigned int labels, uint8_t len)
{
	struct wire wire = wire_writer(msg, bytes);

	wire_put(&wire, query, DNS_HEADER_BYTES);
	for (unsigned int i = 0; i < labels; i++) {
		wire_put_u8(&wire, len);
		for (uint8_t j = 0; j < len; j++)
			wire_put_u8(&wire, 'a');
	}
	wire_put(&wire, query + NAME_END - 1, sizeof(query) - NAME_END + 1);
	assert_true(wire_ok(&wire));
	return wire.pos;
}

static void bounds_the_name(void **state)
{
	struct dns_question question;
	uint8_t msg[400];

	(void)state;
	/* 126 labels of one byte: 253 characters wants 127; 128 are more than there may be. */
	assert_int_equal(
		dns_question_parse(msg, long_query(msg, sizeof(msg), 126, 1), &question), 0);
	assert_int_equal(strlen(question.name), 251);
	assert_int_equal(
		dns_question_parse(msg, long_query(msg, sizeof(msg), 127, 1), &question), 0);
	assert_int_equal(strlen(question.name), DNS_NAME_BYTES - 1);
	assert_int_equal(
		dns_question_parse(msg, long_query(msg, sizeof(msg), 128, 1), &question), -EBADMSG);
	assert_int_equal(
		dns_question_parse(msg, long_query(msg, sizeof(msg), 4, 63), &question), -EBADMSG);
}

static void matches_answers(void **state)
{
	uint8_t answer[sizeof(query) + 4] = {0};

	(void)state;
	memcpy(answer, query, sizeof(query));
	assert_false(dns_answer_matches(query, sizeof(query), 0x1234, answer, sizeof(answer)));
	answer[2] |= 0x80;
	assert_true(dns_answer_matches(query, sizeof(query), 0x1234, answer, sizeof(answer)));
	assert_false(dns_answer_matches(query, sizeof(query), 0x1235, answer, sizeof(answer)));
	assert_false(dns_answer_matches(query, sizeof(query), 0x1234, answer, sizeof(query) - 1));
	answer[15] = 'b'; /* a server that folds case */
	assert_true(dns_answer_matches(query, sizeof(query), 0x1234, answer, sizeof(answer)));
	answer[15] = 'x';
	assert_false(dns_answer_matches(query, sizeof(query), 0x1234, answer, sizeof(answer)));
	answer[15] = 'B';
	answer[19] = 28; /* another type */
	assert_false(dns_answer_matches(query, sizeof(query), 0x1234, answer, sizeof(answer)));
	/* Only an error may come without the question. */
	answer[5] = 0;
	assert_false(dns_answer_matches(query, sizeof(query), 0x1234, answer, DNS_HEADER_BYTES));
	answer[3] = DNS_SERVFAIL;
	assert_true(dns_answer_matches(query, sizeof(query), 0x1234, answer, DNS_HEADER_BYTES));
}

static void makes_error_replies(void **state)
{
	size_t len = 0;
	/* NSID and a cookie. */
	static const uint8_t opt[] = {0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 16, 0, 3, 0, 0, 0, 10, 0,
		8, 1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t edns[sizeof(query) + sizeof(opt)];
	uint8_t *reply = dns_error_reply(query, sizeof(query), DNS_NXDOMAIN, &len);

	(void)state;
	assert_non_null(reply);
	assert_int_equal(len, sizeof(query));
	assert_memory_equal(reply,
		((const uint8_t[]){0x12, 0x34, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0}),
		DNS_HEADER_BYTES);
	assert_memory_equal(reply + DNS_HEADER_BYTES, query + DNS_HEADER_BYTES,
		sizeof(query) - DNS_HEADER_BYTES);
	free(reply);

	/* Who speaks EDNS hears it (RFC 6891 7), with the DO bit, and whatever options it had. */
	memcpy(edns, query, sizeof(query));
	edns[11] = 1;
	memcpy(edns + sizeof(query), opt, sizeof(opt));
	reply = dns_error_reply(edns, sizeof(edns), DNS_NXDOMAIN, &len);
	assert_int_equal(len, sizeof(query) + 11);
	assert_int_equal(reply[11], 1);
	assert_memory_equal(reply + sizeof(query),
		((const uint8_t[]){
			0, 0, 41, DNS_EDNS_BYTES >> 8, DNS_EDNS_BYTES & 0xff, 0, 0, 0x80, 0, 0, 0}),
		11);
	free(reply);
	/* Cut off, it is none. */
	reply = dns_error_reply(edns, sizeof(query) + 10, DNS_NXDOMAIN, &len);
	assert_int_equal(len, sizeof(query));
	assert_int_equal(reply[11], 0);
	free(reply);

	reply = dns_error_reply(query, sizeof(query) - 1, DNS_FORMERR, &len);
	assert_non_null(reply);
	assert_int_equal(len, DNS_HEADER_BYTES);
	assert_int_equal(reply[5], 0);
	free(reply);
	assert_null(dns_error_reply(query, DNS_HEADER_BYTES - 1, DNS_FORMERR, &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_question),
		cmocka_unit_test(judges_a_question),
		cmocka_unit_test(bounds_the_name),
		cmocka_unit_test(matches_answers),
		cmocka_unit_test(makes_error_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/extack.h"

/* An NLMSG_ERROR as the kernel builds it, in a buffer of exactly its size (for ASan). */
struct reply {
	uint8_t *bytes;
	size_t len;
};

static struct reply make(uint16_t flags, size_t repeated, const char *text, size_t text_len)
{
	struct nlmsghdr header = {.nlmsg_type = NLMSG_ERROR, .nlmsg_flags = flags};
	struct nlmsgerr error = {.error = -EPERM};
	struct nlattr attr = {
		.nla_len = (uint16_t)(sizeof(attr) + text_len), .nla_type = NLMSGERR_ATTR_MSG};
	struct nlattr other = {.nla_len = sizeof(other) + 4, .nla_type = NLMSGERR_ATTR_OFFS};
	size_t attrs = text ? sizeof(other) + 4 + sizeof(attr) + text_len : 0;
	struct reply reply = {.len = sizeof(header) + sizeof(error) + repeated + attrs};
	uint8_t *p;

	error.msg.nlmsg_len = (uint32_t)(sizeof(header) + repeated);
	header.nlmsg_len = (uint32_t)reply.len;
	reply.bytes = calloc(1, reply.len);
	assert_non_null(reply.bytes);
	memcpy(reply.bytes, &header, sizeof(header));
	memcpy(reply.bytes + sizeof(header), &error, sizeof(error));
	p = reply.bytes + sizeof(header) + sizeof(error) + repeated;
	if (text) {
		memcpy(p, &other, sizeof(other));
		memcpy(p + sizeof(other) + 4, &attr, sizeof(attr));
		memcpy(p + sizeof(other) + 4 + sizeof(attr), text, text_len);
	}
	return reply;
}

static void check(struct reply reply, const char *wanted)
{
	char text[EXTACK_BYTES] = "before";

	assert_string_equal(
		extack_text((const struct nlmsghdr *)(const void *)reply.bytes, text), wanted);
	free(reply.bytes);
}

static void finds_the_text(void **state)
{
	(void)state;
	check(make(NLM_F_ACK_TLVS | NLM_F_CAPPED, 0, "No such device", 15), "No such device");
	check(make(NLM_F_ACK_TLVS, 0, "No such device", 15), "No such device");
	check(make(NLM_F_ACK_TLVS, 24, "No such device", 15), "No such device");
	/* Without its NUL. */
	check(make(NLM_F_ACK_TLVS, 0, "Busy", 4), "Busy");
}

static void without_text(void **state)
{
	struct reply reply = make(NLM_F_ACK_TLVS, 0, NULL, 0);

	(void)state;
	check(reply, "");
	check(make(0, 0, "No such device", 15), "");
}

static void long_text_is_cut(void **state)
{
	char text[400];
	char wanted[EXTACK_BYTES];

	(void)state;
	memset(text, 'x', sizeof(text));
	memset(wanted, 'x', sizeof(wanted) - 1);
	wanted[sizeof(wanted) - 1] = '\0';
	check(make(NLM_F_ACK_TLVS, 0, text, sizeof(text)), wanted);
}

/* Lengths that lie must not lead out of the message. */
static void lengths_are_checked(void **state)
{
	static const uint32_t lies[] = {0, 3, 15, 17, 36, 48, 4096, UINT32_MAX};
	struct reply reply;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		char text[EXTACK_BYTES];

		/* The repeated request's. */
		reply = make(NLM_F_ACK_TLVS, 0, "No such device", 15);
		memcpy(reply.bytes + NLMSG_HDRLEN + 4, &lies[i], sizeof(lies[i]));
		(void)extack_text((const struct nlmsghdr *)(const void *)reply.bytes, text);
		free(reply.bytes);
		/* An attribute's. */
		reply = make(NLM_F_ACK_TLVS, 0, "No such device", 15);
		memcpy(reply.bytes + NLMSG_HDRLEN + 20, &(uint16_t){(uint16_t)lies[i]}, 2);
		(void)extack_text((const struct nlmsghdr *)(const void *)reply.bytes, text);
		free(reply.bytes);
	}
	/* A message too short for its own error. */
	reply = make(NLM_F_ACK_TLVS, 0, NULL, 0);
	memcpy(reply.bytes, &(uint32_t){NLMSG_HDRLEN + 4}, 4);
	check(reply, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_text),
		cmocka_unit_test(without_text),
		cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(lengths_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

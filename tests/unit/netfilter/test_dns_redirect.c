/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a user and network namespace of its own: the kernel's own judgement, no privilege needed.
 * What the rules do to packets is in tests/netns/test_rootd_dns.py.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/err.h"
#include "netfilter/dns_redirect.h"
#include "netfilter/nft.h"

static const struct ip_addr both[] = {
	{AF_INET, {192, 0, 2, 1}},
	{AF_INET6, {0x20, 0x01, 0x0d, 0xb8, [15] = 0x53}},
	{AF_INET, {192, 0, 2, 1}},
};

struct owner {
	struct nft *nft;
	struct dns_redirect redirect;
};

static struct owner make_owner(void)
{
	struct owner owner = {.nft = NULL};

	assert_int_equal(nft_open(&owner.nft, NULL), 0);
	dns_redirect_init(&owner.redirect, owner.nft, 7, 0x1074);
	return owner;
}

static void set_replace_end(void **state)
{
	struct owner owner = make_owner();
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(dns_redirect_set(&owner.redirect, NULL, 0, 0, &err), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dns_redirect_set(&owner.redirect, both, 3, 5353, &err), 0);
		assert_int_equal(dns_redirect_set(&owner.redirect, both, 1, 5354, &err), 0);
		assert_int_equal(dns_redirect_set(&owner.redirect, both + 1, 1, 5354, &err), 0);
		assert_int_equal(dns_redirect_set(&owner.redirect, NULL, 0, 0, &err), 0);
	}
	assert_int_equal(dns_redirect_set(&owner.redirect, both, 4, 5353, &err), -E2BIG);
	nft_free(owner.nft);
}

/* A table of the same name belongs to whoever made it, and is free once that one has gone. */
static void tables_have_one_owner(void **state)
{
	struct owner first = make_owner(), second = make_owner();
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(dns_redirect_set(&first.redirect, both, 2, 5353, &err), 0);
	assert_int_equal(dns_redirect_set(&second.redirect, both, 2, 5353, &err), -EBUSY);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_non_null(strstr(err.msg, "redirecting DNS"));
	assert_false(second.redirect.has_table[0]);
	/* The refusal has broken neither socket. */
	assert_int_equal(dns_redirect_set(&first.redirect, both, 1, 5354, &err), 0);
	assert_int_equal(dns_redirect_set(&second.redirect, both, 1, 5354, &err), -EBUSY);
	nft_free(first.nft);
	assert_int_equal(dns_redirect_set(&second.redirect, both, 2, 5353, &err), 0);
	nft_free(second.nft);
}

static void long_transactions_are_refused(void **state)
{
	struct owner owner = make_owner();
	struct err err = ERR_INIT;

	(void)state;
	nft_begin(owner.nft);
	for (int i = 0; i < 4000; i++) {
		assert_non_null(nft_add(owner.nft, 0, AF_INET, 0));
		nft_next(owner.nft);
	}
	assert_int_equal(nft_commit(owner.nft, &err), -E2BIG);
	assert_int_equal(dns_redirect_set(&owner.redirect, both, 2, 5353, &err), 0);
	nft_free(owner.nft);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_replace_end),
		cmocka_unit_test(tables_have_one_owner),
		cmocka_unit_test(long_transactions_are_refused),
	};

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		perror("unshare: this test wants user namespaces");
		return EXIT_FAILURE;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

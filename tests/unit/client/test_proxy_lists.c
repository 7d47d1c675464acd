/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/userd/proxy_lists.h"
#include "cluster/kubeconfig.h"
#include "core/err.h"

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix value;

	assert_int_equal(ip_prefix_parse(text, &value), 0);
	return value;
}

/* Both sources count; where they contradict each other the flag wins. */
static void flags_and_kubeconfig(void **state)
{
	char first[] = "10.1.0.0/16", second[] = "10.2.0.0/16";
	char *also[] = {first, second, NULL}, *never[] = {first, NULL};
	struct kube_config kube = {.also_proxy = also, .never_proxy = never};
	struct connect_args args = {
		.never_proxy = {.items = {prefix("10.1.0.0/16")}, .count = 1},
		.allow_conflicting = {.items = {prefix("10.3.0.0/16")}, .count = 1},
	};
	struct proxy_lists lists, again;

	(void)state;
	assert_int_equal(proxy_lists_make(&args, &kube, &lists, NULL), 0);
	assert_int_equal(lists.also.count, 1);
	assert_int_equal(lists.also.items[0].addr.bytes[1], 2);
	assert_int_equal(lists.never.count, 1);
	assert_int_equal(lists.allow_conflicting.count, 1);
	assert_int_equal(proxy_lists_make(&args, &kube, &again, NULL), 0);
	assert_true(proxy_lists_equal(&lists, &again));
	kube.also_proxy = NULL;
	assert_int_equal(proxy_lists_make(&args, &kube, &again, NULL), 0);
	assert_false(proxy_lists_equal(&lists, &again));
}

static void broken_kubeconfig_is_named(void **state)
{
	char bad[] = "10.1.0.0/33";
	char *never[] = {bad, NULL};
	const struct kube_config kube = {.never_proxy = never};
	const struct connect_args args = {0};
	struct proxy_lists lists;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(proxy_lists_make(&args, &kube, &lists, &err), -EINVAL);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_string_equal(err.msg, "kubeconfig, extension telepresence.io: never-proxy: "
				     "\"10.1.0.0/33\" is not a subnet "
				     "like 10.1.0.0/16");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_and_kubeconfig),
		cmocka_unit_test(broken_kubeconfig_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "client/cli/suggest.h"
#include "core/attr.h"
#include "core/err.h"

static void a_slip_in_a_command_is_seen(void **state)
{
	static const struct {
		const char *typed, *meant;
	} cases[] = {
		{"connekt", "connect"},
		{"connetc", "connect"},
		{"stauts", "status"},
		{"ilst", "list"},
		{"uninstal", "uninstall"},
		{"inter", "intercept"},
		{"Leave", "leave"},
		{"login", NULL},
		{"x", NULL},
		{"", NULL},
		{"con", "connect"},
		{"kubernetes-cluster-of-somebody-else-entirely", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = ERR_INIT;
		char wanted[128];

		(void)snprintf(wanted, sizeof(wanted), "unknown command \"%s\"%s%s%s",
			cases[i].typed, cases[i].meant ? "; did you mean \"" : "",
			cases[i].meant ? cases[i].meant : "", cases[i].meant ? "\"?" : "");
		assert_int_equal(suggest_command(cases[i].typed, &err), -EINVAL);
		assert_string_equal(err.msg, wanted);
		assert_int_equal(err.kind, ERR_USAGE);
	}
}

static void what_is_wrong_with_an_option_is_told(void **state)
{
	static const struct argp_option options[] = {
		{"namespace", 'n', "NAME", 0, "", 0},
		{"never-proxy", 256, "CIDR", 0, "", 0},
		{"json", 'j', NULL, OPTION_HIDDEN, "", 0},
		{"help", 'h', NULL, 0, "", 0},
		{0},
	};
	static const struct {
		const char *typed, *told;
	} cases[] = {
		{"--namspace", "unknown option --namspace; did you mean --namespace?"},
		{"--namspace=x", "unknown option --namspace; did you mean --namespace?"},
		{"--bogus", "unknown option --bogus"},
		{"--namespace", "--namespace needs a value"},
		{"--help=yes", "--help takes no value"},
		{"--n", "--n may mean --namespace, --never-proxy"},
		{"--jsn", "unknown option --jsn"},
		{"-n", "-n needs a value"},
		{"-z", "unknown option, or option without its value: -z"},
		{"-", "unknown option, or option without its value: -"},
		{"", "unknown option, or option without its value: "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(suggest_option(options, cases[i].typed, &err), -EINVAL);
		assert_string_equal(err.msg, cases[i].told);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slip_in_a_command_is_seen),
		cmocka_unit_test(what_is_wrong_with_an_option_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

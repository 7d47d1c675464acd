/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dns/names.h"

static const char *const namespaces[] = {"shop", "default", "Kube-System", "dev"};

static struct dns_names *known_cluster(void)
{
	struct dns_names *names = dns_names_new("Cluster.Local.", "default");
	struct ip_prefix subnets[3];

	assert_int_equal(ip_prefix_parse("10.96.0.0/16", &subnets[0]), 0);
	assert_int_equal(ip_prefix_parse("10.244.1.0/24", &subnets[1]), 0);
	assert_int_equal(ip_prefix_parse("fd00:96::/64", &subnets[2]), 0);
	dns_names_set_cluster(names, "Cluster.Local.", namespaces, ARRAY_SIZE(namespaces));
	dns_names_set_subnets(names, subnets, ARRAY_SIZE(subnets));
	return names;
}

static const struct {
	const char *name;
	enum dns_verdict verdict;
	const char *full;
} cases[] = {
	{"web", DNS_CLUSTER_FIRST, "web.default.svc.cluster.local"},
	{"svc", DNS_CLUSTER_FIRST, "svc.default.svc.cluster.local"},
	{"localhost", DNS_UPSTREAM, NULL},
	{"", DNS_UPSTREAM, NULL},
	{"web.shop", DNS_CLUSTER_FIRST, "web.shop.svc.cluster.local"},
	{"dns.kube-system", DNS_CLUSTER_FIRST, "dns.kube-system.svc.cluster.local"},
	{"_http._tcp.web.shop", DNS_CLUSTER_FIRST, "_http._tcp.web.shop.svc.cluster.local"},
	{"web.other", DNS_UPSTREAM, NULL},
	{"web-0.web.shop", DNS_UPSTREAM, NULL},
	{"www.google.dev", DNS_UPSTREAM, NULL},
	{"_http._tcp.shop", DNS_UPSTREAM, NULL},
	{"_tcp.shop", DNS_UPSTREAM, NULL},
	{".shop", DNS_UPSTREAM, NULL},
	{"web.shop.svc", DNS_CLUSTER, "web.shop.svc.cluster.local"},
	{"web.unknown.svc", DNS_CLUSTER, "web.unknown.svc.cluster.local"},
	{"web-0.web.shop.svc", DNS_CLUSTER, "web-0.web.shop.svc.cluster.local"},
	{"web.shop.notsvc", DNS_UPSTREAM, NULL},
	{"cluster.local", DNS_CLUSTER, "cluster.local"},
	{"a.cluster.local", DNS_CLUSTER, "a.cluster.local"},
	{"10-1-2-3.shop.pod.cluster.local", DNS_CLUSTER, "10-1-2-3.shop.pod.cluster.local"},
	{"notcluster.local", DNS_UPSTREAM, NULL},
	{"printer.local", DNS_UPSTREAM, NULL},
	{"web.corp.example", DNS_UPSTREAM, NULL},
	{"web.shop.corp.example", DNS_UPSTREAM, NULL},
	{"web.shop.svc.cluster.local.corp.example", DNS_UPSTREAM, NULL},
	{"wpad", DNS_REFUSE, NULL},
	{"wpad.corp.example", DNS_REFUSE, NULL},
	{"wpad.shop.svc", DNS_REFUSE, NULL},
	{"wpadding", DNS_CLUSTER_FIRST, "wpadding.default.svc.cluster.local"},
	{"4.3.96.10.in-addr.arpa", DNS_CLUSTER, "4.3.96.10.in-addr.arpa"},
	{"255.1.244.10.in-addr.arpa", DNS_CLUSTER, "255.1.244.10.in-addr.arpa"},
	{"1.2.244.10.in-addr.arpa", DNS_UPSTREAM, NULL},
	{"256.3.96.10.in-addr.arpa", DNS_UPSTREAM, NULL},
	{"3.96.10.in-addr.arpa", DNS_UPSTREAM, NULL},
	{"5.4.3.96.10.in-addr.arpa", DNS_UPSTREAM, NULL},
	{"4.3.96.10.in-addr.arpa.corp.example", DNS_UPSTREAM, NULL},
	{"a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa", DNS_CLUSTER,
		"a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa"},
	{"a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.9.0.0.0.0.d.f.ip6.arpa", DNS_UPSTREAM,
		NULL},
	{"0.6.9.0.0.0.0.d.f.ip6.arpa", DNS_UPSTREAM, NULL},
};

static void judges_by_table(void **state)
{
	struct dns_names *names = known_cluster();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char full[DNS_NAME_BYTES] = "untouched";

		print_message("%s\n", cases[i].name);
		assert_int_equal(dns_names_judge(names, cases[i].name, full), cases[i].verdict);
		assert_string_equal(full, cases[i].full ? cases[i].full : "untouched");
	}
	dns_names_free(names);
}

static void unknown_cluster_takes_nothing(void **state)
{
	struct dns_names *names = dns_names_new("", NULL);
	char full[DNS_NAME_BYTES];

	(void)state;
	assert_int_equal(dns_names_judge(names, "web", full), DNS_UPSTREAM);
	assert_int_equal(dns_names_judge(names, "web.shop", full), DNS_UPSTREAM);
	assert_int_equal(dns_names_judge(names, "web.shop.svc", full), DNS_UPSTREAM);
	assert_int_equal(dns_names_judge(names, "wpad", full), DNS_REFUSE);
	dns_names_free(names);
}

static void set_is_replaced(void **state)
{
	static const char *const later[] = {"dev"};
	struct dns_names *names = known_cluster();
	char full[DNS_NAME_BYTES];

	(void)state;
	dns_names_set_cluster(names, "corp.internal", later, 1);
	assert_int_equal(dns_names_judge(names, "web.shop", full), DNS_UPSTREAM);
	assert_int_equal(dns_names_judge(names, "a.cluster.local", full), DNS_UPSTREAM);
	assert_int_equal(dns_names_judge(names, "web.dev", full), DNS_CLUSTER_FIRST);
	assert_string_equal(full, "web.dev.svc.corp.internal");
	dns_names_set_subnets(names, NULL, 0);
	assert_int_equal(dns_names_judge(names, "4.3.96.10.in-addr.arpa", full), DNS_UPSTREAM);
	dns_names_free(names);
}

static void name_too_long_with_suffix(void **state)
{
	struct dns_names *names = known_cluster();
	char name[DNS_NAME_BYTES], full[DNS_NAME_BYTES];

	(void)state;
	/* 235 + ".svc" + ".cluster.local" is the longest name there is. */
	memset(name, 'a', sizeof(name));
	for (size_t i = 60; i < 235; i += 60)
		name[i] = '.';
	memcpy(name + 235, ".svc", 5);
	assert_int_equal(dns_names_judge(names, name, full), DNS_CLUSTER);
	assert_int_equal(strlen(full), DNS_NAME_BYTES - 1);
	name[235] = 'a';
	memcpy(name + 236, ".svc", 5);
	assert_int_equal(dns_names_judge(names, name, full), DNS_UPSTREAM);
	dns_names_free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_by_table),
		cmocka_unit_test(unknown_cluster_takes_nothing),
		cmocka_unit_test(set_is_replaced),
		cmocka_unit_test(name_too_long_with_suffix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

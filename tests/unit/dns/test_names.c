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

/* The verdict; full is left alone where the cluster is not asked. */
static enum dns_verdict judge(const struct dns_names *names, const char *name, char *full)
{
	struct dns_judgement judgement;
	enum dns_verdict verdict = dns_names_judge(names, name, &judgement);

	if (judgement.full[0])
		memcpy(full, judgement.full, DNS_NAME_BYTES);
	return verdict;
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
	{"web-0.web.shop", DNS_CLUSTER_FIRST, "web-0.web.shop.svc.cluster.local"},
	{"web.shop.dev", DNS_CLUSTER_FIRST, "web.shop.dev.svc.cluster.local"},
	{"a.web-0.web.shop", DNS_UPSTREAM, NULL},
	{"web..shop", DNS_UPSTREAM, NULL},
	{"10-0-0-1.shop.pod", DNS_CLUSTER, "10-0-0-1.shop.pod.cluster.local"},
	{"10-0-0-1.other.pod", DNS_UPSTREAM, NULL},
	{"shop.pod", DNS_UPSTREAM, NULL},
	{".shop.pod", DNS_UPSTREAM, NULL},
	{"a.b.shop.pod", DNS_UPSTREAM, NULL},
	{"_http._tcp.db", DNS_CLUSTER_FIRST, "_http._tcp.db.default.svc.cluster.local"},
	{"_http._tcp.localhost", DNS_UPSTREAM, NULL},
	{"_http._tcp", DNS_UPSTREAM, NULL},
	{"_http._tcp.", DNS_UPSTREAM, NULL},
	{"_tcp", DNS_UPSTREAM, NULL},
	{"_tcp.shop", DNS_UPSTREAM, NULL},
	{"_a._http._tcp.db", DNS_UPSTREAM, NULL},
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
		assert_int_equal(judge(names, cases[i].name, full), cases[i].verdict);
		assert_string_equal(full, cases[i].full ? cases[i].full : "untouched");
	}
	dns_names_free(names);
}

static void unknown_cluster_takes_nothing(void **state)
{
	struct dns_names *names = dns_names_new("", NULL);
	char full[DNS_NAME_BYTES];

	(void)state;
	assert_int_equal(judge(names, "web", full), DNS_UPSTREAM);
	assert_int_equal(judge(names, "web.shop", full), DNS_UPSTREAM);
	assert_int_equal(judge(names, "web.shop.svc", full), DNS_UPSTREAM);
	assert_int_equal(judge(names, "wpad", full), DNS_REFUSE);
	dns_names_free(names);
}

static void set_is_replaced(void **state)
{
	static const char *const later[] = {"dev"};
	struct dns_names *names = known_cluster();
	char full[DNS_NAME_BYTES];

	(void)state;
	dns_names_set_cluster(names, "corp.internal", later, 1);
	assert_int_equal(judge(names, "web.shop", full), DNS_UPSTREAM);
	assert_int_equal(judge(names, "a.cluster.local", full), DNS_UPSTREAM);
	assert_int_equal(judge(names, "web.dev", full), DNS_CLUSTER_FIRST);
	assert_string_equal(full, "web.dev.svc.corp.internal");
	dns_names_set_subnets(names, NULL, 0);
	assert_int_equal(judge(names, "4.3.96.10.in-addr.arpa", full), DNS_UPSTREAM);
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
	assert_int_equal(judge(names, name, full), DNS_CLUSTER);
	assert_int_equal(strlen(full), DNS_NAME_BYTES - 1);
	name[235] = 'a';
	memcpy(name + 236, ".svc", 5);
	assert_int_equal(judge(names, name, full), DNS_UPSTREAM);
	dns_names_free(names);
}

static char in_deep[] = ".in.private.example", in_corp[] = "corp.example",
	    ex_private[] = "Private.example.", ex_io[] = ".io", ex_same[] = "corp.example",
	    ex_svc[] = "hidden.svc", printer[] = "printer", web[] = "web.shop", db[] = "DB.corp",
	    db_alias[] = "db.shop", far[] = "far.corp", far_alias[] = "www.example.org",
	    self[] = "self", fixed[] = "fixed", fixed_alias[] = "192.0.2.7", chain[] = "chain.corp",
	    blocked[] = "blocked.corp", blocked_alias[] = "wpad";
static char *includes[] = {in_deep, in_corp, NULL},
	    *suffixes[] = {ex_private, ex_io, ex_same, ex_svc, NULL},
	    *excludes[] = {printer, web, NULL},
	    *mappings[] = {db, db_alias, far, far_alias, self, self, fixed, fixed_alias, chain, db,
		    blocked, blocked_alias, NULL};
static const struct dns_settings settings = {includes, suffixes, excludes, mappings, 0};

static const struct {
	const char *name;
	enum dns_rule rule;
	enum dns_verdict verdict;
	const char *full;
} configured[] = {
	{"wpad.in.private.example", DNS_RULE_WPAD, DNS_REFUSE, ""},
	{"printer", DNS_RULE_EXCLUDES, DNS_UPSTREAM, ""},
	{"web.shop", DNS_RULE_EXCLUDES, DNS_UPSTREAM, ""},
	{"web.shop.svc", DNS_RULE_SVC, DNS_CLUSTER, "web.shop.svc.cluster.local"},
	{"web", DNS_RULE_SEARCH, DNS_CLUSTER_FIRST, "web.default.svc.cluster.local"},
	{"io", DNS_RULE_SEARCH, DNS_CLUSTER_FIRST, "io.default.svc.cluster.local"},
	{"a.private.example", DNS_RULE_EXCLUDE_SUFFIX, DNS_UPSTREAM, ""},
	{"private.example", DNS_RULE_EXCLUDE_SUFFIX, DNS_UPSTREAM, ""},
	{"notprivate.example", DNS_RULE_OTHER, DNS_UPSTREAM, ""},
	{"a.in.private.example", DNS_RULE_INCLUDE_SUFFIX, DNS_CLUSTER_FIRST,
		"a.in.private.example"},
	{"in.private.example", DNS_RULE_INCLUDE_SUFFIX, DNS_CLUSTER_FIRST, "in.private.example"},
	/* As long as the exclude-suffix: it overrides. */
	{"a.corp.example", DNS_RULE_INCLUDE_SUFFIX, DNS_CLUSTER_FIRST, "a.corp.example"},
	{"a.io", DNS_RULE_EXCLUDE_SUFFIX, DNS_UPSTREAM, ""},
	{"a.hidden.svc", DNS_RULE_EXCLUDE_SUFFIX, DNS_UPSTREAM, ""},
	{"a.com", DNS_RULE_OTHER, DNS_UPSTREAM, ""},
	{"dns.kube-system", DNS_RULE_NAMESPACE, DNS_CLUSTER_FIRST,
		"dns.kube-system.svc.cluster.local"},
	{"a.b.cluster.local", DNS_RULE_DOMAIN, DNS_CLUSTER, "a.b.cluster.local"},
	{"4.3.96.10.in-addr.arpa", DNS_RULE_REVERSE, DNS_CLUSTER, "4.3.96.10.in-addr.arpa"},
	{"db.corp", DNS_RULE_MAPPING, DNS_CLUSTER_FIRST, "db.shop.svc.cluster.local"},
	{"far.corp", DNS_RULE_MAPPING, DNS_UPSTREAM, ""},
	{"self", DNS_RULE_MAPPING, DNS_CLUSTER_FIRST, "self.default.svc.cluster.local"},
	{"fixed", DNS_RULE_MAPPING, DNS_FIXED, ""},
	{"chain.corp", DNS_RULE_MAPPING, DNS_UPSTREAM, ""},
	{"blocked.corp", DNS_RULE_MAPPING, DNS_REFUSE, ""},
};

static void settings_in_their_order(void **state)
{
	struct dns_names *names = known_cluster();
	struct dns_judgement judgement;

	(void)state;
	assert_int_equal(dns_names_judge(names, "a.io", &judgement), DNS_UPSTREAM);
	assert_int_equal(judgement.rule, DNS_RULE_EXCLUDE_SUFFIX); /* by default */
	dns_names_set_settings(names, &settings);
	for (size_t i = 0; i < ARRAY_SIZE(configured); i++) {
		print_message("%s\n", configured[i].name);
		assert_int_equal(dns_names_judge(names, configured[i].name, &judgement),
			configured[i].verdict);
		assert_int_equal(judgement.rule, configured[i].rule);
		assert_string_equal(judgement.full, configured[i].full);
		assert_int_equal(judgement.mapped,
			judgement.rule == DNS_RULE_MAPPING && judgement.verdict != DNS_FIXED);
	}
	(void)dns_names_judge(names, "db.corp", &judgement);
	assert_string_equal(judgement.alias, "db.shop");
	dns_names_free(names);
}

/* A namespace may have the name of a public domain: those of dns_default_excludes stay public. */
static void default_excludes(void **state)
{
	static const char *const public[] = {"io", "dev"};
	static const struct dns_settings none;
	char *empty[] = {NULL};
	const struct dns_settings all = {.exclude_suffixes = empty};
	struct dns_names *names = known_cluster();
	struct dns_judgement judgement;

	(void)state;
	dns_names_set_cluster(names, "cluster.local", public, 2);
	assert_int_equal(dns_names_judge(names, "web.io", &judgement), DNS_UPSTREAM);
	assert_int_equal(dns_names_judge(names, "web.dev", &judgement), DNS_CLUSTER_FIRST);
	dns_names_set_settings(names, &all);
	assert_int_equal(dns_names_judge(names, "web.io", &judgement), DNS_CLUSTER_FIRST);
	assert_false(dns_settings_equal(&all, &none));
	assert_true(dns_settings_equal(&all, &all));
	dns_names_free(names);
}

/* What a pod of the namespace finds by "pod.service"; whose names have more or fewer labels, or a
 * public suffix, are not touched. */
static void pods_of_headless_services(void **state)
{
	static const char *const headless[] = {"Peers", "db", "shop", "io"};
	static const char *const others[] = {
		"db-0.other", "a.db-0.db", ".db", "_tcp.db", "db.example", "example.com", "web.io"};
	struct dns_names *names = known_cluster();
	char full[DNS_NAME_BYTES] = "untouched";
	struct dns_judgement judgement;

	(void)state;
	assert_int_equal(judge(names, "db-0.db", full), DNS_UPSTREAM);
	dns_names_set_headless(names, headless, ARRAY_SIZE(headless));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(judge(names, others[i], full), DNS_UPSTREAM);
	assert_string_equal(full, "untouched");
	assert_int_equal(judge(names, "db-0.db", full), DNS_CLUSTER_FIRST);
	assert_string_equal(full, "db-0.db.default.svc.cluster.local");
	assert_false(dns_names_further(names, "db-0.db", 0, full));
	assert_int_equal(judge(names, "p.peers", full), DNS_CLUSTER_FIRST);
	/* A namespace is called so, too. */
	assert_int_equal(dns_names_judge(names, "web.shop", &judgement), DNS_CLUSTER_FIRST);
	assert_int_equal(judgement.rule, DNS_RULE_HEADLESS);
	assert_int_equal(judgement.searched, strlen("web.shop"));
	assert_string_equal(judgement.full, "web.shop.default.svc.cluster.local");
	assert_true(dns_names_further(names, "web.shop", 0, full));
	assert_string_equal(full, "web.shop.svc.cluster.local");
	assert_false(dns_names_further(names, "web.shop", 1, full));
	dns_names_set_headless(names, NULL, 0);
	assert_int_equal(judge(names, "db-0.db", full), DNS_UPSTREAM);
	dns_names_free(names);
}

static void valid_names(void **state)
{
	static const char *const good[] = {"a", "a.", "a-b.c_d.example", "10-0-0-1.shop.pod"};
	static const char *const bad[] = {"", ".", "a..b", ".a", "a b", "a/b", "a..", "\xc3\xa4",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b"};
	char longest[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(dns_name_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(dns_name_valid(bad[i]));
	memset(longest, 'a', sizeof(longest));
	for (size_t i = 60; i < sizeof(longest); i += 60)
		longest[i] = '.';
	longest[253] = '\0';
	assert_true(dns_name_valid(longest));
	longest[253] = 'a';
	longest[254] = '\0';
	assert_false(dns_name_valid(longest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_by_table),
		cmocka_unit_test(unknown_cluster_takes_nothing),
		cmocka_unit_test(set_is_replaced),
		cmocka_unit_test(name_too_long_with_suffix),
		cmocka_unit_test(settings_in_their_order),
		cmocka_unit_test(default_excludes),
		cmocka_unit_test(pods_of_headless_services),
		cmocka_unit_test(valid_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

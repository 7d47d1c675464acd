/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "core/limits.h"
#include "manager/service_table.h"

static void tell(struct service_table *table, enum kube_event event, const char *name,
	const char *namespace, const char *ips)
{
	auto_free char *text = xasprintf("{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\","
					 "\"resourceVersion\":\"1\",\"labels\":{}},"
					 "\"spec\":{\"clusterIPs\":[%s]},\"status\":{}}",
		name, namespace, ips);
	json_object *object = json_parse(text, strlen(text));

	assert_non_null(object);
	service_table_event(table, event, object);
	/* The watch keeps the object: only what it needs itself is left. */
	assert_null(json_member(object, "spec"));
	assert_string_equal(json_text(object, "metadata.resourceVersion"), "1");
	json_object_put(object);
}

static void check(struct service_table *table, const char *name, const char *ips)
{
	const struct ip_addr *addrs = NULL;
	size_t count = service_table_find(table, name, &addrs);
	char text[ADDR_TEXT_BYTES], all[128] = "";

	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(all);

		(void)snprintf(all + used, sizeof(all) - used, "%s%s", i ? " " : "",
			ip_addr_format(&addrs[i], text));
	}
	assert_string_equal(all, ips);
}

static void check_name(const struct service_table *table, const char *ip, const char *name)
{
	struct ip_addr addr;
	const char *found;

	assert_int_equal(ip_addr_parse(ip, &addr), 0);
	found = service_table_name(table, &addr);
	assert_string_equal(found ? found : "", name);
}

static void follows_addresses(void **state)
{
	struct service_table *table = service_table_new();

	(void)state;
	check_name(table, "10.0.0.7", "");
	tell(table, KUBE_ADDED, "web", "shop", "\"10.0.0.7\",\"fd00::7\"");
	check_name(table, "10.0.0.7", "web.shop");
	check_name(table, "fd00::7", "web.shop");
	/* One family goes. */
	tell(table, KUBE_MODIFIED, "web", "shop", "\"10.0.0.7\"");
	check_name(table, "10.0.0.7", "web.shop");
	check_name(table, "fd00::7", "");
	/* Another Service has the address, before and after the first one is said to be gone. */
	tell(table, KUBE_ADDED, "new", "shop", "\"10.0.0.7\"");
	check_name(table, "10.0.0.7", "new.shop");
	tell(table, KUBE_DELETED, "web", "shop", "\"10.0.0.7\"");
	check_name(table, "10.0.0.7", "new.shop");
	tell(table, KUBE_DELETED, "new", "shop", "\"10.0.0.7\"");
	check_name(table, "10.0.0.7", "");
	/* Twice the same is one. */
	tell(table, KUBE_ADDED, "odd", "shop", "\"10.0.0.9\",\"10.0.0.9\"");
	check_name(table, "10.0.0.9", "odd.shop");
	tell(table, KUBE_MODIFIED, "odd", "shop", "\"None\"");
	check_name(table, "10.0.0.9", "");
	service_table_free(table);
}

static void follows_services(void **state)
{
	struct service_table *table = service_table_new();

	(void)state;
	assert_int_equal(service_table_last_change(table), 0);
	tell(table, KUBE_ADDED, "web", "shop", "\"10.0.0.7\",\"fd00::7\"");
	tell(table, KUBE_ADDED, "db", "shop", "\"None\"");
	tell(table, KUBE_ADDED, "out", "shop", "");
	check(table, "web.shop", "10.0.0.7 fd00::7");
	check(table, "db.shop", "");
	check(table, "out.shop", "");
	check(table, "web.other", "");
	assert_int_equal(service_table_last_change(table), 2);
	assert_string_equal(service_table_change(table, 1), "web.shop");
	assert_string_equal(service_table_change(table, 2), "db.shop");
	/* Ports, labels and status are no change of the name. */
	tell(table, KUBE_MODIFIED, "web", "shop", "\"10.0.0.7\",\"fd00::7\"");
	tell(table, KUBE_MODIFIED, "db", "shop", "\"None\"");
	assert_int_equal(service_table_last_change(table), 2);
	tell(table, KUBE_DELETED, "web", "shop", "\"10.0.0.7\",\"fd00::7\"");
	check(table, "web.shop", "");
	tell(table, KUBE_ADDED, "web", "shop", "\"10.0.0.8\"");
	check(table, "web.shop", "10.0.0.8");
	/* To a headless one and back. */
	tell(table, KUBE_MODIFIED, "web", "shop", "\"None\"");
	check(table, "web.shop", "");
	assert_int_equal(service_table_last_change(table), 5);
	service_table_free(table);
}

static void check_headless(
	const struct service_table *table, const char *namespace, const char *wanted)
{
	json_object *list = service_table_headless(table, namespace);

	assert_string_equal(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN), wanted);
	json_object_put(list);
}

static void knows_the_headless_ones(void **state)
{
	struct service_table *table = service_table_new();
	json_object *list;
	char name[16];

	(void)state;
	tell(table, KUBE_ADDED, "web", "shop", "\"10.0.0.7\"");
	tell(table, KUBE_ADDED, "db", "shop", "\"None\"");
	tell(table, KUBE_ADDED, "db", "other", "\"None\"");
	tell(table, KUBE_ADDED, "out", "shop", "");
	check_headless(table, "shop", "[\"db\"]");
	check_headless(table, "sho", "[]");
	assert_true(service_table_is_headless(table, "db.shop"));
	assert_false(service_table_is_headless(table, "web.shop"));
	tell(table, KUBE_MODIFIED, "web", "shop", "\"None\"");
	check_headless(table, "shop", "[\"web\",\"db\"]");
	tell(table, KUBE_DELETED, "db", "shop", "\"None\"");
	check_headless(table, "shop", "[\"web\"]");
	assert_false(service_table_is_headless(table, "db.shop"));
	for (unsigned int i = 0; i < LIMIT_DNS_HEADLESS; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i);
		tell(table, KUBE_ADDED, name, "shop", "\"None\"");
	}
	list = service_table_headless(table, "shop");
	assert_int_equal(json_object_array_length(list), LIMIT_DNS_HEADLESS);
	json_object_put(list);
	service_table_free(table);
}

static void remembers_the_last_changes(void **state)
{
	struct service_table *table = service_table_new();
	char name[16];

	(void)state;
	for (unsigned int i = 1; i <= SERVICE_CHANGES + 3; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i);
		tell(table, KUBE_ADDED, name, "shop", "\"10.0.0.7\"");
	}
	assert_null(service_table_change(table, 0));
	assert_null(service_table_change(table, 3));
	assert_string_equal(service_table_change(table, 4), "s4.shop");
	(void)snprintf(name, sizeof(name), "s%u.shop", SERVICE_CHANGES + 3);
	assert_string_equal(service_table_change(table, SERVICE_CHANGES + 3), name);
	assert_null(service_table_change(table, SERVICE_CHANGES + 4));
	service_table_free(table);
}

static void is_bounded(void **state)
{
	struct service_table *table = service_table_new();
	char name[80];

	(void)state;
	for (unsigned int i = 0; i < SERVICES_MAX + 1; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i);
		tell(table, KUBE_ADDED, name, "shop", "\"10.0.0.7\"");
	}
	(void)snprintf(name, sizeof(name), "s%u.shop", SERVICES_MAX - 1);
	check(table, name, "10.0.0.7");
	(void)snprintf(name, sizeof(name), "s%u.shop", SERVICES_MAX);
	check(table, name, "");
	/* A name that cannot be one is not kept. */
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	tell(table, KUBE_ADDED, name, name, "\"10.0.0.7\"");
	service_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_services),
		cmocka_unit_test(follows_addresses),
		cmocka_unit_test(knows_the_headless_ones),
		cmocka_unit_test(remembers_the_last_changes),
		cmocka_unit_test(is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

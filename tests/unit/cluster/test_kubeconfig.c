/* SPDX-License-Identifier: Apache-2.0 */
/* Kubeconfig files as kubectl reads them: merging, overrides, relative paths, and what is wrong. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cluster/kubeconfig.h"
#include "core/alloc.h"
#include "core/err.h"

static char dir[] = "/tmp/test-kubeconfig-XXXXXX";

static const char main_file[] =
	"apiVersion: v1\n"
	"kind: Config\n"
	"current-context: dev\n"
	"preferences: {colors: true}\n"
	"contexts:\n"
	"- name: dev\n"
	"  context: {cluster: one, user: ann, namespace: shop}\n"
	"- name: other\n"
	"  context: {cluster: two, user: bob}\n"
	"clusters:\n"
	"- name: one\n"
	"  cluster:\n"
	"    server: https://one.example:6443/base/\n"
	"    certificate-authority: ca.pem\n"
	"    tls-server-name: api.one\n"
	"    proxy-url: socks5://127.0.0.1:1080\n"
	"    extensions:\n"
	"    - {name: other.io, extension: {also-proxy: [10.9.0.0/16]}}\n"
	"    - name: telepresence.io\n"
	"      extension:\n"
	"        also-proxy: [10.1.0.0/16, 10.2.0.0/16]\n"
	"        never-proxy: [10.3.0.0/16]\n"
	"        allow-conflicting-subnets: [10.4.0.0/16]\n"
	"        carrier: port-forward\n"
	"        manager: {namespace: tools}\n"
	"- name: two\n"
	"  cluster: {server: 'https://two.example', certificate-authority-data: Q0EgVFdP}\n"
	"users:\n"
	"- name: ann\n"
	"  user:\n"
	"    client-certificate-data: Q0VSVA==\n"
	"    client-key-data: S0VZ\n"
	"    as: boss\n"
	"    as-groups: [admins, ops]\n"
	"- name: bob\n"
	"  user:\n"
	"    exec:\n"
	"      apiVersion: client.authentication.k8s.io/v1\n"
	"      command: ./bin/login\n"
	"      args: [--quiet, \"yes\"]\n"
	"      env: [{name: REGION, value: eu}]\n"
	"      provideClusterInfo: true\n";

static char *write_file(const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	return path;
}

static struct kube_config *load(const struct kube_overrides *over)
{
	struct kube_config *config = NULL;
	struct err err = ERR_INIT;
	int r = kube_config_load(over, &config, &err);

	if (r < 0)
		fail_msg("%s", err.msg);
	return config;
}

static int setup(void **state UNUSED)
{
	assert_non_null(mkdtemp(dir));
	free(write_file("ca.pem", "CA ONE"));
	unsetenv("KUBERNETES_SERVICE_HOST");
	return 0;
}

static int teardown(void **state UNUSED)
{
	static const char *const names[] = {
		"ca.pem", "config", "second", "broken", "empty", "dns", "plain"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		auto_free char *path = xasprintf("%s/%s", dir, names[i]);

		(void)unlink(path);
	}
	return rmdir(dir);
}

static void test_current_context(void **state UNUSED)
{
	auto_free char *path = write_file("config", main_file);
	AUTO(kube_config) config = load(&(struct kube_overrides){.kubeconfig = path});

	assert_string_equal(config->context, "dev");
	assert_string_equal(config->server, "https://one.example:6443/base");
	assert_string_equal(config->namespace, "shop");
	assert_string_equal(config->ca_pem, "CA ONE");
	assert_string_equal(config->cert_pem, "CERT");
	assert_string_equal(config->key_pem, "KEY");
	assert_string_equal(config->tls_server_name, "api.one");
	assert_string_equal(config->proxy_url, "socks5://127.0.0.1:1080");
	assert_string_equal(config->as, "boss");
	assert_string_equal(config->as_groups[0], "admins");
	assert_string_equal(config->as_groups[1], "ops");
	assert_null(config->as_groups[2]);
	assert_null(config->exec);
}

static void test_extension(void **state UNUSED)
{
	auto_free char *ca UNUSED = write_file("ca.pem", "CA ONE");
	auto_free char *path = write_file("config", main_file);
	AUTO(kube_config) config = load(&(struct kube_overrides){.kubeconfig = path});
	AUTO(kube_config) without =
		load(&(struct kube_overrides){.kubeconfig = path, .context = "other"});

	assert_string_equal(config->also_proxy[0], "10.1.0.0/16");
	assert_string_equal(config->also_proxy[1], "10.2.0.0/16");
	assert_null(config->also_proxy[2]);
	assert_string_equal(config->never_proxy[0], "10.3.0.0/16");
	assert_string_equal(config->allow_conflicting[0], "10.4.0.0/16");
	assert_string_equal(config->carrier, "port-forward");
	assert_string_equal(config->manager_namespace, "tools");
	assert_null(without->manager_namespace);
	assert_null(without->carrier);
	assert_null(without->also_proxy);
}

static void test_exec_user(void **state UNUSED)
{
	auto_free char *path = write_file("config", main_file);
	auto_free char *command = xasprintf("%s/./bin/login", dir);
	AUTO(kube_config)
	config = load(&(struct kube_overrides){.kubeconfig = path, .context = "other"});

	assert_string_equal(config->namespace, "default");
	assert_string_equal(config->ca_pem, "CA TWO");
	assert_non_null(config->exec);
	assert_string_equal(config->exec->command, command);
	assert_string_equal(config->exec->args[1], "yes");
	assert_string_equal(config->exec->env[0], "REGION=eu");
	assert_true(config->exec->provide_cluster_info);
}

static void test_overrides(void **state UNUSED)
{
	auto_free char *path = write_file("config", main_file);
	AUTO(kube_config)
	config = load(&(struct kube_overrides){.kubeconfig = path,
		.context = "other",
		.cluster = "one",
		.user = "ann",
		.namespace = "mine",
		.token = "secret",
		.as = "clerk",
		.as_groups = "office\nstaff"});

	assert_string_equal(config->server, "https://one.example:6443/base");
	assert_string_equal(config->namespace, "mine");
	assert_string_equal(config->token, "secret");
	assert_string_equal(config->as, "clerk");
	assert_string_equal(config->as_groups[0], "office");
	assert_string_equal(config->as_groups[1], "staff");
	assert_null(config->as_groups[2]);
	assert_string_equal(config->cert_pem, "CERT");
}

/* --insecure-skip-tls-verify is for a kubeconfig that has an authority, too;
 * --certificate-authority beside it is a contradiction. */
static void test_insecure_flag(void **state UNUSED)
{
	auto_free char *path = write_file("config", main_file);
	auto_free char *ca = xasprintf("%s/ca.pem", dir);
	struct kube_overrides over = {.kubeconfig = path, .insecure_skip_tls_verify = true};
	AUTO(kube_config) config = load(&over);
	struct kube_config *none = NULL;

	assert_true(config->insecure_skip_tls_verify);
	assert_null(config->ca_pem);
	over.certificate_authority = ca;
	assert_int_equal(kube_config_load(&over, &none, NULL), -EINVAL);
}

/* The first file wins; missing ones are passed over; each knows its own folder. */
static void test_merge(void **state UNUSED)
{
	auto_free char *second = write_file("second",
		"current-context: late\n"
		"contexts: [{name: late, context: {cluster: one, user: eve}}]\n"
		"clusters: [{name: one, cluster: {server: 'http://never'}}]\n"
		"users: [{name: eve, user: {token: t0k}}]\n");
	auto_free char *first = write_file("config", main_file);
	auto_free char *list = xasprintf("%s/missing:%s:%s", dir, first, second);
	AUTO(kube_config) config = NULL;

	setenv("KUBECONFIG", list, 1);
	config = load(&(struct kube_overrides){.context = "late"});
	assert_string_equal(config->server, "https://one.example:6443/base");
	assert_string_equal(config->token, "t0k");
	kube_config_free(config);
	config = load(NULL);
	assert_string_equal(config->context, "dev");
	unsetenv("KUBECONFIG");
}

static void test_server_needs_no_file(void **state UNUSED)
{
	AUTO(kube_config) config = NULL;
	struct kube_config *other = NULL;
	struct err err = ERR_INIT;

	setenv("KUBECONFIG", "/nonexistent/config", 1);
	config = load(&(struct kube_overrides){.server = "http://127.0.0.1:8001"});
	assert_string_equal(config->server, "http://127.0.0.1:8001");
	assert_int_equal(
		kube_config_load(&(struct kube_overrides){.server = "http://h", .context = "none"},
			&other, &err),
		-ENOENT);
	assert_non_null(strstr(err.msg, "no context \"none\""));
	unsetenv("KUBECONFIG");
}

#define WITH_USER(user) \
	"current-context: c\n" \
	"contexts: [{name: c, context: {cluster: k, user: u}}]\n" \
	"clusters: [{name: k, cluster: {server: 'https://s'}}]\n" \
	"users:\n" \
	"- name: u\n" \
	"  user: " user "\n"

#define WITH_DNS(dns) \
	"current-context: c\n" \
	"contexts: [{name: c, context: {cluster: k}}]\n" \
	"clusters:\n" \
	"- name: k\n" \
	"  cluster:\n" \
	"    server: 'https://s'\n" \
	"    extensions:\n" \
	"    - {name: other.example, extension: [1]}\n" \
	"    - {name: telepresence.io, extension: {dns: " dns "}}\n"

static void test_dns_settings(void **state UNUSED)
{
	auto_free char *path =
		write_file("dns", WITH_DNS("{include-suffixes: [.corp.example], exclude-suffixes: "
					   "[], excludes: [a, b.c],"
					   " mappings: [{name: db.x, aliasFor: db.shop}, {name: y, "
					   "aliasFor: 'fd00::1'}],"
					   " lookup-timeout: 1500ms, local-ip: 1.2.3.4}"));
	auto_free char *plain = write_file("plain", WITH_DNS("{}"));
	AUTO(kube_config) config = load(&(struct kube_overrides){.kubeconfig = path});
	AUTO(kube_config) without = load(&(struct kube_overrides){.kubeconfig = plain});
	const struct dns_settings *dns = &config->dns;

	assert_string_equal(dns->include_suffixes[0], ".corp.example");
	assert_null(dns->include_suffixes[1]);
	assert_null(dns->exclude_suffixes[0]);
	assert_string_equal(dns->excludes[1], "b.c");
	assert_string_equal(dns->mappings[0], "db.x");
	assert_string_equal(dns->mappings[1], "db.shop");
	assert_string_equal(dns->mappings[3], "fd00::1");
	assert_null(dns->mappings[4]);
	assert_int_equal(dns->lookup_timeout_ms, 1500);
	assert_null(without->dns.exclude_suffixes);
	assert_false(dns_settings_equal(dns, &without->dns));
}

static void test_broken_files(void **state UNUSED)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "no current context"},
		{"a: [\n", "broken:2: not valid YAML"},
		{"- a\n", "broken:1: not a kubeconfig"},
		{"current-context: [x]\n", "broken:1: current-context must be a string"},
		{"current-context: x\n", "no context \"x\""},
		{"current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n",
			"no cluster \"k\""},
		{"current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
		 "clusters: [{name: k, cluster: {server: 'ftp://s'}}]\n",
			"not an http or https URL"},
		{"current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
		 "clusters: [{name: k, cluster: {server: 'https://s',\n"
		 "  insecure-skip-tls-verify: maybe}}]\n",
			"broken:4: insecure-skip-tls-verify must be true or false"},
		{"current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
		 "clusters: [{name: k, cluster: {server: 'https://s',\n"
		 "  certificate-authority-data: Q0E=, insecure-skip-tls-verify: true}}]\n",
			"exclude each other"},
		{WITH_USER("{client-key-data: S0VZ}"), "broken:6: client-certificate and"},
		{WITH_USER("{client-key-data: '%%%'}"), "client-key-data is not base64"},
		{WITH_USER("{client-key: /nonexistent}"), "cannot read /nonexistent"},
		{WITH_USER("{auth-provider: {name: gcp}}"), "auth-provider was removed"},
		{WITH_USER("{exec: {apiVersion: client.authentication.k8s.io/v1}}"),
			"exec needs a command"},
		{WITH_USER("{exec: {command: x, apiVersion: v1alpha1}}"), "\"v1alpha1\" is not"},
		{WITH_USER("{as: a, as-user-extra: {x: [y]}}"), "as-user-extra"},
		{WITH_DNS("{include-suffixes: x}"), "broken:9: include-suffixes must be a list"},
		{WITH_DNS("{exclude-suffixes: ['a b']}"), "\"a b\" is not a DNS name"},
		{WITH_DNS("{excludes: ['']}"), "\"\" is not a DNS name"},
		{WITH_DNS("{mappings: {a: b}}"), "mappings must be a list"},
		{WITH_DNS("{mappings: [{name: a, aliasFor: b}, {name: a}]}"),
			"a mapping needs name and aliasFor"},
		{WITH_DNS("{mappings: [{name: a/b, aliasFor: b}]}"), "\"a/b\" is not"},
		{WITH_DNS("{mappings: [{name: a, aliasFor: '1.2.3.4/8'}]}"), "neither a DNS name"},
		{WITH_DNS("{lookup-timeout: 8}"), "is not a duration"},
		{WITH_DNS("{lookup-timeout: 2h}"), "is not a duration"},
		{WITH_DNS("{lookup-timeout: 61s}"), "from 100ms to 60s"},
		{WITH_USER("{as-groups: [a]}"), "needs a user to impersonate"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *path = write_file("broken", cases[i].text);
		struct kube_config *config = NULL;
		struct err err = ERR_INIT;
		int r = kube_config_load(
			&(struct kube_overrides){.kubeconfig = path}, &config, &err);

		assert_true(r < 0);
		assert_null(config);
		if (err.kind != ERR_CONFIG || !strstr(err.msg, cases[i].message))
			fail_msg("case %zu: kind %s: %s", i, err_kind_name(err.kind), err.msg);
	}
}

static void test_missing_file(void **state UNUSED)
{
	struct kube_config *config = NULL;
	struct err err = ERR_INIT;
	int r = kube_config_load(
		&(struct kube_overrides){.kubeconfig = "/nonexistent/config"}, &config, &err);

	assert_int_equal(r, -ENOENT);
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.msg, "/nonexistent/config"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_current_context),
		cmocka_unit_test(test_extension),
		cmocka_unit_test(test_exec_user),
		cmocka_unit_test(test_overrides),
		cmocka_unit_test(test_insecure_flag),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_server_needs_no_file),
		cmocka_unit_test(test_dns_settings),
		cmocka_unit_test(test_broken_files),
		cmocka_unit_test(test_missing_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kubeconfig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cluster/kubeentry.h"
#include "cluster/kubefile.h"
#include "core/alloc.h"
#include "core/err.h"

/* $KUBECONFIG lists a handful; more is a mistake. */
#define KUBECONFIG_FILES_MAX 64

#define SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

void kube_config_free(struct kube_config *config)
{
	if (!config)
		return;
	kube_config_done(config);
	free(config);
}

static void replace(char **text, const char *with)
{
	if (!with)
		return;
	secret_free(*text);
	*text = xstrdup(with);
}

static int replace_by_file(char **text, const char *path, struct err *err)
{
	char *read = NULL;
	int r = 0;

	if (!path)
		return 0;
	r = read_text_file(path, &read, NULL, err);
	if (r < 0)
		return r;
	secret_free(*text);
	*text = read;
	return 0;
}

static char **split_lines(const char *text)
{
	auto_free char *copy = xstrdup(text);
	char **lines = xcalloc(strlen(text) + 2, sizeof(*lines));
	char *rest = copy, *line = NULL;

	for (size_t i = 0; (line = strsep(&rest, "\n")); i++)
		lines[i] = xstrdup(line);
	return lines;
}

static int apply_overrides(
	struct kube_config *config, const struct kube_overrides *over, struct err *err)
{
	int r = 0;

	replace(&config->server, over->server);
	replace(&config->namespace, over->namespace);
	replace(&config->tls_server_name, over->tls_server_name);
	replace(&config->as, over->as);
	if (over->token) {
		replace(&config->token, over->token);
		free(TAKE_PTR(config->token_file));
		kube_exec_free(TAKE_PTR(config->exec));
	}
	if (over->as_groups) {
		strings_free(config->as_groups);
		config->as_groups = split_lines(over->as_groups);
	}
	if (over->insecure_skip_tls_verify) {
		config->insecure_skip_tls_verify = true;
		/* As kubectl: the flag wins over the file's authority, but not over the flag of
		 * one. */
		free(TAKE_PTR(config->ca_pem));
	}
	r = replace_by_file(&config->ca_pem, over->certificate_authority, err);
	if (r == 0)
		r = replace_by_file(&config->cert_pem, over->client_certificate, err);
	if (r == 0)
		r = replace_by_file(&config->key_pem, over->client_key, err);
	return r;
}

static int check_config(struct kube_config *config, struct err *err)
{
	size_t len = config->server ? strlen(config->server) : 0;

	if (!config->server)
		return err_set(err, -EINVAL, ERR_CONFIG,
			"kubeconfig context \"%s\" names no server", config->context);
	if (strncmp(config->server, "https://", 8) != 0 &&
		strncmp(config->server, "http://", 7) != 0)
		return err_set(err, -EINVAL, ERR_CONFIG,
			"server \"%s\" is not an http or https URL", config->server);
	while (len > 0 && config->server[len - 1] == '/')
		config->server[--len] = 0;
	if (config->as_groups && !config->as)
		return err_set(err, -EINVAL, ERR_CONFIG,
			"impersonating a group needs a user to impersonate too");
	/* kubectl refuses both together; the check that was asked for must not be lost. */
	if (config->insecure_skip_tls_verify && config->ca_pem)
		return err_set(err, -EINVAL, ERR_CONFIG,
			"a certificate authority and insecure-skip-tls-verify exclude each other");
	if (!config->namespace)
		config->namespace = xstrdup("default");
	return 0;
}

static int current_context(struct kubefile **files, size_t count, const struct kube_overrides *over,
	char **ret_name, struct err *err)
{
	char *name = over->context ? xstrdup(over->context) : NULL;

	for (size_t i = 0; i < count && !name; i++) {
		int r = kubefile_string(files[i], files[i]->root, "current-context", &name, err);
		if (r < 0)
			return r;
	}
	*ret_name = name ? name : xstrdup("");
	return 0;
}

static const char *first_path(struct kubefile **files, size_t count)
{
	return count > 0 && files[0] ? files[0]->path : "the kubeconfig";
}

static struct kubefile *file_with(
	struct kubefile **files, size_t count, const char *list, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (kubefile_find(files[i], list, name))
			return files[i];
	}
	return NULL;
}

/* Names of cluster and user, and the namespace, of the context. */
static int read_context(struct kubefile **files, size_t count, struct kube_config *config,
	char **ret_cluster, char **ret_user, struct err *err)
{
	struct kubefile *file = file_with(files, count, "contexts", config->context);
	const yaml_node_t *node = NULL;
	int r = 0;

	if (!file)
		return err_set(err, -ENOENT, ERR_CONFIG,
			"%s has no context \"%s\"; `kubectl config get-contexts` lists them",
			first_path(files, count), config->context);
	node = kubefile_get(file, kubefile_find(file, "contexts", config->context), "context");
	r = kubefile_string(file, node, "cluster", ret_cluster, err);
	if (r == 0)
		r = kubefile_string(file, node, "user", ret_user, err);
	if (r == 0)
		r = kubefile_string(file, node, "namespace", &config->namespace, err);
	return r;
}

static int add_entries(struct kubefile **files, size_t count, struct kube_config *config,
	const char *cluster, const char *user, struct err *err)
{
	struct kubefile *file = NULL;
	int r = 0;

	if (cluster) {
		file = file_with(files, count, "clusters", cluster);
		if (!file)
			return err_set(err, -ENOENT, ERR_CONFIG, "%s has no cluster \"%s\"",
				first_path(files, count), cluster);
		r = kube_config_add_cluster(config, file, cluster, err);
	}
	if (r == 0 && user) {
		file = file_with(files, count, "users", user);
		if (!file)
			return err_set(err, -ENOENT, ERR_CONFIG, "%s has no user \"%s\"",
				first_path(files, count), user);
		r = kube_config_add_user(config, file, user, err);
	}
	return r;
}

int kube_config_from_files(struct kubefile **files, size_t count, const struct kube_overrides *over,
	struct kube_config **ret_config, struct err *err)
{
	AUTO(kube_config) config = XNEW(struct kube_config);
	auto_free char *cluster = NULL;
	auto_free char *user = NULL;
	int r = current_context(files, count, over, &config->context, err);

	if (r == 0 && config->context[0])
		r = read_context(files, count, config, &cluster, &user, err);
	else if (r == 0 && !over->cluster && !over->server)
		r = err_set(err, -ENOENT, ERR_CONFIG,
			"%s has no current context; choose one with --context or `kubectl config "
			"use-context`",
			first_path(files, count));
	if (r == 0)
		r = add_entries(files, count, config, over->cluster ? over->cluster : cluster,
			over->user ? over->user : user, err);
	if (r == 0)
		r = apply_overrides(config, over, err);
	if (r == 0)
		r = check_config(config, err);
	if (r < 0)
		return r;
	*ret_config = TAKE_PTR(config);
	return 0;
}

static int load_file(const char *path, struct kubefile **ret_file, struct err *err)
{
	char *text = NULL;
	size_t len = 0;
	int r = read_text_file(path, &text, &len, err);

	if (r < 0) {
		if (err)
			err->kind = ERR_CONFIG;
		return r;
	}
	r = kubefile_parse(path, text, len, ret_file, err);
	explicit_bzero(text, len);
	free(text);
	return r;
}

/* The files that exist of a list separated by colons. */
static int load_list(
	const char *list, bool must_exist, struct kubefile **files, size_t *count, struct err *err)
{
	auto_free char *copy = xstrdup(list);
	char *rest = copy;
	const char *path = NULL;

	while ((path = strsep(&rest, ":"))) {
		int r = 0;

		if (!*path)
			continue;
		if (*count == KUBECONFIG_FILES_MAX)
			return err_set(err, -E2BIG, ERR_CONFIG, "KUBECONFIG names over %d files",
				KUBECONFIG_FILES_MAX);
		r = load_file(path, &files[*count], err);
		if (r == -ENOENT && !must_exist)
			continue;
		if (r < 0)
			return r;
		(*count)++;
	}
	return 0;
}

static int load_files(
	const struct kube_overrides *over, struct kubefile **files, size_t *count, struct err *err)
{
	const char *list = getenv("KUBECONFIG");
	const char *home = getenv("HOME");
	auto_free char *standard = NULL;

	if (over->kubeconfig) { /* one file: a colon may be part of its name */
		int r = load_file(over->kubeconfig, &files[0], err);

		*count = r == 0 ? 1 : 0;
		return r;
	}
	if (list && *list)
		return load_list(list, false, files, count, err);
	standard = xasprintf("%s/.kube/config", home ? home : "");
	return load_list(standard, false, files, count, err);
}

int kube_config_load(
	const struct kube_overrides *overrides, struct kube_config **ret_config, struct err *err)
{
	static const struct kube_overrides none;
	const struct kube_overrides *over = overrides ? overrides : &none;
	struct kubefile *files[KUBECONFIG_FILES_MAX] = {NULL};
	size_t count = 0;
	int r = load_files(over, files, &count, err);

	if (r == 0 && count == 0 && !over->server) {
		if (access(SERVICE_ACCOUNT_DIR "/token", R_OK) == 0)
			r = kube_config_in_cluster(ret_config, err);
		else
			r = err_set(err, -ENOENT, ERR_CONFIG,
				"no kubeconfig: neither $KUBECONFIG nor ~/.kube/config names a "
				"readable file; pass --kubeconfig");
	} else if (r == 0) {
		r = kube_config_from_files(files, count, over, ret_config, err);
	}
	for (size_t i = 0; i < KUBECONFIG_FILES_MAX; i++)
		kubefile_free(files[i]);
	return r;
}

void kube_config_names(const struct kube_overrides *overrides, const char *list,
	void (*fn)(void *user, const char *name), void *user)
{
	struct kubefile *files[KUBECONFIG_FILES_MAX] = {NULL};
	struct err ignored = ERR_INIT;
	size_t count = 0;

	(void)load_files(overrides, files, &count, &ignored);
	for (size_t i = 0; i < KUBECONFIG_FILES_MAX; i++) {
		if (files[i])
			kubefile_each(files[i], list, fn, user);
		kubefile_free(files[i]);
	}
}

int kube_config_in_cluster(struct kube_config **ret_config, struct err *err)
{
	AUTO(kube_config) config = XNEW(struct kube_config);
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	int r = 0;

	if (!host || !*host || !port || !*port)
		return err_set(err, -ENOENT, ERR_CONFIG,
			"not in a pod: KUBERNETES_SERVICE_HOST and _PORT are not set");
	config->context = xstrdup("in-cluster");
	config->server =
		xasprintf(strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
	config->token_file = xstrdup(SERVICE_ACCOUNT_DIR "/token");
	r = read_text_file(SERVICE_ACCOUNT_DIR "/ca.crt", &config->ca_pem, NULL, err);
	if (r == 0)
		r = read_text_file(SERVICE_ACCOUNT_DIR "/namespace", &config->namespace, NULL, err);
	if (r < 0)
		return r;
	config->namespace[strcspn(config->namespace, "\n")] = 0;
	*ret_config = TAKE_PTR(config);
	return 0;
}

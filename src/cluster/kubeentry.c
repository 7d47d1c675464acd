/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/kubeentry.h"

#include <errno.h>
#include <string.h>

#include "cluster/kubefile.h"
#include "core/alloc.h"
#include "core/err.h"

/* Paths in a kubeconfig are relative to the file that names them. */
static char *resolve_path(const struct kubefile *file, const char *path)
{
	return path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", file->dir, path);
}

/* PEM text from "<key>-data" (base64, which wins) or from the file that "<key>" names. */
static int get_pem(struct kubefile *file, const yaml_node_t *map, const char *key, char **ret_pem,
	struct err *err)
{
	auto_free char *data_key = xasprintf("%s-data", key);
	auto_free char *path = NULL;
	auto_free char *full = NULL;
	char *data = NULL;
	int r = kubefile_string(file, map, data_key, &data, err);

	if (r < 0)
		return r;
	if (data) {
		r = base64_decode(data, ret_pem);
		secret_free(data);
		if (r < 0)
			return kubefile_error(err, file, kubefile_get(file, map, data_key),
				"%s is not base64", data_key);
		return 0;
	}
	r = kubefile_string(file, map, key, &path, err);
	if (r < 0 || !path)
		return r;
	full = resolve_path(file, path);
	r = read_text_file(full, ret_pem, NULL, err);
	if (r < 0) {
		err_wrap(err, r, "%s:%zu: %s", file->path,
			kubefile_get(file, map, key)->start_mark.line + 1, key);
		if (err)
			err->kind = ERR_CONFIG;
	}
	return r;
}

int kube_config_add_cluster(
	struct kube_config *config, struct kubefile *file, const char *name, struct err *err)
{
	const yaml_node_t *entry = kubefile_find(file, "clusters", name);
	const yaml_node_t *cluster = kubefile_get(file, entry, "cluster");
	int r = 0;

	if (!cluster || cluster->type != YAML_MAPPING_NODE)
		return kubefile_error(err, file, entry, "cluster \"%s\" has no settings", name);
	r = kubefile_string(file, cluster, "server", &config->server, err);
	if (r == 0)
		r = get_pem(file, cluster, "certificate-authority", &config->ca_pem, err);
	if (r == 0)
		r = kubefile_string(
			file, cluster, "tls-server-name", &config->tls_server_name, err);
	if (r == 0)
		r = kubefile_string(file, cluster, "proxy-url", &config->proxy_url, err);
	if (r == 0)
		r = kubefile_bool(file, cluster, "insecure-skip-tls-verify",
			&config->insecure_skip_tls_verify, err);
	return r < 0 ? r : kube_config_add_extension(config, file, cluster, err);
}

static int add_exec_env(
	struct kube_exec *exec, struct kubefile *file, const yaml_node_t *node, struct err *err)
{
	const yaml_node_t *list = kubefile_get(file, node, "env");
	size_t count = 0;

	if (!list || list->type != YAML_SEQUENCE_NODE)
		return 0;
	count = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
	exec->env = xcalloc(count + 1, sizeof(*exec->env));
	for (size_t i = 0; i < count; i++) {
		const yaml_node_t *item =
			yaml_document_get_node(&file->doc, list->data.sequence.items.start[i]);
		auto_free char *name = NULL;
		char *value = NULL;
		int r = kubefile_string(file, item, "name", &name, err);

		if (r == 0 && (!name || strchr(name, '=')))
			r = kubefile_error(err, file, list, "env entry %zu needs a name", i);
		if (r == 0)
			r = kubefile_string(file, item, "value", &value, err);
		if (r < 0)
			return r;
		exec->env[i] = xasprintf("%s=%s", name, value ? value : "");
		secret_free(value);
	}
	return 0;
}

/* What a plugin is run with; the command comes first, it is the only one that must be there. */
static int read_exec(
	struct kube_exec *exec, struct kubefile *file, const yaml_node_t *node, struct err *err)
{
	int r = kubefile_string(file, node, "command", &exec->command, err);

	if (r == 0 && !exec->command)
		r = kubefile_error(err, file, node, "exec needs a command");
	if (r == 0)
		r = kubefile_string(file, node, "apiVersion", &exec->api_version, err);
	if (r == 0)
		r = kubefile_strings(file, node, "args", &exec->args, err);
	if (r == 0)
		r = kubefile_string(file, node, "installHint", &exec->install_hint, err);
	if (r == 0)
		r = kubefile_bool(
			file, node, "provideClusterInfo", &exec->provide_cluster_info, err);
	if (r == 0)
		r = add_exec_env(exec, file, node, err);
	return r;
}

static bool exec_version_known(const char *version)
{
	return version && (strcmp(version, "client.authentication.k8s.io/v1") == 0 ||
				  strcmp(version, "client.authentication.k8s.io/v1beta1") == 0);
}

static int add_exec(
	struct kube_config *config, struct kubefile *file, const yaml_node_t *user, struct err *err)
{
	const yaml_node_t *node = kubefile_get(file, user, "exec");
	struct kube_exec *exec = NULL;
	int r = 0;

	if (!node || node->type != YAML_MAPPING_NODE)
		return 0;
	exec = config->exec = XNEW(struct kube_exec);
	r = read_exec(exec, file, node, err);
	if (r < 0)
		return r;
	if (!exec_version_known(exec->api_version))
		return kubefile_error(err, file, node, "exec: apiVersion \"%s\" is not supported",
			exec->api_version ? exec->api_version : "");
	/* A command with a slash is a path, a bare name is looked up in PATH. */
	if (strchr(exec->command, '/') && exec->command[0] != '/') {
		char *full = resolve_path(file, exec->command);

		free(exec->command);
		exec->command = full;
	}
	return 0;
}

static int add_impersonation(
	struct kube_config *config, struct kubefile *file, const yaml_node_t *user, struct err *err)
{
	const yaml_node_t *extra = kubefile_get(file, user, "as-user-extra");
	int r = kubefile_string(file, user, "as", &config->as, err);

	if (r == 0)
		r = kubefile_string(file, user, "as-uid", &config->as_uid, err);
	if (r == 0)
		r = kubefile_strings(file, user, "as-groups", &config->as_groups, err);
	/* Leaving it out would act as somebody else than the file says. */
	if (r == 0 && extra && extra->type == YAML_MAPPING_NODE)
		r = kubefile_error(err, file, extra, "as-user-extra is not supported");
	return r;
}

static int add_token(
	struct kube_config *config, struct kubefile *file, const yaml_node_t *user, struct err *err)
{
	auto_free char *path = NULL;
	int r = kubefile_string(file, user, "token", &config->token, err);

	if (r == 0)
		r = kubefile_string(file, user, "tokenFile", &path, err);
	if (r == 0 && path)
		config->token_file = resolve_path(file, path);
	if (r == 0)
		r = kubefile_string(file, user, "username", &config->username, err);
	if (r == 0)
		r = kubefile_string(file, user, "password", &config->password, err);
	return r;
}

int kube_config_add_user(
	struct kube_config *config, struct kubefile *file, const char *name, struct err *err)
{
	const yaml_node_t *entry = kubefile_find(file, "users", name);
	const yaml_node_t *user = kubefile_get(file, entry, "user");
	int r = 0;

	/* No settings: anonymous, as for kubectl. */
	if (!user || user->type != YAML_MAPPING_NODE)
		return 0;
	if (kubefile_get(file, user, "auth-provider"))
		return kubefile_error(err, file, kubefile_get(file, user, "auth-provider"),
			"auth-provider was removed from Kubernetes; use an exec plugin");
	r = get_pem(file, user, "client-certificate", &config->cert_pem, err);
	if (r == 0)
		r = get_pem(file, user, "client-key", &config->key_pem, err);
	if (r == 0 && !config->cert_pem != !config->key_pem)
		r = kubefile_error(err, file, user,
			"client-certificate and client-key go together, one is missing");
	if (r == 0)
		r = add_token(config, file, user, err);
	if (r == 0)
		r = add_impersonation(config, file, user, err);
	if (r == 0)
		r = add_exec(config, file, user, err);
	return r;
}

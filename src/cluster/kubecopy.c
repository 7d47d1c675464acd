/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of a kube_config and their end. */
#include "cluster/kubeentry.h"
#include "cluster/kubefile.h"
#include "core/alloc.h"

static char *copy_text(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

static char **copy_list(char *const *list)
{
	size_t count = 0;
	char **copy = NULL;

	if (!list)
		return NULL;
	while (list[count])
		count++;
	copy = xcalloc(count + 1, sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = xstrdup(list[i]);
	return copy;
}

static struct kube_exec *copy_exec(const struct kube_exec *exec)
{
	struct kube_exec *copy = NULL;

	if (!exec)
		return NULL;
	copy = XNEW(struct kube_exec);
	copy->api_version = copy_text(exec->api_version);
	copy->command = copy_text(exec->command);
	copy->install_hint = copy_text(exec->install_hint);
	copy->args = copy_list(exec->args);
	copy->env = copy_list(exec->env);
	copy->provide_cluster_info = exec->provide_cluster_info;
	return copy;
}

void kube_exec_free(struct kube_exec *exec)
{
	if (!exec)
		return;
	free(exec->api_version);
	free(exec->command);
	free(exec->install_hint);
	strings_free(exec->args);
	strings_free(exec->env);
	free(exec);
}

void kube_config_copy(struct kube_config *copy, const struct kube_config *config)
{
	*copy = (struct kube_config){
		.context = copy_text(config->context),
		.server = copy_text(config->server),
		.namespace = copy_text(config->namespace),
		.ca_pem = copy_text(config->ca_pem),
		.cert_pem = copy_text(config->cert_pem),
		.key_pem = copy_text(config->key_pem),
		.token = copy_text(config->token),
		.token_file = copy_text(config->token_file),
		.username = copy_text(config->username),
		.password = copy_text(config->password),
		.tls_server_name = copy_text(config->tls_server_name),
		.proxy_url = copy_text(config->proxy_url),
		.as = copy_text(config->as),
		.as_uid = copy_text(config->as_uid),
		.as_groups = copy_list(config->as_groups),
		.insecure_skip_tls_verify = config->insecure_skip_tls_verify,
		.exec = copy_exec(config->exec),
		.also_proxy = copy_list(config->also_proxy),
		.never_proxy = copy_list(config->never_proxy),
		.allow_conflicting = copy_list(config->allow_conflicting),
		.carrier = copy_text(config->carrier),
		.manager_namespace = copy_text(config->manager_namespace),
	};
	dns_settings_copy(&copy->dns, &config->dns);
}

void kube_config_done(struct kube_config *config)
{
	free(config->context);
	free(config->server);
	free(config->namespace);
	free(config->ca_pem);
	free(config->cert_pem);
	secret_free(config->key_pem);
	secret_free(config->token);
	free(config->token_file);
	free(config->username);
	secret_free(config->password);
	free(config->tls_server_name);
	secret_free(config->proxy_url); /* may hold a password */
	free(config->as);
	free(config->as_uid);
	strings_free(config->as_groups);
	kube_exec_free(config->exec);
	dns_settings_done(&config->dns);
	strings_free(config->also_proxy);
	strings_free(config->never_proxy);
	strings_free(config->allow_conflicting);
	free(config->carrier);
	free(config->manager_namespace);
	*config = (struct kube_config){.context = NULL};
}

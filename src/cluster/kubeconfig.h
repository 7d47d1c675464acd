/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/kubeconfig.h - where the API server is and who we are there
 *
 * Reads $KUBECONFIG (a list, merged as kubectl does) or ~/.kube/config, or the pod's service
 * account. Unknown keys are ignored (the file is kubectl's), broken ones are errors with file:line.
 * Secrets are wiped on free.
 */
#ifndef CLUSTER_KUBECONFIG_H
#define CLUSTER_KUBECONFIG_H

#include <stdbool.h>

#include "core/attr.h"
#include "dns/settings.h"

struct err;

/* Overrides from the command line; NULL members are absent. All borrowed. Of as_groups each line is
 * one. */
struct kube_overrides {
	const char *kubeconfig, *context, *cluster, *user, *namespace, *server, *token;
	const char *as, *as_groups, *certificate_authority, *client_certificate, *client_key;
	const char *tls_server_name;
	bool insecure_skip_tls_verify;
};

/* An exec credential plugin (client.authentication.k8s.io). */
struct kube_exec {
	char *api_version, *command, *install_hint;
	char **args, **env; /* NULL-terminated; env as "K=V" */
	bool provide_cluster_info;
};

struct kube_config {
	char *context, *server, *namespace; /* namespace: "default" when the context names none */
	char *ca_pem, *cert_pem, *key_pem; /* PEM text or NULL */
	char *token, *token_file, *username, *password;
	char *tls_server_name, *proxy_url;
	char *as, *as_uid, **as_groups; /* impersonation; groups NULL-terminated */
	bool insecure_skip_tls_verify;
	struct kube_exec *exec;
	struct dns_settings dns; /* of the cluster entry's extension telepresence.io */
	/* Of the cluster's extension "telepresence.io": subnets as text, NULL-terminated or NULL.
	 */
	char **also_proxy, **never_proxy, **allow_conflicting;
	char *carrier; /* of the same extension: the only one to use, or NULL */
	char *manager_namespace; /* likewise; NULL: not said */
};

NODISCARD int kube_config_load(
	const struct kube_overrides *overrides, struct kube_config **ret_config, struct err *err);
/* Names in the list "contexts", "clusters" or "users" of the files, as far as they can be read. */
void kube_config_names(const struct kube_overrides *overrides, const char *list,
	void (*fn)(void *user, const char *name), void *user);
/* From /var/run/secrets/kubernetes.io/serviceaccount and KUBERNETES_SERVICE_HOST/PORT. */
NODISCARD int kube_config_in_cluster(struct kube_config **ret_config, struct err *err);
void kube_config_free(struct kube_config *config);
DEFINE_AUTO(kube_config, kube_config_free);

#endif /* CLUSTER_KUBECONFIG_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/kubeentry.h - the cluster and user entries of kubeconfig files, as a kube_config
 *
 * Internal to the folder. The first file that has a current-context, or an entry of a name, wins.
 */
#ifndef CLUSTER_KUBEENTRY_H
#define CLUSTER_KUBEENTRY_H

#include <yaml.h>

#include "cluster/kubeconfig.h"

struct kubefile;

NODISCARD int kube_config_from_files(struct kubefile **files, size_t count,
	const struct kube_overrides *overrides, struct kube_config **ret_config, struct err *err);

/* Settings of one entry, into members that are still NULL. Relative paths are the file's. */
NODISCARD int kube_config_add_cluster(
	struct kube_config *config, struct kubefile *file, const char *name, struct err *err);
NODISCARD int kube_config_add_user(
	struct kube_config *config, struct kubefile *file, const char *name, struct err *err);

/* The settings in the cluster's extension "telepresence.io". */
NODISCARD int kube_config_add_extension(struct kube_config *config, struct kubefile *file,
	const yaml_node_t *cluster, struct err *err);

/* A deep copy in place, and its end. */
void kube_config_copy(struct kube_config *copy, const struct kube_config *config);
void kube_exec_free(struct kube_exec *exec);
void kube_config_done(struct kube_config *config);

#endif /* CLUSTER_KUBEENTRY_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/install.h - puts the cluster's part of telepresence there, and takes it away
 *
 * The objects are those of k8s/ (embedded at build time), applied server-side, safe to repeat.
 * Waiting for readiness ends when the Deployment is available, or at once when a cause is visible
 * that will not pass by itself (image pull, policy, quota), or after 60 s.
 */
#ifndef CLUSTER_INSTALL_H
#define CLUSTER_INSTALL_H

#include "cluster/client.h"

struct kube_install;

struct kube_install_config {
	const char *manager_namespace; /* "ambassador" */
	const char *image; /* NULL: the default of this build */
};

struct kube_install_events {
	void (*on_progress)(
		void *user, const char *line); /* "Applying CustomResourceDefinition sessions..." */
	void (*on_done)(void *user, int r, const struct err *err);
};

struct kube_install *kube_install_start(struct kube_client *client,
	const struct kube_install_config *config, const struct kube_install_events *events,
	void *user);
/* Removes every object that kube_install_start() makes, Sessions first; waits until they are gone.
 */
struct kube_install *kube_uninstall_start(struct kube_client *client,
	const struct kube_install_config *config, const struct kube_install_events *events,
	void *user);
void kube_install_cancel(struct kube_install *install);

#endif /* CLUSTER_INSTALL_H */

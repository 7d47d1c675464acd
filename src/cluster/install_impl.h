/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/install_impl.h - the inside of an installation or its removal
 *
 * Internal to the folder. One request at a time; `request` is it, so that cancelling is simple.
 * Both directions share the state: install.c applies and waits, uninstall.c deletes and waits.
 */
#ifndef CLUSTER_INSTALL_IMPL_H
#define CLUSTER_INSTALL_IMPL_H

#include <stdbool.h>
#include <uv.h>

#include "cluster/install.h"
#include "core/err.h"

struct kube_install {
	struct kube_client *client;
	struct kube_install_events events;
	void *user;
	char *namespace;
	json_object *objects; /* array, in the order of applying */
	size_t next; /* index of the object that is dealt with */
	struct kube_request *request;
	uv_timer_t timer; /* the next attempt */
	uint64_t deadline_ms; /* uv_now() */
	struct err last; /* why it is not there yet */
	kube_done_fn on_namespace;
	bool finished;
};

/* The annotation of a namespace that an installation made. */
#define INSTALL_NAMESPACE_MARK "telepresence.io/installed"

/* on_namespace is told of the manager's namespace first, from the loop. */
struct kube_install *install_start(struct kube_client *client,
	const struct kube_install_config *config, const struct kube_install_events *events,
	void *user, kube_done_fn on_namespace);
void install_progress(struct kube_install *install, const char *fmt, ...) PRINTF(2, 3);
/* Ends it: the last thing that is done with it. */
void install_finish(struct kube_install *install, int r, const struct err *err);
/* Calls step from the loop after delay_ms, or ends with `last` once the deadline is over. */
void install_again(struct kube_install *install, uint64_t delay_ms, uv_timer_cb step);
/* Somebody else's namespace keeps its labels, and stays when we go: it leaves the list. NULL: there
 * is none yet. */
void install_respect_namespace(struct kube_install *install, json_object *namespace);
void install_get(struct kube_install *install, const char *path, kube_done_fn on_done);
/* What keeps the manager from running: a Deployment's or pod's status. -EAGAIN: it may pass by
 * itself; other negative values: it will not. 0: no cause is visible. */
int install_deployment_cause(json_object *deployment, struct err *err);
int install_pod_cause(json_object *pod, const char *image, struct err *err);
bool install_deployment_ready(json_object *deployment);

#endif /* CLUSTER_INSTALL_IMPL_H */

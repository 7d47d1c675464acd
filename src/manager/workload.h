/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/workload.h - the pods of one workload, by watch
 *
 * The workload itself is watched by name, its pods by its selector, and for a Deployment or Rollout
 * its ReplicaSets, so that a pod counts only if it is owned by this very workload. A bare Pod is
 * its own. A workload that is made anew under its name is followed.
 */
#ifndef MANAGER_WORKLOAD_H
#define MANAGER_WORKLOAD_H

#include <json-c/json.h>
#include <stdbool.h>

#include "core/attr.h"

struct kube_client;
struct workload;

struct workload_events {
	/* A pod came or changed, or went (gone: its last state). */
	void (*on_pod)(void *user, json_object *pod, bool gone);
	/* Something else is known now: pods all listed, or workload_problem(). */
	void (*on_change)(void *user);
};

struct workload *workload_open(struct kube_client *client, const char *namespace, const char *kind,
	const char *name, const struct workload_events *events, void *user);
void workload_close(struct workload *workload); /* no event follows; NULL-safe */

bool workload_exists(const struct workload *workload);
/* Every pod that there is was told of. */
bool workload_synced(const struct workload *workload);
/* What it says of itself, newest state; NULL: there is none, or it is a bare Pod. Borrowed. */
json_object *workload_object(const struct workload *workload);
/* Why its pods cannot be found, or NULL. */
const char *workload_problem(const struct workload *workload);
bool workload_has(const struct workload *workload, const char *pod_uid);
/* Whether both have a pod in common. */
bool workload_overlaps(const struct workload *workload, const struct workload *other);
/* The query parameter of a label selector, escaped and malloc'd; NULL when it selects nothing. */
NODISCARD char *workload_selector(json_object *selector);

#endif /* MANAGER_WORKLOAD_H */

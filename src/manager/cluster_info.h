/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/cluster_info.h - keeps the cluster's description current and tells it to clients
 *
 * Watches what cluster_state.h needs; services and pods only where nothing better names the ranges.
 * A change becomes a new line after INFO_COALESCE_MS, so that a burst is one line. A client that
 * reads slowly gets the newest line next, never a queue of old ones.
 */
#ifndef MANAGER_CLUSTER_INFO_H
#define MANAGER_CLUSTER_INFO_H

#include <stdbool.h>
#include <uv.h>

#include "manager/cluster_state.h"
#include "tunnel/h2.h"

#define INFO_COALESCE_MS 100

struct cluster_info;

struct cluster_info *cluster_info_new(
	uv_loop_t *loop, struct kube_client *client, const struct cluster_state_config *config);
/* Every stream must be closed. Deferred. NULL-safe. */
void cluster_info_free(struct cluster_info *info);
/* Whether each needed list is complete (or the API server will not give it), so that the first line
 * is whole. */
bool cluster_info_ready(const struct cluster_info *info);
/* What agents are made of: told with the rest. */
void cluster_info_set_agent_image(struct cluster_info *info, const char *image);
/* GET /v1/cluster: lines of JSON for as long as the stream lives. */
void cluster_info_stream(struct cluster_info *info, struct h2_stream *stream);

#endif /* MANAGER_CLUSTER_INFO_H */

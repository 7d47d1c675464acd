/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/info.h - what the manager says about the cluster, kept current
 *
 * GET /v1/cluster answers with one JSON object a line, whole each time, for as long as the tunnel
 * lives.
 */
#ifndef CLIENT_USERD_INFO_H
#define CLIENT_USERD_INFO_H

#include <json-c/json.h>

#include "client/userd/subnets.h"
#include "core/attr.h"

struct err;
struct h2_session;
struct info_watch;

#define INFO_NAMESPACES 10000

struct cluster_info {
	struct prefix_set services, pods;
	char *domain, *manager_version;
	char *agent_image; /* NULL: not said */
	char **namespaces;
	size_t namespace_count;
};

struct info_events {
	/* Borrowed. */
	void (*on_info)(void *user, const struct cluster_info *info);
	/* The stream has ended, or says what cannot be used; the watch is dead. */
	void (*on_end)(void *user, const struct err *err);
};

NODISCARD int info_watch_start(struct h2_session *h2, const struct info_events *events, void *user,
	struct info_watch **ret_watch, struct err *err);
void info_watch_stop(struct info_watch *watch); /* NULL-safe; no callback follows */

NODISCARD int cluster_info_parse(
	const char *line, size_t len, struct cluster_info *ret_info, struct err *err);
void cluster_info_copy(const struct cluster_info *info, struct cluster_info *ret_copy);
void cluster_info_done(struct cluster_info *info);

#endif /* CLIENT_USERD_INFO_H */

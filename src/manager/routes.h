/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/routes.h - which part of the manager answers a request of a proven peer
 */
#ifndef MANAGER_ROUTES_H
#define MANAGER_ROUTES_H

#include "tunnel/dial.h"

struct cluster_info;
struct dns_forwarder;
struct doh_desk;
struct h2_head;
struct h2_stream;
struct intercepts;
struct peer;
struct service_names;

struct routes {
	struct dial_env dial;
	struct dns_forwarder *forwarder;
	struct cluster_info *info;
	struct service_names *names;
	struct doh_desk *doh; /* of these two */
	struct intercepts *intercepts; /* NULL: not served yet */
};

void routes_serve(const struct routes *routes, struct peer *peer, struct h2_stream *stream,
	const struct h2_head *head);

#endif /* MANAGER_ROUTES_H */

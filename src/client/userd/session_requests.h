/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/session_requests.h - the requests that need a connection (docs/ipc-userd.md)
 */
#ifndef CLIENT_USERD_SESSION_REQUESTS_H
#define CLIENT_USERD_SESSION_REQUESTS_H

#include <json-c/json.h>

#include "core/attr.h"

struct cluster_info;
struct session;
struct userd;
struct userd_peer;

void userd_list(struct userd *userd, struct userd_peer *peer, json_object *request);
void userd_intercept(struct userd *userd, struct userd_peer *peer, json_object *request);
void userd_leave(struct userd *userd, struct userd_peer *peer, json_object *request);
void userd_agents_exit(struct userd *userd, struct userd_peer *peer, json_object *request);
void userd_names(struct userd *userd, struct userd_peer *peer, json_object *request);

/* As network_explain_name(); *ret_object NULL: not a name. -ENOTCONN while there is no network. */
NODISCARD int session_explain_name(
	const struct session *session, const char *name, json_object **ret_object);

const char *session_manager_namespace(const struct session *session);
/* What the manager says of the cluster; its domain is NULL before it has said anything. Borrowed.
 */
const struct cluster_info *session_info(const struct session *session);

#endif /* CLIENT_USERD_SESSION_REQUESTS_H */

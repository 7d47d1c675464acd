/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/client.h - asynchronous REST requests to one Kubernetes API server
 *
 * libcurl's multi interface on the libuv loop; HTTP/2 to the server, connections reused. Every
 * request has the deadline LIMIT_KUBE_REQUEST_MS unless it is a watch, and a body of at most
 * LIMIT_KUBE_BODY_BYTES. Credentials: client certificates, tokens, token files (re-read when they
 * change), exec plugins (run by uv_spawn, cached until they expire), impersonation, proxies
 * (proxy-url and the environment's). Ownership: the client copies what it needs of the config.
 * on_done is called exactly once per request unless it was cancelled; never from within
 * kube_request().
 */
#ifndef CLUSTER_CLIENT_H
#define CLUSTER_CLIENT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <uv.h>

#include "core/attr.h"
#include "cluster/kubeconfig.h"

struct err;
struct kube_client;
struct kube_request;

/* status: HTTP status. body: parsed JSON (borrowed; json_object_get() to keep) or NULL when it is
 * not JSON. On failure r < 0 and err names the cause, with the API server's Status message and, for
 * 403, who may not do what. r is -ENOENT for 404, -EEXIST for 409 AlreadyExists, -EAGAIN for 409
 * Conflict, -EACCES for a right that is missing, -EPERM for what else a 403 says, ... */
typedef void (*kube_done_fn)(
	void *user, int r, int status, json_object *body, const struct err *err);

struct kube_request_config {
	const char *method; /* "GET", "POST", "PATCH", "DELETE", ... */
	const char *path; /* "/api/v1/namespaces?limit=1": the caller has escaped it */
	const char *content_type; /* NULL: application/json */
	const char *body; /* copied; NULL for none */
	bool fresh; /* on a connection of its own: one from before may be dead without a word */
};

NODISCARD int kube_client_new(uv_loop_t *loop, const struct kube_config *config,
	struct kube_client **ret_client, struct err *err);
void kube_client_free(struct kube_client *client); /* cancels everything, deferred */

/* ret_request may be NULL when it will not be cancelled. */
void kube_request(struct kube_client *client, const struct kube_request_config *config,
	kube_done_fn on_done, void *user, struct kube_request **ret_request);
void kube_request_cancel(struct kube_request *request); /* on_done is not called */

/* Path of an object or, with name NULL, of its collection:
 * "/apis/apps/v1/namespaces/ns/deployments/name". */
NODISCARD char *kube_path(
	const char *api_version, const char *plural, const char *namespace, const char *name);
/* As a value in a path's query (RFC 3986 2.1): selectors, and the tokens of pages. */
NODISCARD char *kube_escape(const char *text);

#endif /* CLUSTER_CLIENT_H */

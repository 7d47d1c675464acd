/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/transport.h - how a connection to the API server is made, and what its failures mean
 *
 * Internal to the folder: what requests (client.c) and upgrades (upconn.c) share.
 */
#ifndef CLUSTER_TRANSPORT_H
#define CLUSTER_TRANSPORT_H

#include <curl/curl.h>
#include <json-c/json.h>
#include <stdbool.h>

#include "cluster/kubeconfig.h"

struct err;

/* What an exec plugin or a token file gave; NULL members: as in the kube_config. */
struct kube_credential {
	char *token, *cert_pem, *key_pem;
};

void kube_credential_done(struct kube_credential *credential);

/* One libcurl transfer. It must have left its multi handle before transport_done(). */
struct transport {
	CURL *easy;
	struct curl_slist *headers; /* "Name: value", identity included: secret */
	struct curl_slist *connect_to;
	char error[CURL_ERROR_SIZE];
};

/* URL of path, TLS, proxy, socket options and the headers that say who we are. */
void transport_init(struct transport *transport, const struct kube_config *config,
	const struct kube_credential *credential, const char *path);
void transport_add_header(struct transport *transport, const char *line);
void transport_done(struct transport *transport);

/* "host:port" of a server URL, as a Host header has it. */
NODISCARD char *transport_host(const char *server);
/* The path of a server URL: "" or "/k8s/clusters/c-1". Borrowed from server. */
const char *transport_base_path(const char *server);

/* A failed transfer: returns a negative errno; err says server, cause and next step. */
int transport_error(const struct transport *transport, CURLcode code,
	const struct kube_config *config, struct err *err);
/* A status that is not 2xx, with the message of the Status object that body may be. `what`: "GET
 * /path". Returns a negative errno. */
int transport_status_error(const struct kube_config *config, int status, json_object *body,
	const char *what, struct err *err);
/* The kubeconfig's user has no credentials of any kind. */
bool transport_is_anonymous(const struct kube_config *config);

#endif /* CLUSTER_TRANSPORT_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/args.h - what a connection is asked to be: the same fields as flags, JSON and struct
 *
 * One table (connect_fields) drives the command line's options, the message to the user daemon and
 * the way back. Strings are owned; NULL means not given.
 */
#ifndef CLIENT_USERD_ARGS_H
#define CLIENT_USERD_ARGS_H

#include <json-c/json.h>
#include <stdbool.h>

#include "cluster/kubeconfig.h"
#include "core/attr.h"
#include "net/addr.h"

struct err;

#define CONNECT_PREFIXES 64 /* of --also-proxy, --never-proxy and so on, each */

struct prefix_list {
	struct ip_prefix items[CONNECT_PREFIXES];
	size_t count;
};

struct connect_args {
	char *kubeconfig, *context, *cluster, *user, *namespace, *server, *token, *as, *as_group;
	/* as_group: one a line */
	char *certificate_authority, *client_certificate, *client_key, *tls_server_name;
	char *manager_namespace, *image, *carrier;
	bool insecure_skip_tls_verify;
	struct prefix_list also_proxy, never_proxy, allow_conflicting;
};

enum connect_field_type {
	FIELD_STRING,
	FIELD_PATH, /* made absolute: the daemon has another working directory */
	FIELD_LINES, /* repeatable; one a line */
	FIELD_BOOL,
	FIELD_PREFIXES
};

struct connect_field {
	const char *name; /* of the flag and, as it is, of the JSON member */
	int key; /* short option or a number of its own */
	enum connect_field_type type;
	size_t offset;
	const char *value; /* how help names the flag's value */
	const char *doc; /* NULL: not shown by help */
};

extern const struct connect_field connect_fields[];
extern const size_t connect_field_count;

void connect_args_done(struct connect_args *args);
/* Sets one field from a flag's text. */
NODISCARD int connect_args_set(struct connect_args *args, const struct connect_field *field,
	const char *text, struct err *err);
json_object *connect_args_to_json(const struct connect_args *args);
NODISCARD int connect_args_from_json(
	json_object *object, struct connect_args *ret_args, struct err *err);
/* A list of files as in $KUBECONFIG, each made absolute: the daemon has another working directory.
 * The caller frees. */
NODISCARD char *connect_absolute_paths(const char *list);
/* Borrowed views for kube_config_load(). */
struct kube_overrides connect_args_overrides(const struct connect_args *args);
/* --manager-namespace, $TELEPRESENCE_MANAGER_NAMESPACE, what the cluster's entry says,
 * "ambassador". Borrowed. */
const char *connect_args_manager_namespace(
	const struct connect_args *args, const struct kube_config *kube);
/* --carrier, or what the cluster's entry says; NULL: any. Borrowed. */
const char *connect_args_carrier(const struct connect_args *args, const struct kube_config *kube);

#endif /* CLIENT_USERD_ARGS_H */

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/args.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "client/userd/proto.h"
#include "core/alloc.h"
#include "core/err.h"

#define FIELD(flag, key, type, member, value, doc) \
	{flag, key, type, offsetof(struct connect_args, member), value, doc}

/* Keys above the range of characters are options without a short form. */
const struct connect_field connect_fields[] = {
	FIELD("kubeconfig", 256, FIELD_PATH, kubeconfig, "FILE", "Kubeconfig file to use"),
	FIELD("context", 257, FIELD_STRING, context, "NAME", "Context of the kubeconfig"),
	FIELD("cluster", 258, FIELD_STRING, cluster, "NAME", "Cluster of the kubeconfig"),
	FIELD("user", 259, FIELD_STRING, user, "NAME", "User of the kubeconfig"),
	FIELD("namespace", 'n', FIELD_STRING, namespace, "NAME",
		"Namespace that single-label names are looked up in"),
	FIELD("server", 's', FIELD_STRING, server, "URL", "Address of the API server"),
	FIELD("token", 260, FIELD_STRING, token, "TOKEN", "Bearer token for the API server"),
	FIELD("as", 261, FIELD_STRING, as, "USER", "User to impersonate"),
	FIELD("as-group", 262, FIELD_LINES, as_group, "GROUP", "Group to impersonate (repeatable)"),
	FIELD("certificate-authority", 263, FIELD_PATH, certificate_authority, "FILE",
		"Certificate authority of the API server"),
	FIELD("client-certificate", 264, FIELD_PATH, client_certificate, "FILE",
		"Client certificate"),
	FIELD("client-key", 265, FIELD_PATH, client_key, "FILE", "Key of the client certificate"),
	FIELD("tls-server-name", 266, FIELD_STRING, tls_server_name, "NAME",
		"Name to expect in the API server's certificate"),
	FIELD("insecure-skip-tls-verify", 267, FIELD_BOOL, insecure_skip_tls_verify, NULL,
		"Do not check the API server's certificate"),
	FIELD("manager-namespace", 268, FIELD_STRING, manager_namespace, "NAME",
		"Namespace of the traffic-manager (default ambassador)"),
	FIELD("also-proxy", 269, FIELD_PREFIXES, also_proxy, "CIDR",
		"Route this subnet to the cluster too (repeatable)"),
	FIELD("never-proxy", 270, FIELD_PREFIXES, never_proxy, "CIDR",
		"Never route this subnet to the cluster (repeatable)"),
	FIELD("allow-conflicting-subnets", 280, FIELD_PREFIXES, allow_conflicting, "CIDR",
		"Route this subnet to the cluster though a route of the laptop overlaps with it "
		"(repeatable)"),
	FIELD("carrier", 281, FIELD_STRING, carrier, "NAME",
		"Reach the traffic-manager this way only: services/proxy or port-forward (default: "
		"whichever opens first)"),
	FIELD("image", 271, FIELD_STRING, image, "IMAGE",
		"Image of the traffic-manager and its agents, where this installs them"),
};
const size_t connect_field_count = ARRAY_SIZE(connect_fields);

static char **string_at(struct connect_args *args, const struct connect_field *field)
{
	return (char **)(void *)((char *)args + field->offset);
}

static void *member_at(struct connect_args *args, const struct connect_field *field)
{
	return (char *)args + field->offset;
}

static const void *member_of(const struct connect_args *args, const struct connect_field *field)
{
	return (const char *)args + field->offset;
}

void connect_args_done(struct connect_args *args)
{
	if (args->token)
		explicit_bzero(args->token, strlen(args->token));
	for (size_t i = 0; i < connect_field_count; i++) {
		if (connect_fields[i].type <= FIELD_LINES)
			free(*string_at(args, &connect_fields[i]));
	}
	memset(args, 0, sizeof(*args));
}

static int add_prefix(struct prefix_list *list, const struct connect_field *field, const char *text,
	struct err *err)
{
	if (list->count == CONNECT_PREFIXES)
		return err_set(err, -E2BIG, ERR_USAGE, "--%s: more than %u subnets", field->name,
			CONNECT_PREFIXES);
	if (ip_prefix_parse(text, &list->items[list->count]) < 0)
		return err_set(err, -EINVAL, ERR_USAGE,
			"--%s %s: not a subnet like 10.1.0.0/16 (with no bit set after the prefix)",
			field->name, text);
	list->count++;
	return 0;
}

static char *absolute(const char *path)
{
	auto_free char *cwd = NULL;

	if (path[0] == '/')
		return xstrdup(path);
	cwd = get_current_dir_name();
	return cwd ? xasprintf("%s/%s", cwd, path) : xstrdup(path);
}

char *connect_absolute_paths(const char *list)
{
	char *out = xstrdup("");

	while (*list) {
		size_t len = strcspn(list, ":");
		auto_free char *one = xstrndup(list, len);
		auto_free char *path = len ? absolute(one) : xstrdup("");
		char *longer = xasprintf("%s%s%s", out, path, list[len] ? ":" : "");

		free(out);
		out = longer;
		list += len + (list[len] != '\0');
	}
	return out;
}

int connect_args_set(struct connect_args *args, const struct connect_field *field, const char *text,
	struct err *err)
{
	char **string = string_at(args, field), *longer;

	if (field->type == FIELD_BOOL) {
		*(bool *)member_at(args, field) = true;
		return 0;
	}
	if (field->type == FIELD_PREFIXES)
		return add_prefix(member_at(args, field), field, text, err);
	if (!*text)
		return err_set(err, -EINVAL, ERR_USAGE, "--%s: a value is needed", field->name);
	longer = field->type == FIELD_PATH               ? absolute(text)
		 : field->type == FIELD_LINES && *string ? xasprintf("%s\n%s", *string, text)
							 : xstrdup(text);
	free(*string);
	*string = longer;
	return 0;
}

static json_object *prefixes_to_json(const struct prefix_list *list)
{
	json_object *array = json_object_new_array();
	char text[ADDR_TEXT_BYTES];

	for (size_t i = 0; i < list->count; i++)
		json_object_array_add(
			array, json_object_new_string(ip_prefix_format(&list->items[i], text)));
	return array;
}

json_object *connect_args_to_json(const struct connect_args *args)
{
	json_object *object = json_object_new_object();

	for (size_t i = 0; i < connect_field_count; i++) {
		const struct connect_field *field = &connect_fields[i];
		const void *member = member_of(args, field);

		if (field->type == FIELD_BOOL)
			json_object_object_add(object, field->name,
				json_object_new_boolean(*(const bool *)member));
		else if (field->type == FIELD_PREFIXES)
			json_object_object_add(object, field->name, prefixes_to_json(member));
		else
			json_put_string(object, field->name, *(char *const *)member);
	}
	return object;
}

static const struct connect_field *find_field(const char *name)
{
	for (size_t i = 0; i < connect_field_count; i++) {
		if (strcmp(connect_fields[i].name, name) == 0)
			return &connect_fields[i];
	}
	return NULL;
}

static int set_prefixes(struct connect_args *args, const struct connect_field *field,
	json_object *array, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_object_array_length(array); i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(array, i));

		r = connect_args_set(args, field, text ? text : "", err);
	}
	return r;
}

static int set_member(
	struct connect_args *args, const char *name, json_object *value, struct err *err)
{
	static const json_type types[] = {
		[FIELD_STRING] = json_type_string,
		[FIELD_PATH] = json_type_string,
		[FIELD_LINES] = json_type_string,
		[FIELD_BOOL] = json_type_boolean,
		[FIELD_PREFIXES] = json_type_array,
	};
	const struct connect_field *field = find_field(name);

	if (!field || !json_object_is_type(value, types[field->type]))
		return err_set(err, -EPROTO, ERR_INTERNAL, "connect argument %s", name);
	if (field->type == FIELD_PREFIXES)
		return set_prefixes(args, field, value, err);
	if (field->type != FIELD_BOOL)
		return connect_args_set(args, field, json_object_get_string(value), err);
	*(bool *)member_at(args, field) = json_object_get_boolean(value);
	return 0;
}

int connect_args_from_json(json_object *object, struct connect_args *ret_args, struct err *err)
{
	struct connect_args args = {0};
	int r = object ? 0 : err_set(err, -EPROTO, ERR_INTERNAL, "connect without arguments");

	if (r < 0)
		return r;
	json_object_object_foreach(object, name, value)
	{
		r = set_member(&args, name, value, err);
		if (r < 0)
			break;
	}
	if (r < 0) {
		connect_args_done(&args);
		return r;
	}
	*ret_args = args;
	return 0;
}

struct kube_overrides connect_args_overrides(const struct connect_args *args)
{
	return (struct kube_overrides){
		.kubeconfig = args->kubeconfig,
		.context = args->context,
		.cluster = args->cluster,
		.user = args->user,
		.namespace = args->namespace,
		.server = args->server,
		.token = args->token,
		.as = args->as,
		.as_groups = args->as_group,
		.certificate_authority = args->certificate_authority,
		.client_certificate = args->client_certificate,
		.client_key = args->client_key,
		.tls_server_name = args->tls_server_name,
		.insecure_skip_tls_verify = args->insecure_skip_tls_verify,
	};
}

const char *connect_args_manager_namespace(
	const struct connect_args *args, const struct kube_config *kube)
{
	const char *env = getenv("TELEPRESENCE_MANAGER_NAMESPACE");

	if (args->manager_namespace)
		return args->manager_namespace;
	if (env && *env)
		return env;
	return kube->manager_namespace ? kube->manager_namespace : "ambassador";
}

const char *connect_args_carrier(const struct connect_args *args, const struct kube_config *kube)
{
	return args->carrier ? args->carrier : kube->carrier;
}

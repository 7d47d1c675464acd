/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name of an Intercept object is taken. Left by a process of this laptop and user that is gone:
 * it is deleted and the name used again. Anybody else's: this one gets NAME-xxxxx, and the manager
 * decides whether the two conflict.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "client/userd/intercept_priv.h"
#include "cluster/client.h"
#include "cluster/json.h"
#include "cluster/meta.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"

#define SUFFIX_BYTES 5
/* Of an object's name (RFC 1123), without the suffix. */
#define NAME_STEM_BYTES 247
#define TAKEN_TRIES     4

/* The alphabet of Kubernetes' own generated names: no vowels, nothing that looks alike. */
static void rename_object(struct intercept *intercept)
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	uint8_t random[SUFFIX_BYTES] = {0};
	char suffix[SUFFIX_BYTES + 1] = "";

	(void)!getrandom(random, sizeof(random), 0);
	for (size_t i = 0; i < SUFFIX_BYTES; i++)
		suffix[i] = alphabet[random[i] % (sizeof(alphabet) - 1)];
	free(intercept->object_name);
	intercept->object_name =
		xasprintf("%.*s-%s", NAME_STEM_BYTES, intercept->args.name, suffix);
	intercept_create(intercept);
}

static void on_removed(
	void *user, int r, int status UNUSED, json_object *body UNUSED, const struct err *err)
{
	struct intercept *intercept = user;

	intercept->request = NULL;
	if (r == 0 || r == -ENOENT || r == -EAGAIN)
		intercept_create(intercept);
	else if (err->kind == ERR_PERMISSION)
		rename_object(intercept);
	else
		intercept_fail(intercept, err, NULL);
}

static void remove_stale(struct intercept *intercept)
{
	auto_free char *path =
		intercept_object_path(intercept->args.namespace, intercept->object_name);
	auto_free char *body =
		kube_delete_options(json_text_or(intercept->object, "metadata.uid", ""));
	const struct kube_request_config config = {.method = "DELETE", .path = path, .body = body};

	log_info("replacing a stale intercept", "name=%s", intercept->object_name);
	kube_request(
		intercept->set->config.client, &config, on_removed, intercept, &intercept->request);
}

/* A session without a tunnel is of a process that ended; the manager keeps it for a while. */
static bool is_connected(json_object *session)
{
	return strcmp(kube_condition_status(session, "Ready"), "True") == 0;
}

static void on_session(
	void *user, int r, int status UNUSED, json_object *body, const struct err *err UNUSED)
{
	struct intercept *intercept = user;

	intercept->request = NULL;
	if (r == -ENOENT || (r == 0 && !is_connected(body)))
		remove_stale(intercept);
	else
		rename_object(intercept);
}

static bool same(json_object *object, const char *path, const char *text)
{
	return strcmp(json_text_or(object, path, ""), text) == 0;
}

static void on_holder(
	void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct intercept *intercept = user;
	struct intercepts *set = intercept->set;
	auto_free char *path = NULL;
	struct kube_request_config config = {.method = "GET"};

	intercept->request = NULL;
	if (r == -ENOENT) {
		intercept_create(intercept);
		return;
	}
	if (r < 0 && err->kind != ERR_PERMISSION) {
		intercept_fail(intercept, err, NULL);
		return;
	}
	if (r < 0 || !same(body, "spec.owner", set->owner) || !same(body, "spec.host", set->host)) {
		rename_object(intercept);
		return;
	}
	json_object_put(intercept->object);
	intercept->object = json_object_get(body);
	/* Ours: the answer to an earlier request was lost. */
	if (same(body, "spec.sessionUID", set->session_uid)) {
		remove_stale(intercept);
		return;
	}
	path = kube_path(INTERCEPT_API, "sessions", set->config.manager_namespace,
		json_text_or(body, "spec.session", ""));
	config.path = path;
	kube_request(set->config.client, &config, on_session, intercept, &intercept->request);
}

void intercept_taken(struct intercept *intercept)
{
	auto_free char *path =
		intercept_object_path(intercept->args.namespace, intercept->object_name);
	const struct kube_request_config config = {.method = "GET", .path = path};
	struct err err = ERR_INIT;

	if (intercept->tries++ >= TAKEN_TRIES) {
		err_set(&err, -EEXIST, ERR_CONFLICT, "the name %s is taken again and again",
			intercept->object_name);
		intercept_fail(intercept, &err, NULL);
		return;
	}
	intercept->state = INTERCEPT_TAKEN;
	kube_request(
		intercept->set->config.client, &config, on_holder, intercept, &intercept->request);
}

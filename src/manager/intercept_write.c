/* SPDX-License-Identifier: Apache-2.0 */
/* Status and end of Intercept objects; only the leader writes. */
#include <errno.h>
#include <string.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "core/log.h"
#include "manager/intercept_member.h"
#include "manager/intercept_seat.h"
#include "manager/pods.h"

/* Counters alone are written this often at most. */
#define COUNTS_MS 2000
/* Until the watch tells that an object is another one by now. */
#define REPLACED_MS 2000
/* maxItems in the CRD. */
#define PODS_MAX 1000

/* Where it is not the number that the intercept knows it by. */
static void add_port(json_object *entry, const struct member *member)
{
	const struct intercept_port *first = &member->intercept->spec->ports[0];
	uint16_t port = member_port(member, first);

	if (port != first->container_port)
		json_object_object_add(entry, "port", json_object_new_int(port));
}

static json_object *pods_of(const struct intercept *intercept)
{
	json_object *list = json_object_new_array();
	const struct member *member = NULL;

	DL_FOREACH (intercept->members, member) {
		json_object *pod = member->seat->pod, *entry = NULL;
		const char *message = NULL;
		enum intercept_state state = member_shown(member, &message);

		if (json_object_array_length(list) == PODS_MAX)
			break;
		entry = json_object_new_object();
		json_add_text(entry, "name", pod_name(pod));
		json_add_text(entry, "uid", member->seat->uid);
		json_add_text(entry, "ip", json_text_or(pod, "status.podIP", ""));
		add_port(entry, member);
		json_add_text(entry, "node", json_text_or(pod, "spec.nodeName", ""));
		json_add_text(entry, "agent", member->seat->agent);
		json_add_text(entry, "state", intercept_state_name(state));
		json_add_text(entry, "message", message);
		(void)json_object_array_add(list, entry);
	}
	return list;
}

static void add_counts(json_object *status, const struct intercept *intercept)
{
	json_object *fallbacks = json_object_new_object();
	int64_t connections = intercept->connections;
	const struct member *member = NULL;

	json_object_object_foreach(intercept->fallbacks, key, kept)
		json_object_object_add(fallbacks, key, json_object_get(kept));
	DL_FOREACH (intercept->members, member) {
		json_object *reasons = json_member(member->count, "fallbacks");

		connections += json_int(member->count, "connections", 0);
		if (!json_object_is_type(reasons, json_type_object))
			continue;
		json_object_object_foreach(reasons, reason, value)
		{
			int64_t sum = json_int(fallbacks, reason, 0) + json_object_get_int64(value);

			json_object_object_add(fallbacks, reason, json_object_new_int64(sum));
		}
	}
	json_object_object_add(status, "connections", json_object_new_int64(connections));
	json_object_object_add(status, "fallbacks", fallbacks);
}

char *intercept_patch(const struct intercept *intercept)
{
	json_object *patch = json_object_new_object(), *status = json_object_new_object();
	json_object *ready = json_object_new_object(), *conditions = json_object_new_array();
	json_object *metadata = json_object_new_object();
	bool active = intercept->state == INTERCEPT_ACTIVE;
	char *text = NULL;

	json_add_text(ready, "type", "Ready");
	json_add_text(ready, "status", active ? "True" : "False");
	json_add_text(ready, "reason", intercept->reason);
	json_add_text(ready, "message", intercept->message);
	json_add_text(ready, "lastTransitionTime", intercept->since);
	(void)json_object_array_add(conditions, ready);
	json_add_text(status, "state", intercept_state_name(intercept->state));
	json_add_text(status, "reason", intercept->reason);
	json_add_text(status, "message", intercept->message);
	json_add_text(status, "since", intercept->since);
	json_object_object_add(status, "conditions", conditions);
	json_object_object_add(status, "pods", pods_of(intercept));
	add_counts(status, intercept);
	/* A uid in the patch makes the API server refuse it for a namesake. */
	json_add_text(metadata, "uid", intercept->spec->uid);
	json_object_object_add(patch, "metadata", metadata);
	json_object_object_add(patch, "status", status);
	text = xstrdup(json_object_to_json_string_ext(
		patch, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(patch);
	return text;
}

/* 409: another object has its name, as a rule, and the watch has yet to tell. */
static void pause_if_replaced(struct intercept *intercept, int r)
{
	if (r == -EAGAIN)
		intercept->paused_ms = intercepts_now(intercept->set) + REPLACED_MS;
}

static bool is_paused(const struct intercept *intercept)
{
	return intercepts_now(intercept->set) < intercept->paused_ms;
}

/* Of an object that is gone, with another one of its name or without, the watch will tell. */
static void on_written(
	void *user, int r, int status UNUSED, json_object *body UNUSED, const struct err *err)
{
	struct intercept *intercept = user;

	intercept->write = NULL;
	if (r == 0) {
		intercept_write(intercept);
		return;
	}
	free(TAKE_PTR(intercept->written));
	pause_if_replaced(intercept, r);
	/* The sweep tries again. */
	intercept->counted = true;
	intercept->written_ms = intercepts_now(intercept->set);
	if (r != -ENOENT && r != -EAGAIN)
		log_warn("status not written", "intercept=%s/%s error=%s",
			intercept->spec->namespace, intercept->spec->object, err->msg);
}

static void send_request(struct intercept *intercept, const struct kube_request_config *kind,
	const char *subresource, kube_done_fn on_done, struct kube_request **ret_request)
{
	auto_free char *object = kube_path(
		INTERCEPT_API, "intercepts", intercept->spec->namespace, intercept->spec->object);
	auto_free char *path = xasprintf("%s%s", object, subresource);
	struct kube_request_config config = *kind;

	config.path = path;
	kube_request(intercept->set->client, &config, on_done, intercept, ret_request);
}

void intercept_write(struct intercept *intercept)
{
	struct kube_request_config config = {
		.method = "PATCH", .content_type = "application/merge-patch+json"};
	char *patch = NULL;

	if (!intercept->set->leader || intercept->write || intercept->removal ||
		is_paused(intercept) || !intercept->since[0])
		return;
	patch = intercept_patch(intercept);
	if (intercept->written && strcmp(intercept->written, patch) == 0) {
		free(patch);
		return;
	}
	free(intercept->written);
	intercept->written = patch;
	intercept->counted = false;
	intercept->written_ms = intercepts_now(intercept->set);
	config.body = patch;
	send_request(intercept, &config, "/status", on_written, &intercept->write);
}

static void on_removed(
	void *user, int r, int status UNUSED, json_object *body UNUSED, const struct err *err)
{
	struct intercept *intercept = user;

	intercept->removal = NULL;
	pause_if_replaced(intercept, r);
	if (r < 0 && r != -ENOENT && r != -EAGAIN)
		log_warn("intercept not deleted", "intercept=%s/%s error=%s",
			intercept->spec->namespace, intercept->spec->object, err->msg);
}

void intercept_remove(struct intercept *intercept)
{
	auto_free char *options = NULL;
	struct kube_request_config config = {.method = "DELETE"};

	if (!intercept->set->leader || intercept->removal || is_paused(intercept))
		return;
	/* Only this very object: its owner may have made a new one of the same name. */
	options = xasprintf("{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\","
			    "\"preconditions\":{\"uid\":\"%s\"}}",
		intercept->spec->uid);
	config.body = options;
	send_request(intercept, &config, "", on_removed, &intercept->removal);
}

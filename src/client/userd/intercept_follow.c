/* SPDX-License-Identifier: Apache-2.0 */
/* An intercept whose object exists: what is seen of it, until it serves, and after. */
#include "client/userd/intercept_follow.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "client/userd/fetch.h"
#include "client/userd/intercept_priv.h"
#include "client/userd/kinds.h"
#include "client/userd/proto.h"
#include "client/userd/reverse.h"
#include "cluster/client.h"
#include "cluster/json.h"
#include "cluster/watch.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"

/* A manager that is there writes the first status at once. */
#define NOTICE_MS 15000
/* An agent that does not come is reported by the manager within 15 s of its cause; a slow image
 * pull goes on. */
#define SILENCE_MS           60000
#define ENVIRONMENT_MS       4000
#define ENVIRONMENT_PAUSE_MS 300
#define ENVIRONMENT_ASKS     4

static void on_environment_pause(uv_timer_t *timer)
{
	intercept_check_ready(timer->data);
}

static void on_environment(void *user, int r, json_object *object, const struct err *err)
{
	struct intercept *intercept = user;
	struct err copy = ERR_INIT;

	intercept->fetch = NULL;
	if (r == 0) {
		intercept->environment = json_object_get(object);
		intercept_check_ready(intercept);
	} else if (r != -EBUSY && ++intercept->fetches < ENVIRONMENT_ASKS) {
		/* The tunnel or the agent may just be coming back. */
		(void)uv_timer_start(
			&intercept->timer, on_environment_pause, ENVIRONMENT_PAUSE_MS, 0);
	} else {
		copy = *err;
		err_wrap(&copy, r, "environment of %s %s",
			workload_kind_text(intercept->target.kind), intercept->target.workload);
		intercept_fail(intercept, &copy, NULL);
	}
}

static void fetch_environment(struct intercept *intercept)
{
	auto_free char *path = xasprintf("/v1/intercepts/%s/env", intercept->uid);
	const struct fetch_config config = {.loop = intercept->set->config.loop,
		.uplink = intercept->set->config.uplink,
		.method = "GET",
		.path = path,
		.timeout_ms = ENVIRONMENT_MS};

	if (!intercept->fetch)
		intercept->fetch = fetch_start(&config, on_environment, intercept);
}

static json_object *describe(struct intercept *intercept)
{
	json_object *result = intercept_object_describe(intercept->object);
	const char *uid = intercept->target.ports[0].service_uid;

	json_put_string(result, "service_uid", *uid ? uid : NULL);
	if (intercept->to_pod)
		json_object_object_add(result, "to_pod", to_pod_describe(intercept->to_pod));
	if (intercept->environment) {
		intercept_add_environment(intercept->environment, result, &intercept->target);
		json_object_object_add(
			result, "environment", json_object_get(intercept->environment));
	}
	return result;
}

void intercept_check_ready(struct intercept *intercept)
{
	if (intercept->told || intercept->state != INTERCEPT_FOLLOW ||
		strcmp(json_text_or(intercept->object, "status.state", ""), "ACTIVE") != 0 ||
		!reverse_is_ready(intercept->set->reverse))
		return;
	if (intercept->args.environment && !intercept->environment) {
		fetch_environment(intercept);
		return;
	}
	(void)uv_timer_stop(&intercept->timer);
	log_info("intercept active", "name=%s namespace=%s", intercept->args.name,
		intercept->args.namespace);
	intercept_tell(intercept, 0, describe(intercept), NULL, NULL);
}

static void say(struct intercept *intercept, const char *line)
{
	struct intercept_wait *wait = NULL;

	if (strcmp(intercept->progress, line) == 0)
		return;
	(void)snprintf(intercept->progress, sizeof(intercept->progress), "%s", line);
	DL_FOREACH (intercept->waits, wait) {
		if (!wait->for_end && wait->on_progress)
			wait->on_progress(wait->user, line);
	}
}

static void fail_by_status(struct intercept *intercept)
{
	static const struct {
		const char *reason;
		int code;
		enum err_kind kind;
	} reasons[] = {
		{"Conflict", -EEXIST, ERR_CONFLICT},
		{"NotOwner", -EACCES, ERR_PERMISSION},
		{"NoSession", -EHOSTUNREACH, ERR_UNREACHABLE},
		{"Workload", -ENOENT, ERR_NOT_FOUND},
		{"NoWorkload", -ENOENT, ERR_NOT_FOUND},
		{"NoPods", -ENOENT, ERR_NOT_FOUND},
	};
	const char *reason = json_text_or(intercept->object, "status.reason", "");
	const char *message = json_text_or(intercept->object, "status.message", reason);
	struct err err = ERR_INIT;

	err_set(&err, -EOPNOTSUPP, ERR_UNSUPPORTED, "%.400s", message);
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (strcmp(reason, reasons[i].reason) != 0)
			continue;
		err.code = reasons[i].code;
		err.kind = reasons[i].kind;
	}
	if (err.kind != ERR_CONFLICT)
		err_wrap(&err, err.code, "Failed to establish intercept");
	intercept_fail(intercept, &err, NULL);
}

static void on_silence(uv_timer_t *timer)
{
	struct intercept *intercept = timer->data;
	const char *message = json_text_or(intercept->object, "status.message", "");
	bool noticed = json_text(intercept->object, "status.state");
	struct err err = ERR_INIT;

	if (!noticed)
		err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE,
			"the traffic-manager takes no notice of the intercept");
	else
		err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE,
			"request timed out while waiting for agent %s.%s to arrive%s%.300s",
			intercept->target.workload, intercept->args.namespace, *message ? ": " : "",
			message);
	intercept_fail(intercept, &err,
		noticed ? NULL : "See whether it runs: kubectl get pods -A -l app=traffic-manager");
}

/* Nothing of ours is slow: what is said of the pods that do not come may change all the time. */
static bool has_no_pods(json_object *object)
{
	return strcmp(json_text_or(object, "status.reason", ""), "NoPods") == 0;
}

static void take_object(struct intercept *intercept, json_object *object)
{
	const char *state = json_text_or(object, "status.state", "");
	bool same = has_no_pods(intercept->object) && has_no_pods(object);
	char line[sizeof(intercept->progress)];

	json_object_put(intercept->object);
	intercept->object = json_object_get(object);
	if (intercept->told)
		return;
	if (!same)
		(void)uv_timer_start(
			&intercept->timer, on_silence, *state ? SILENCE_MS : NOTICE_MS, 0);
	if (strcmp(state, "ERROR") == 0) {
		fail_by_status(intercept);
		return;
	}
	intercept_object_progress(object, line, sizeof(line));
	say(intercept, line);
	intercept_check_ready(intercept);
}

/* Did it go with its Session? Then it is made again with the next one. */
static void on_session(void *user, int r, int status UNUSED, json_object *body UNUSED,
	const struct err *err UNUSED)
{
	struct intercept *intercept = user;
	struct err gone = ERR_INIT;

	intercept->request = NULL;
	if (r == -ENOENT) {
		log_info("intercept waits for a new session", "name=%s", intercept->args.name);
		return;
	}
	err_set(&gone, -ENOENT, ERR_CONFLICT, "the intercept was deleted in the cluster");
	intercept_fail(intercept, &gone, NULL);
}

static void on_object_gone(struct intercept *intercept)
{
	struct intercepts *set = intercept->set;
	auto_free char *path =
		kube_path(INTERCEPT_API, "sessions", set->config.manager_namespace, set->session);
	const struct kube_request_config config = {.method = "GET", .path = path};

	log_info("intercept's object is gone", "name=%s", intercept->args.name);
	intercept_halt(intercept);
	free(TAKE_PTR(intercept->uid));
	intercept->state = INTERCEPT_LOST;
	kube_request(set->config.client, &config, on_session, intercept, &intercept->request);
}

static void on_event(void *user, enum kube_event event, json_object *object)
{
	struct intercept *intercept = user;

	/* The name may have been another object's before. */
	if (strcmp(json_text_or(object, "metadata.uid", ""), intercept->uid) != 0)
		return;
	if (event == KUBE_DELETED)
		on_object_gone(intercept);
	else
		take_object(intercept, object);
}

static void on_watch_error(void *user, const struct err *err)
{
	struct intercept *intercept = user;

	log_warn("intercept is not seen", "name=%s error=%s", intercept->args.name, err->msg);
	if (!intercept->told && err->kind == ERR_PERMISSION)
		intercept_fail(intercept, err, NULL);
}

void intercept_follow(struct intercept *intercept, json_object *object)
{
	static const struct kube_watch_events events = {
		.on_event = on_event, .on_error = on_watch_error};
	auto_free char *collection =
		kube_path(INTERCEPT_API, INTERCEPT_PLURAL, intercept->args.namespace, NULL);
	auto_free char *path = xasprintf(
		"%s?fieldSelector=metadata.name%%3D%s", collection, intercept->object_name);

	intercept->state = INTERCEPT_FOLLOW;
	if (intercept->to_pod)
		to_pod_open(intercept->to_pod, intercept->uid);
	intercept->tries = 0;
	intercept->watch =
		kube_watch_start(intercept->set->config.client, path, &events, intercept);
	take_object(intercept, object);
}

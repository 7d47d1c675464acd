/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/client/intercept_ask.h - asking a rig for intercepts, and what it then sees
 */
#ifndef TESTS_INTERCEPT_ASK_H
#define TESTS_INTERCEPT_ASK_H

#include "client/intercept_rig.h"

#define DEADLINE_MS 20000

#define DEPLOYMENT \
	"{\"metadata\":{\"name\":\"web\"},\"spec\":{\"template\":{\"metadata\":{\"labels\":{}}," \
	"\"spec\":{\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80}]}]}}}}"
#define OBJECT(uid, status) \
	"{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"" uid \
	"\",\"resourceVersion\":\"5\"},\"spec\":{\"name\":\"web\",\"ports\":[{}]},\"status\":" \
	"{" status "}}"
#define LIST(items) "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[" items "]}"
#define HELD(owner, host, session) \
	"{\"metadata\":{\"name\":\"web\",\"uid\":\"old\"},\"spec\":{\"owner\":\"" owner \
	"\",\"host\":\"" host "\",\"session\":\"s-old\",\"sessionUID\":\"" session "\"}}"
#define ERROR   "\"state\":\"ERROR\",\"reason\":\"Conflict\",\"message\":\"Conflicts with x\""
#define WAITING "\"state\":\"WAITING\",\"pods\":[{\"state\":\"ACTIVE\"},{\"state\":\"WAITING\"}]"

#define CREATE "POST /apis/telepresence.io/v1alpha1/namespaces/shop/intercepts "
#define FETCH  "GET /apis/telepresence.io/v1alpha1/namespaces/shop/intercepts/web "
#define REMOVE "DELETE /apis/telepresence.io/v1alpha1/namespaces/shop/intercepts/web "
#define FOLLOW "GET /apis/telepresence.io/v1alpha1/namespaces/shop/intercepts?"

static inline int ask_at(struct rig *rig, const char *name, const char *port, const char *address,
	struct answer *answer, struct err *err)
{
	json_object *request = json_object_new_object(), *ports = json_object_new_array();
	struct intercept_args args;
	int r;

	memset(answer, 0, sizeof(*answer));
	answer->wait = (struct intercept_wait){
		.on_progress = on_progress, .on_done = on_done, .user = answer};
	json_object_object_add(request, "name", json_object_new_string(name));
	json_object_object_add(request, "workload", json_object_new_string("web"));
	json_object_array_add(ports, json_object_new_string(port));
	json_object_object_add(request, "ports", ports);
	if (address)
		json_object_object_add(request, "address", json_object_new_string(address));
	assert_int_equal(intercept_args_parse(request, "shop", &args, NULL), 0);
	json_object_put(request);
	r = intercepts_add(rig->set, &args, &answer->wait, err);
	intercept_args_done(&args);
	return r;
}

static inline int ask(
	struct rig *rig, const char *name, const char *port, struct answer *answer, struct err *err)
{
	return ask_at(rig, name, port, NULL, answer, err);
}

static inline void on_late(uv_timer_t *timer)
{
	struct rig *rig = timer->data;

	rig->late = true;
}

static inline bool is_done(const struct rig *rig, const void *arg)
{
	const struct answer *answer = arg;

	(void)rig;
	return answer->done;
}

static inline bool is_logged(const struct rig *rig, const void *arg)
{
	return strcmp(rig->log, arg) == 0;
}

static inline bool is_served(const struct rig *rig, const void *arg)
{
	const char *address;

	return intercepts_find_target(rig->set, arg, &address) != NULL;
}

static inline bool is_gone(const struct rig *rig, const void *arg)
{
	return !intercepts_has(rig->set, arg);
}

static inline void run_until(
	struct rig *rig, bool (*met)(const struct rig *rig, const void *arg), const void *arg)
{
	(void)uv_timer_start(&rig->deadline, on_late, DEADLINE_MS, 0);
	while (!met(rig, arg) && !rig->late)
		uv_run(&rig->loop, UV_RUN_ONCE);
	(void)uv_timer_stop(&rig->deadline);
	assert_false(rig->late);
}

#endif /* TESTS_INTERCEPT_ASK_H */

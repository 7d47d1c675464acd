/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/intercepts.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <utlist.h>

#include "client/userd/intercept_follow.h"
#include "client/userd/intercept_local.h"
#include "client/userd/intercept_priv.h"
#include "client/userd/kinds.h"
#include "client/userd/proto.h"
#include "client/userd/reverse.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "tunnel/reason.h"
#include "tunnel/reply.h"

/* At the end: most requests are over in this time, and who disconnects does not notice it. */
#define DRAIN_STEP_MS 10
#define DRAIN_STEPS   20
/* What the last stream said has left this process by then. */
#define QUIET_STEPS 2

static void on_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct intercepts *set = user;

	if (set->stopping)
		reply_reason(stream, REASON_NO_CLIENT);
	else
		intercept_serve(&set->serve, set, stream, head);
}

static void on_reverse_ready(void *user)
{
	struct intercepts *set = user;
	struct intercept *intercept = NULL, *next = NULL;

	DL_FOREACH_SAFE (set->list, intercept, next)
		intercept_check_ready(intercept);
}

struct intercepts *intercepts_new(const struct intercepts_config *config)
{
	struct intercepts *set = XNEW(struct intercepts);
	const struct reverse_config reverse = {.loop = config->loop,
		.client = config->client,
		.manager_namespace = config->manager_namespace,
		.carrier_kind = config->carrier_kind,
		.key = config->key,
		.on_stream = on_stream,
		.on_ready = on_reverse_ready,
		.user = set};
	struct utsname uts = {.nodename = ""};

	(void)uname(&uts);
	(void)memccpy(set->host, uts.nodename, '\0', sizeof(set->host) - 1);
	set->config = *config;
	set->reverse = reverse_new(&reverse);
	intercept_serve_init(&set->serve, config);
	(void)uv_timer_init(config->loop, &set->drain);
	set->drain.data = set;
	return set;
}

static void on_drain_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void intercepts_free(struct intercepts *set)
{
	struct intercept *intercept = NULL, *next = NULL;

	if (!set)
		return;
	reverse_free(set->reverse);
	DL_FOREACH_SAFE (set->list, intercept, next) {
		DL_DELETE(set->list, intercept);
		intercept_free(intercept);
	}
	free(set->owner);
	free(set->session);
	free(set->session_uid);
	uv_close((uv_handle_t *)&set->drain, on_drain_closed);
}

void intercepts_session(
	struct intercepts *set, const char *owner, const char *name, const char *uid)
{
	bool same = set->session_uid && strcmp(set->session_uid, uid) == 0;
	struct intercept *intercept = NULL, *next = NULL;

	reverse_session(set->reverse, uid);
	if (same)
		return;
	free(set->owner);
	free(set->session);
	free(set->session_uid);
	set->owner = xstrdup(owner);
	set->session = xstrdup(name);
	set->session_uid = xstrdup(uid);
	DL_FOREACH_SAFE (set->list, intercept, next)
		intercept_renew(intercept);
}

static void check_stopped(struct intercepts *set)
{
	void (*on_stopped)(void *user);

	if (set->list || uv_is_active((uv_handle_t *)&set->drain))
		return;
	on_stopped = TAKE_PTR(set->on_stopped);
	if (on_stopped)
		on_stopped(set->user);
}

static void on_drain(uv_timer_t *timer)
{
	struct intercepts *set = timer->data;

	set->quiet_steps = reverse_streams(set->reverse) == 0 ? set->quiet_steps + 1 : 0;
	if (++set->drain_steps < DRAIN_STEPS && set->quiet_steps < QUIET_STEPS)
		return;
	(void)uv_timer_stop(timer);
	reverse_session(set->reverse, NULL);
	check_stopped(set);
}

void intercepts_check(struct intercepts *set)
{
	reverse_check(set->reverse);
}

bool intercepts_stop(struct intercepts *set, void (*on_stopped)(void *user), void *user)
{
	struct intercept *intercept = NULL, *next = NULL;

	set->stopping = true;
	DL_FOREACH_SAFE (set->list, intercept, next)
		intercept_end(intercept);
	if (!reverse_is_ready(set->reverse))
		reverse_session(set->reverse, NULL);
	else
		(void)uv_timer_start(&set->drain, on_drain, DRAIN_STEP_MS, DRAIN_STEP_MS);
	if (!set->list && !uv_is_active((uv_handle_t *)&set->drain))
		return false;
	set->on_stopped = on_stopped;
	set->user = user;
	return true;
}

void intercepts_gone(struct intercept *intercept)
{
	struct intercepts *set = intercept->set;
	struct intercept_wait *wait = NULL;

	log_info("intercept ended", "name=%s namespace=%s", intercept->args.name,
		intercept->args.namespace);
	DL_DELETE(set->list, intercept);
	while ((wait = intercept->waits)) {
		DL_DELETE(intercept->waits, wait);
		wait->intercept = NULL;
		wait->on_done(wait->user, 0, NULL, NULL, NULL);
	}
	intercept_free(intercept);
	check_stopped(set);
}

static struct intercept *find(const struct intercepts *set, const char *name)
{
	struct intercept *intercept = NULL;

	DL_FOREACH (set->list, intercept) {
		if (strcmp(intercept->args.name, name) == 0)
			return intercept;
	}
	return NULL;
}

bool intercepts_has(const struct intercepts *set, const char *name)
{
	return find(set, name) != NULL;
}

static void add_wait(struct intercept *intercept, struct intercept_wait *wait)
{
	wait->intercept = intercept;
	DL_APPEND(intercept->waits, wait);
}

/* Of an address; a name's are looked at with each connection. */
static int leads_back(
	const struct intercepts *set, const struct intercept_args *args, struct err *err)
{
	const struct intercepts_config *config = &set->config;
	struct ip_addr addr;

	if (!config->leads_back || !args->address || ip_addr_parse(args->address, &addr) < 0 ||
		!config->leads_back(config->user, &addr))
		return 0;
	return err_set(err, -EINVAL, ERR_USAGE,
		"--address %s is in the cluster: connections that are sent there would come back",
		args->address);
}

int intercepts_add(struct intercepts *set, struct intercept_args *args, struct intercept_wait *wait,
	struct err *err)
{
	struct intercept *intercept = NULL, *each = NULL;
	unsigned int count = 0;
	int r;

	if (find(set, args->name))
		return err_set(err, -EEXIST, ERR_CONFLICT,
			"Intercept with name \"%s\" already exists", args->name);
	if (!args->local_only &&
		workload_namespace_is_system(args->namespace, set->config.manager_namespace))
		return err_set(err, -EPERM, ERR_UNSUPPORTED,
			"nothing in namespace %s is intercepted: it is the cluster's own",
			args->namespace);
	if (leads_back(set, args, err) < 0)
		return err->code;
	DL_COUNT(set->list, each, count);
	if (count >= INTERCEPTS_MAX)
		return err_set(err, -EBUSY, ERR_CONFLICT, "there are %u intercepts already", count);
	intercept = XNEW(struct intercept);
	intercept->set = set;
	intercept->args = *args;
	*args = (struct intercept_args){.name = NULL};
	intercept->object_name = xstrdup(intercept->args.name);
	(void)uv_timer_init(set->config.loop, &intercept->timer);
	intercept->timer.data = intercept;
	r = intercept_open_ports(intercept, err);
	if (r < 0) {
		intercept_free(intercept);
		return r;
	}
	DL_APPEND(set->list, intercept);
	add_wait(intercept, wait);
	if (intercept->args.local_only) {
		intercept_local_start(intercept);
		return 0;
	}
	reverse_want(set->reverse);
	intercept_start(intercept);
	return 0;
}

static int not_found(const char *name, struct err *err)
{
	return err_set(err, -ENOENT, ERR_NOT_FOUND, "Intercept named \"%s\" not found", name);
}

int intercepts_hold(
	struct intercepts *set, const char *name, struct intercept_wait *wait, struct err *err)
{
	struct intercept *intercept = find(set, name);

	if (!intercept)
		return not_found(name, err);
	wait->for_end = true;
	add_wait(intercept, wait);
	return 0;
}

int intercepts_leave(
	struct intercepts *set, const char *name, struct intercept_wait *wait, struct err *err)
{
	int r = intercepts_hold(set, name, wait, err);

	if (r == 0)
		intercept_end(wait->intercept);
	return r;
}

void intercept_wait_cancel(struct intercept_wait *wait, bool end)
{
	struct intercept *intercept = TAKE_PTR(wait->intercept);

	if (!intercept)
		return;
	DL_DELETE(intercept->waits, wait);
	if (end)
		intercept_end(intercept);
}

const struct intercept_target *intercepts_find_target(
	const struct intercepts *set, const char *uid, const char **ret_address)
{
	const struct intercept *intercept = NULL;

	DL_FOREACH (set->list, intercept) {
		if (intercept->state != INTERCEPT_FOLLOW || strcmp(intercept->uid, uid) != 0)
			continue;
		*ret_address = intercept->args.address;
		return &intercept->target;
	}
	return NULL;
}

static json_object *describe(const struct intercept *intercept)
{
	json_object *entry;

	if (intercept->args.local_only)
		return intercept_local_describe(intercept);
	entry = intercept_object_describe(intercept->object);
	if (intercept->to_pod)
		json_object_object_add(entry, "to_pod", to_pod_describe(intercept->to_pod));
	if (intercept->state != INTERCEPT_FOLLOW) {
		json_put_string(entry, "disposition", "WAITING");
		json_put_string(entry, "message",
			intercept->state == INTERCEPT_END ? "it is being removed"
							  : "the session is being restored");
	}
	return entry;
}

json_object *intercepts_describe(const struct intercepts *set, bool local)
{
	json_object *array = json_object_new_array();
	const struct intercept *intercept = NULL;

	DL_FOREACH (set->list, intercept) {
		bool known = intercept->told || intercept->state == INTERCEPT_FOLLOW;

		if (known && (intercept->args.local_only || !local))
			json_object_array_add(array, describe(intercept));
	}
	return array;
}

void intercepts_namespaces_changed(struct intercepts *set)
{
	if (set->config.on_namespaces && !set->stopping)
		set->config.on_namespaces(set->config.user);
}

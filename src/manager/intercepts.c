/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/intercepts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "cluster/watch.h"
#include "core/alloc.h"
#include "core/log.h"
#include "manager/intercept_follow.h"
#include "manager/intercept_member.h"
#include "manager/intercept_seat.h"
#include "manager/intercept_target.h"
#include "manager/pods.h"
#include "manager/retire.h"
#include "manager/sessions.h"
#include "tunnel/identity.h"

/* How precise deadlines are. */
#define SWEEP_MS 100
/* What an object says of itself is kept this long after a start: its agents come back meanwhile. */
#define HOLD_MS 6000
/* Counters alone are written this often at most. */
#define COUNTS_MS 2000

uint64_t intercepts_now(const struct intercepts *set)
{
	return uv_now(set->loop);
}

static struct intercept *find(const struct intercepts *set, const char *uid)
{
	struct intercept *intercept = NULL;

	HASH_FIND_STR(set->table, uid, intercept);
	return intercept;
}

static void on_sweep(uv_timer_t *timer);

static void on_judge(uv_timer_t *timer)
{
	struct intercepts *set = timer->data;
	struct intercept *intercept = NULL, *next = NULL;

	HASH_ITER (hh, set->table, intercept, next) {
		if (intercept->dirty)
			intercept_judge(intercept);
	}
	if (!uv_is_active((uv_handle_t *)&set->sweep))
		(void)uv_timer_start(&set->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

void intercept_dirty(struct intercept *intercept)
{
	struct intercepts *set = intercept->set;

	intercept->dirty = true;
	if (!uv_is_active((uv_handle_t *)&set->judge) && !uv_is_closing((uv_handle_t *)&set->judge))
		(void)uv_timer_start(&set->judge, on_judge, 0, 0);
}

void intercepts_dirty(struct intercepts *set)
{
	for (struct intercept *intercept = set->table; intercept; intercept = intercept->hh.next)
		intercept_dirty(intercept);
}

static void sweep_intercept(struct intercept *intercept, uint64_t now)
{
	struct member *member = NULL, *next = NULL;
	bool waiting = intercept->state == INTERCEPT_WAITING || intercept->hold_ms > now;

	DL_FOREACH_SAFE (intercept->members, member, next)
		member_sweep(member);
	service_sweep(intercept);
	if (intercept->counted && now - intercept->written_ms >= COUNTS_MS)
		intercept_write(intercept);
	/* What waits for time alone. */
	if (intercept->state == INTERCEPT_ERROR || waiting || !intercept->session_seen)
		intercept_dirty(intercept);
}

static void on_sweep(uv_timer_t *timer)
{
	struct intercepts *set = timer->data;
	struct intercept *intercept = NULL, *next = NULL;
	struct seat *seat = NULL, *next_seat = NULL;
	uint64_t now = intercepts_now(set);

	HASH_ITER (hh, set->table, intercept, next)
		sweep_intercept(intercept, now);
	HASH_ITER (hh, set->seats, seat, next_seat) {
		if (seat->deadline_ms > 0 && now >= seat->deadline_ms)
			seat_step(seat);
	}
	targets_reap(set);
	if (!set->table && !set->targets)
		(void)uv_timer_stop(timer);
}

static void forget(struct intercept *intercept)
{
	intercept_leave(intercept);
	follow_stop(intercept);
	if (intercept->target)
		intercept->target->users--;
	HASH_DEL(intercept->set->table, intercept);
	kube_request_cancel(intercept->write);
	kube_request_cancel(intercept->removal);
	intercept_spec_free(intercept->spec);
	json_object_put(intercept->fallbacks);
	free(intercept->written);
	free(intercept);
}

/* What the object says of the time before this process. */
static void recall(struct intercept *intercept, json_object *object)
{
	json_object *fallbacks = json_path(object, "status.fallbacks");

	intercept->connections = json_int(object, "status.connections", 0);
	if (json_object_is_type(fallbacks, json_type_object))
		(void)json_object_deep_copy(fallbacks, &intercept->fallbacks, NULL);
	if (!intercept->fallbacks)
		intercept->fallbacks = json_object_new_object();
	if (strcmp(json_text_or(object, "status.state", ""), "ACTIVE") != 0)
		return;
	intercept->state = INTERCEPT_ACTIVE;
	intercept->reason = "Active";
	intercept->activated = true;
	intercept->hold_ms = intercepts_now(intercept->set) + HOLD_MS;
	(void)snprintf(intercept->since, sizeof(intercept->since), "%s",
		json_text_or(object, "status.since", ""));
}

static void on_seen(struct intercepts *set, json_object *object)
{
	struct intercept *intercept = find(set, json_text_or(object, "metadata.uid", ""));
	struct intercept_spec *spec = NULL;
	struct err err = ERR_INIT;

	/* Specs are immutable; the status is what we wrote. */
	if (intercept)
		return;
	if (intercept_parse(object, &spec, &err) < 0) {
		log_warn("intercept ignored", "name=%s error=%s",
			json_text_or(object, "metadata.name", ""), err.msg);
		return;
	}
	intercept = XNEW(struct intercept);
	intercept->set = set;
	intercept->spec = spec;
	intercept->reason = "Starting";
	intercept->seen_ms = intercepts_now(set);
	intercept->foreign = *spec->manager && strcmp(spec->manager, set->namespace) != 0;
	recall(intercept, object);
	HASH_ADD_KEYPTR(hh, set->table, spec->uid, strlen(spec->uid), intercept);
	follow_start(intercept);
	intercepts_dirty(set);
}

static void on_event(void *user, enum kube_event event, json_object *object)
{
	struct intercepts *set = user;
	struct intercept *intercept = NULL;

	/* A finalizer of somebody may keep the object; its end was asked for. */
	if (event != KUBE_DELETED && !json_path(object, "metadata.deletionTimestamp")) {
		on_seen(set, object);
		return;
	}
	intercept = find(set, json_text_or(object, "metadata.uid", ""));
	if (!intercept)
		return;
	log_info("intercept ended", "name=%s/%s owner=%s", intercept->spec->namespace,
		intercept->spec->object, intercept->spec->owner);
	forget(intercept);
	intercepts_dirty(set);
}

static void on_synced(void *user)
{
	struct intercepts *set = user;

	set->synced = true;
}

static void on_error(void *user, const struct err *err)
{
	struct intercepts *set = user;

	if (err->kind == ERR_UNREACHABLE)
		set->away_ms = intercepts_now(set);
	log_warn("watch of intercepts failed", "error=%s", err->msg);
}

static void on_session(void *user, const char *uid)
{
	struct intercepts *set = user;

	for (struct intercept *intercept = set->table; intercept; intercept = intercept->hh.next) {
		if (strcmp(intercept->spec->session_uid, uid) == 0)
			intercept_dirty(intercept);
	}
}

static void on_connected(void *user, const char *uid, const char *agent, const char *container)
{
	struct seat *seat = seat_find(user, uid);

	if (!seat)
		return;
	(void)snprintf(seat->agent, sizeof(seat->agent), "%s", agent);
	(void)snprintf(seat->container, sizeof(seat->container), "%s", container);
	seat_step(seat);
}

static void on_lost(void *user, const char *uid)
{
	struct seat *seat = seat_find(user, uid);

	if (seat)
		seat_lost(seat);
}

static void on_unproven(void *user, const char *uid)
{
	struct seat *seat = seat_find(user, uid);

	if (seat)
		seat_unproven(seat);
}

static void on_state(void *user, const char *uid, int r, const char *message)
{
	struct seat *seat = seat_find(user, uid);

	for (struct member *member = seat ? seat->members : NULL; member;
		member = member->seat_next)
		member_ruled(member, r, message);
}

static void on_count(void *user, const char *uid, const char *intercept_uid, json_object *count)
{
	struct intercepts *set = user;
	struct intercept *intercept = find(set, intercept_uid);
	struct seat *seat = seat_find(set, uid);
	struct member *member = intercept && seat ? member_find(intercept, seat) : NULL;

	if (member)
		member_count(member, count);
}

static const char *session_of(void *user, const char *uid)
{
	const struct intercept *intercept = find(user, uid);

	return intercept ? intercept->spec->session_uid : NULL;
}

static const struct agents_events agents_events = {
	.on_connected = on_connected,
	.on_lost = on_lost,
	.on_unproven = on_unproven,
	.on_state = on_state,
	.on_count = on_count,
	.session_of = session_of,
};

int intercepts_new(uv_loop_t *loop, struct kube_client *client, struct sessions *sessions,
	struct identity *identity, const struct intercepts_config *config,
	struct intercepts **ret_set, struct err *err)
{
	static const struct kube_watch_events watch_events = {
		.on_event = on_event, .on_synced = on_synced, .on_error = on_error};
	struct intercepts *set = XNEW(struct intercepts);
	char pin[IDENTITY_PIN_TEXT];
	const struct placer_config placer = {.namespace = config->namespace,
		.pod = config->pod,
		.own = config->own_count ? config->own[0] : (struct ip_addr){.family = 0},
		.agent_port = config->agent_port,
		.pin = pin,
		.on_image = config->on_image,
		.user = config->user};
	int r = agents_new(loop, config->agent_port, identity, sessions, &agents_events, set,
		&set->agents, err);

	if (r < 0) {
		free(set);
		return r;
	}
	agents_set_idle(set->agents, config->agent_idle_s);
	set->loop = loop;
	set->began_ms = uv_now(loop);
	set->client = client;
	set->sessions = sessions;
	set->namespace = xstrdup(config->namespace);
	for (size_t i = 0; i < config->own_count; i++) {
		set->has_ipv4 |= config->own[i].family == AF_INET;
		set->has_ipv6 |= config->own[i].family == AF_INET6;
	}
	identity_pin_text(identity, pin);
	if (config->pod)
		set->placer = placer_new(loop, client, &placer);
	(void)uv_timer_init(loop, &set->judge);
	(void)uv_timer_init(loop, &set->sweep);
	set->judge.data = set->sweep.data = set;
	sessions_observe(sessions, on_session, set);
	set->watch = kube_watch_start(
		client, "/apis/telepresence.io/v1alpha1/intercepts", &watch_events, set);
	*ret_set = set;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct intercepts *set = handle->data;

	if (--set->open_handles == 0) {
		free(set->namespace);
		free(set);
	}
}

void intercepts_free(struct intercepts *set)
{
	struct intercept *intercept = NULL, *next = NULL;
	struct target *target = NULL, *next_target = NULL;

	if (!set)
		return;
	retire_end_all(set);
	sessions_observe(set->sessions, NULL, NULL);
	kube_watch_stop(set->watch);
	set->open_handles = 2;
	uv_close((uv_handle_t *)&set->judge, on_closed);
	uv_close((uv_handle_t *)&set->sweep, on_closed);
	set->leader = false;
	HASH_ITER (hh, set->table, intercept, next)
		forget(intercept);
	HASH_ITER (hh, set->targets, target, next_target)
		target_close(target);
	placer_free(set->placer);
	agents_free(set->agents);
}

void intercepts_lead(struct intercepts *set, bool leader)
{
	struct seat *seat = NULL, *next = NULL;

	if (leader && !set->leader)
		set->leads_ms = intercepts_now(set);
	set->leader = leader;
	HASH_ITER (hh, set->seats, seat, next)
		seat_step(seat);
	intercepts_dirty(set);
}

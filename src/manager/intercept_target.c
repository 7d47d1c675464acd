/* SPDX-License-Identifier: Apache-2.0 */
/* The pods of a workload, for all intercepts of it. */
#include <string.h>

#include "core/alloc.h"
#include "manager/intercept_seat.h"
#include "manager/intercept_target.h"
#include "manager/pods.h"

static bool target_connected(const struct target *target)
{
	for (const struct seat *seat = target->set->seats; seat; seat = seat->hh.next) {
		if (workload_has(target->workload, seat->uid) && seat->state == SEAT_CONNECTED)
			return true;
	}
	return false;
}

void target_close(struct target *target)
{
	struct intercepts *set = target->set;
	struct seat *seat = NULL, *next = NULL;

	HASH_ITER (hh, set->seats, seat, next) {
		if (workload_has(target->workload, seat->uid))
			seat_drop(seat, false);
	}
	workload_close(target->workload);
	HASH_DEL(set->targets, target);
	free(target->key);
	free(target->name);
	free(target);
}

/* Idle agents are followed as long as they stay: their pods are known when they are wanted again.
 */
void targets_reap(struct intercepts *set)
{
	struct target *target = NULL, *next = NULL;

	HASH_ITER (hh, set->targets, target, next) {
		if (target->users == 0 && !target_connected(target))
			target_close(target);
	}
}

static void on_target_pod(void *user, json_object *pod, bool gone)
{
	struct target *target = user;
	struct seat *seat = seat_find(target->set, pod_uid(pod));
	bool known = seat && workload_has(target->workload, pod_uid(pod));

	if (gone) {
		if (seat)
			seat_drop(seat, false);
	} else {
		seat_on_pod(target->set, pod, !known);
	}
	intercepts_dirty(target->set);
}

static void on_target_change(void *user)
{
	struct target *target = user;

	intercepts_dirty(target->set);
}

void intercept_seek(struct intercept *intercept)
{
	static const struct workload_events events = {
		.on_pod = on_target_pod, .on_change = on_target_change};
	const struct intercept_spec *spec = intercept->spec;
	struct intercepts *set = intercept->set;
	auto_free char *key = NULL;
	struct target *target = NULL;

	if (intercept->target)
		return;
	key = xasprintf("%s/%s/%s", spec->namespace, spec->kind, spec->workload);
	HASH_FIND_STR(set->targets, key, target);
	if (!target) {
		target = XNEW(struct target);
		target->set = set;
		target->key = TAKE_PTR(key);
		target->name = xstrdup(spec->workload);
		HASH_ADD_KEYPTR(hh, set->targets, target->key, strlen(target->key), target);
		target->workload = workload_open(
			set->client, spec->namespace, spec->kind, spec->workload, &events, target);
	}
	target->users++;
	intercept->target = target;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an intercept is, from all that is known: may it be, where are its pods, how far are they.
 *
 * Before its first ACTIVE one failing pod fails the intercept, and the failure stays for a while so
 * that it is seen. After it the intercept is ACTIVE while one pod is: new pods join when they are
 * ready, and a pod that fails is shown with its reason.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/alloc.h"
#include "core/log.h"
#include "core/utc.h"
#include "manager/intercept_absent.h"
#include "manager/intercept_follow.h"
#include "manager/intercept_member.h"
#include "manager/intercept_seat.h"
#include "manager/intercept_target.h"
#include "manager/pods.h"
#include "manager/sessions.h"

/* A Session and its Intercept come by two watches. */
#define SESSION_MS 3000
/* Objects of Sessions that never came. */
#define ORPHAN_MS 60000
/* A workload that wants no pods is waited for this long. */
#define ABSENT_MS 10000
/* A failure is shown this long before all is tried again. */
#define FAILURE_MS 30000

struct verdict {
	enum intercept_state state;
	const char *reason;
	struct err why; /* message, also while it waits */
};

static void say(struct verdict *verdict, enum intercept_state state, const char *reason,
	const char *fmt, ...) PRINTF(4, 5);

static void say(struct verdict *verdict, enum intercept_state state, const char *reason,
	const char *fmt, ...)
{
	va_list args;

	verdict->state = state;
	verdict->reason = reason;
	va_start(args, fmt);
	(void)vsnprintf(verdict->why.msg, sizeof(verdict->why.msg), fmt, args);
	va_end(args);
}

void intercept_leave(struct intercept *intercept)
{
	service_reset(intercept);
	while (intercept->members)
		member_leave(intercept->members, true);
}

/* False: nothing is done for it now. */
static bool judge_session(struct intercept *intercept, struct verdict *verdict)
{
	struct intercepts *set = intercept->set;
	const struct intercept_spec *spec = intercept->spec;
	const char *owner = sessions_owner(set->sessions, spec->session_uid);
	uint64_t age = intercepts_now(set) - intercept->seen_ms;

	if (owner && strcmp(owner, spec->owner) == 0) {
		intercept->session_seen = true;
		return true;
	}
	if (owner) {
		say(verdict, INTERCEPT_ERROR, "NotOwner", "the Session belongs to %.200s", owner);
		return false;
	}
	if (!sessions_synced(set->sessions) || (age < SESSION_MS && !intercept->session_seen)) {
		say(verdict, intercept->state, intercept->reason, "%s", intercept->message);
		return false;
	}
	say(verdict, INTERCEPT_ERROR, "NoSession", "its Session has ended");
	if (intercept->session_seen || age >= ORPHAN_MS)
		intercept_remove(intercept);
	return false;
}

static bool claims(const struct intercept *intercept)
{
	return intercept->foreign || intercept->session_seen;
}

static const struct intercept *conflicting(const struct intercept *intercept)
{
	const struct intercept *other = NULL;

	for (other = intercept->set->table; other; other = other->hh.next) {
		if (other == intercept || !claims(other) ||
			strcmp(other->spec->namespace, intercept->spec->namespace) != 0 ||
			!intercept_shares_port(other->spec, intercept->spec) ||
			!intercept_precedes(other->spec, other->activated, intercept->spec,
				intercept->activated))
			continue;
		if (strcmp(other->spec->workload, intercept->spec->workload) == 0 &&
			strcmp(other->spec->kind, intercept->spec->kind) == 0)
			return other;
		if (other->target && intercept->target &&
			workload_overlaps(intercept->target->workload, other->target->workload))
			return other;
	}
	return NULL;
}

static bool judge_workload(struct intercept *intercept, struct verdict *verdict)
{
	const struct workload *workload = intercept->target->workload;
	const char *problem = workload_problem(workload);
	char kind[INTERCEPT_KIND_BYTES];

	/* A watch that fails after it worked goes on with what it knows. */
	if (problem && !workload_synced(workload)) {
		say(verdict, INTERCEPT_ERROR, "Workload", "%s", problem);
		return false;
	}
	if (!workload_synced(workload)) {
		say(verdict, intercept->state, intercept->reason, "%s", intercept->message);
		return true;
	}
	if (!workload_exists(workload)) {
		intercept_kind_text(intercept->spec, kind);
		say(verdict, intercept->activated ? INTERCEPT_WAITING : INTERCEPT_ERROR,
			"NoWorkload", "there is no %s %s in namespace %s", kind,
			intercept->spec->workload, intercept->spec->namespace);
		return intercept->activated;
	}
	return true;
}

/* The pods of the target that the intercept is not in yet. */
static bool join_all(struct intercept *intercept, struct verdict *verdict)
{
	struct seat *seat = NULL, *next = NULL;
	struct err why = ERR_INIT;

	HASH_ITER (hh, intercept->set->seats, seat, next) {
		if (!workload_has(intercept->target->workload, seat->uid) ||
			member_find(intercept, seat) || !pod_alive(seat->pod))
			continue;
		if (pod_refusal(seat->pod, &why) < 0) {
			say(verdict, INTERCEPT_ERROR, "Refused", "%s", why.msg);
			return false;
		}
		member_join(intercept, seat);
	}
	return true;
}

struct tally {
	unsigned int ready, active;
	const char *failure; /* of a ready pod; NULL: none */
	const char *excuse; /* of a kubelet that one waits for; NULL: none */
};

static void count_members(const struct intercept *intercept, struct tally *tally)
{
	const struct member *member = NULL;

	DL_FOREACH (intercept->members, member) {
		const char *message = NULL;
		enum intercept_state state = member_shown(member, &message);

		if (!pod_ready(member->seat->pod))
			continue;
		tally->ready++;
		tally->active += state == INTERCEPT_ACTIVE;
		if (state == INTERCEPT_WAITING && member->seat->excuse)
			tally->excuse = member->seat->excuse;
		if (state == INTERCEPT_ERROR && !tally->failure)
			tally->failure = message;
	}
}

/* Somebody may be about to scale it. */
static void judge_absence(struct intercept *intercept, struct verdict *verdict)
{
	uint64_t now = intercepts_now(intercept->set);
	struct err why = ERR_INIT;
	bool is_final = intercept_absent(intercept, &why);

	if (!is_final)
		intercept->absent_ms = 0;
	else if (intercept->absent_ms == 0)
		intercept->absent_ms = now;
	is_final = is_final && !intercept->activated && now - intercept->absent_ms >= ABSENT_MS;
	say(verdict, is_final ? INTERCEPT_ERROR : INTERCEPT_WAITING, "NoPods", "%s", why.msg);
}

static void judge_first(
	struct intercept *intercept, const struct tally *tally, struct verdict *verdict)
{
	if (tally->failure) {
		say(verdict, INTERCEPT_ERROR, "AgentFailed", "%s", tally->failure);
	} else if (tally->ready == 0) {
		judge_absence(intercept, verdict);
	} else if (tally->active < tally->ready) {
		say(verdict, INTERCEPT_WAITING, "Agents", "Waiting for agents: %u of %u pods%s%s",
			tally->active, tally->ready, tally->excuse ? ": " : "",
			tally->excuse ? tally->excuse : "");
	} else {
		service_prove(intercept);
		if (intercept->service.state == SERVICE_FAILED)
			say(verdict, INTERCEPT_ERROR, "Service", "%s",
				intercept->service.problem.msg);
		else if (intercept->service.state == SERVICE_PROVEN)
			say(verdict, INTERCEPT_ACTIVE, "Active", "%s", "");
		else
			say(verdict, INTERCEPT_WAITING, "Service", "Proving Service %s",
				intercept->spec->service);
	}
}

static void judge_later(
	struct intercept *intercept, const struct tally *tally, struct verdict *verdict)
{
	struct err left = ERR_INIT;

	if (tally->active > 0 && tally->failure)
		say(verdict, INTERCEPT_ACTIVE, "Active", "%u of %u pods: %.400s", tally->active,
			tally->ready, tally->failure);
	else if (tally->active > 0 && follow_left(intercept, &left))
		say(verdict, INTERCEPT_ACTIVE, "Active", "%s", left.msg);
	else if (tally->active > 0)
		say(verdict, INTERCEPT_ACTIVE, "Active", "%s", "");
	else if (intercepts_now(intercept->set) < intercept->hold_ms)
		say(verdict, INTERCEPT_ACTIVE, "Active", "%s", intercept->message);
	else if (tally->ready == 0)
		judge_absence(intercept, verdict);
	else
		say(verdict, INTERCEPT_WAITING, "Agents",
			"Waiting for agents: 0 of %u pods%s%.400s", tally->ready,
			tally->failure ? ": " : "", tally->failure ? tally->failure : "");
}

static void judge_pods(struct intercept *intercept, struct verdict *verdict)
{
	struct tally tally = {.ready = 0};

	count_members(intercept, &tally);
	if (tally.ready > 0)
		intercept->absent_ms = 0;
	if (intercept->activated)
		judge_later(intercept, &tally, verdict);
	else
		judge_first(intercept, &tally, verdict);
	if (verdict->state == INTERCEPT_ACTIVE)
		intercept->activated = true;
}

/* Whether it is wanted at all; else the verdict says why not. */
static bool judge_right(struct intercept *intercept, struct verdict *verdict)
{
	const struct intercept *winner = NULL;
	struct err why = ERR_INIT;

	if (intercept_is_system(intercept->spec->namespace, intercept->set->namespace)) {
		say(verdict, INTERCEPT_ERROR, "Refused",
			"nothing is intercepted in the system namespace %s",
			intercept->spec->namespace);
		return false;
	}
	if (!judge_session(intercept, verdict))
		return false;
	intercept_seek(intercept);
	winner = conflicting(intercept);
	if (winner) {
		intercept_conflict(winner->spec, intercept->spec, &why);
		say(verdict, INTERCEPT_ERROR, "Conflict", "%s", why.msg);
		intercept->activated = false;
		return false;
	}
	return judge_workload(intercept, verdict);
}

static void judge_failure(struct intercept *intercept, struct verdict *verdict)
{
	bool latched = intercepts_now(intercept->set) < intercept->failure_until_ms;

	if (latched) {
		*verdict = (struct verdict){.state = INTERCEPT_ERROR,
			.reason = intercept->reason,
			.why = intercept->failure};
		return;
	}
	/* After a restart of this process: rules of former ports would be in the way of the present
	 * ones. What a new object says was read from the Service just now. */
	if (intercept->activated && !follow_known(intercept))
		return;
	if (!join_all(intercept, verdict))
		return;
	if (!workload_synced(intercept->target->workload))
		return;
	judge_pods(intercept, verdict);
	/* Where only pods are missing they are served as soon as they come. */
	if (verdict->state == INTERCEPT_ERROR && !intercept->activated &&
		intercept->absent_ms == 0) {
		intercept->failure = verdict->why;
		intercept->failure_until_ms = intercepts_now(intercept->set) + FAILURE_MS;
	}
}

static void take(struct intercept *intercept, const struct verdict *verdict)
{
	if (intercept->state != verdict->state || !intercept->since[0]) {
		(void)utc_format(time(NULL), intercept->since);
		log_info("intercept", "name=%s/%s owner=%s state=%s reason=%s message=%s",
			intercept->spec->namespace, intercept->spec->object, intercept->spec->owner,
			intercept_state_name(verdict->state), verdict->reason, verdict->why.msg);
	}
	intercept->state = verdict->state;
	intercept->reason = verdict->reason;
	memmove(intercept->message, verdict->why.msg, sizeof(intercept->message));
}

static bool any_active(const struct intercept *intercept)
{
	struct tally tally = {.ready = 0};

	count_members(intercept, &tally);
	return tally.active > 0;
}

void intercept_judge(struct intercept *intercept)
{
	struct verdict verdict = {.state = INTERCEPT_WAITING, .reason = "Starting"};
	bool right = false;

	intercept->dirty = false;
	if (intercept->foreign)
		return;
	say(&verdict, intercept->state, intercept->reason, "%s", intercept->message);
	right = judge_right(intercept, &verdict);
	if (right)
		judge_failure(intercept, &verdict);
	/* Nobody is redirected for an intercept that is not. */
	if (verdict.state == INTERCEPT_ERROR)
		intercept_leave(intercept);
	take(intercept, &verdict);
	/* The object says more than is known before the agents are back. */
	if (verdict.state != INTERCEPT_ACTIVE ||
		intercepts_now(intercept->set) >= intercept->hold_ms || any_active(intercept))
		intercept_write(intercept);
}

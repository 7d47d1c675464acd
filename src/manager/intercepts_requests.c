/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask of intercepts, and the manager at its end. */
#include <errno.h>
#include <string.h>

#include "cluster/json.h"
#include "manager/agents_env.h"
#include "manager/intercept_member.h"
#include "manager/intercept_reader.h"
#include "manager/intercept_seat.h"
#include "manager/pods.h"
#include "tunnel/reply.h"

static bool is_before(const struct member *member, const struct member *other)
{
	return !other || strcmp(pod_name(member->seat->pod), pod_name(other->seat->pod)) < 0;
}

/* One whose agent has the environment that is wanted, if there is one; else always the same. */
static const struct member *readable(const struct intercept *intercept)
{
	const struct member *member = NULL, *found = NULL;

	DL_FOREACH (intercept->members, member) {
		if (member->seat->state != SEAT_CONNECTED)
			continue;
		if (strcmp(member->seat->container, member_container(member)) == 0)
			return member;
		found = is_before(member, found) ? member : found;
	}
	return found;
}

int intercepts_env(struct intercepts *set, const char *uid, const char *session_uid,
	intercepts_env_fn on_env, void *user, struct err *err)
{
	struct intercept *intercept = NULL;
	const struct member *member = NULL;
	const char *container = NULL;
	int r;

	HASH_FIND_STR(set->table, uid, intercept);
	if (!intercept)
		return -ENOENT;
	if (strcmp(intercept->spec->session_uid, session_uid) != 0)
		return -EACCES;
	member = readable(intercept);
	if (!member)
		return -EAGAIN;
	container = member_container(member);
	r = reader_want(member->seat, container, err);
	if (r == 0)
		agents_env(set->agents, member->seat->uid, container, on_env, user);
	return r;
}

/* Always the same pod while it is there: what a client opens in turn is one place. */
static const struct member *reachable(const struct intercept *intercept)
{
	const struct member *member = NULL, *found = NULL;

	DL_FOREACH (intercept->members, member) {
		if (member->state != MEMBER_ACTIVE || member->seat->state != SEAT_CONNECTED)
			continue;
		found = is_before(member, found) ? member : found;
	}
	return found;
}

void intercepts_reach(struct intercepts *set, const char *uid, const char *session_uid,
	const struct agents_reach_target *target, struct h2_stream *stream)
{
	struct intercept *intercept = NULL;
	const struct member *member = NULL;

	HASH_FIND_STR(set->table, uid, intercept);
	if (!intercept || strcmp(intercept->spec->session_uid, session_uid) != 0) {
		reply_reason(stream, REASON_FORBIDDEN);
		return;
	}
	if (intercept->state == INTERCEPT_ACTIVE)
		member = reachable(intercept);
	if (member)
		agents_reach(set->agents, member->seat->uid, uid, target, stream);
	else
		reply_reason(stream, REASON_NO_CLIENT);
}

unsigned int intercepts_leave(struct intercepts *set)
{
	return agents_leave(set->agents);
}

/* Those of which the pod says that they run, or will. */
static unsigned int untold(const struct seat *seat)
{
	struct pod_agent agent;

	if (!pod_alive(seat->pod))
		return 0;
	pod_agent(seat->pod, POD_AGENT_PREFIX, &agent);
	return agent.alive > seat->told ? agent.alive - seat->told : 0;
}

unsigned int intercepts_shutdown(struct intercepts *set, const char *reason)
{
	struct seat *seat = NULL, *next = NULL;
	unsigned int left = 0;

	set->leader = false;
	for (struct intercept *intercept = set->table; intercept; intercept = intercept->hh.next)
		intercept_leave(intercept);
	HASH_ITER (hh, set->seats, seat, next) {
		seat->told += agents_exit(set->agents, seat->uid, reason);
		left += untold(seat);
	}
	return left;
}

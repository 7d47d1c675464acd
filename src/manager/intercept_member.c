/* SPDX-License-Identifier: Apache-2.0 */
/* One intercept in one pod: from its rules to the proof that connections to the pod meet them. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "manager/intercept_member.h"
#include "manager/intercept_seat.h"
#include "manager/pods.h"

/* A path that is not there may come: the pod's network is young. */
#define PROBE_TRIES    3
#define PROBE_AGAIN_MS 300

struct member *member_find(const struct intercept *intercept, const struct seat *seat)
{
	struct member *member = NULL;

	DL_FOREACH (intercept->members, member) {
		if (member->seat == seat)
			return member;
	}
	return NULL;
}

uint16_t member_port(const struct member *member, const struct intercept_port *port)
{
	return pod_port(member->seat->pod, port->target_name, port->target_port, port->protocol);
}

const char *member_container(const struct member *member)
{
	const struct intercept_spec *spec = member->intercept->spec;
	const struct intercept_port *first = &spec->ports[0];
	json_object *container = pod_container(
		member->seat->pod, spec->container, member_port(member, first), first->protocol);

	return json_text_or(container, "name", "");
}

void member_join(struct intercept *intercept, struct seat *seat)
{
	struct member *member = XNEW(struct member);
	bool first = !seat->members;

	member->intercept = intercept;
	member->seat = seat;
	DL_APPEND(intercept->members, member);
	DL_APPEND2(seat->members, member, seat_prev, seat_next);
	/* What ended while nobody wanted it was told to. */
	if (first)
		seat->deaths = 0;
	seat_configure(seat);
	seat_step(seat);
}

/* Its figures stay with the intercept. */
static void keep_count(struct member *member)
{
	struct intercept *intercept = member->intercept;
	json_object *reasons = json_member(member->count, "fallbacks");

	intercept->connections += json_int(member->count, "connections", 0);
	if (json_object_is_type(reasons, json_type_object)) {
		json_object_object_foreach(reasons, reason, value)
		{
			int64_t before = json_int(intercept->fallbacks, reason, 0);

			json_object_object_add(intercept->fallbacks, reason,
				json_object_new_int64(before + json_object_get_int64(value)));
		}
	}
	json_object_put(TAKE_PTR(member->count));
}

void member_leave(struct member *member, bool configure)
{
	struct seat *seat = member->seat;

	keep_count(member);
	probe_cancel(member->probe);
	intercept_dirty(member->intercept);
	DL_DELETE(member->intercept->members, member);
	DL_DELETE2(seat->members, member, seat_prev, seat_next);
	free(member);
	if (!configure)
		return;
	seat_configure(seat);
	seat_step(seat);
}

void member_reset(struct member *member)
{
	keep_count(member);
	probe_cancel(TAKE_PTR(member->probe));
	member->state = MEMBER_WAITING;
	member->retry_ms = 0;
}

/* Its rules are to be others. */
void member_renew(struct member *member)
{
	probe_cancel(TAKE_PTR(member->probe));
	member->state = MEMBER_WAITING;
	member->retry_ms = 0;
	seat_configure(member->seat);
}

static void probe_next(struct member *member);

static void set_state(struct member *member, enum member_state state)
{
	member->state = state;
	intercept_dirty(member->intercept);
}

static void on_probed(void *user, int r, const struct err *err)
{
	struct member *member = user;

	member->probe = NULL;
	if (r == 0) {
		member->step++;
		member->tries = 0;
		probe_next(member);
		return;
	}
	if (++member->tries < PROBE_TRIES) {
		member->retry_ms = intercepts_now(member->intercept->set) + PROBE_AGAIN_MS;
		return;
	}
	if (r == -EXDEV)
		err_set(&member->problem, r, ERR_UNSUPPORTED,
			"bypassed by CNI: connections to pod %s do not pass its network "
			"namespace's "
			"rules: %.200s",
			pod_name(member->seat->pod), err->msg);
	else
		err_set(&member->problem, r, err->kind, "pod %s is not reached: %.300s",
			pod_name(member->seat->pod), err->msg);
	set_state(member, MEMBER_FAILED);
}

static bool can_probe(const struct intercepts *set, const struct ip_addr *addr)
{
	return addr->family == AF_INET ? set->has_ipv4 : set->has_ipv6;
}

/* Steps count ports, and for each the pod's addresses. */
static void probe_next(struct member *member)
{
	const struct intercept_spec *spec = member->intercept->spec;
	struct intercepts *set = member->intercept->set;
	struct ip_addr addrs[AGENTS_POD_ADDRESSES];
	size_t count = pod_addresses(member->seat->pod, addrs, ARRAY_SIZE(addrs));
	const char *uid = member->seat->uid;

	member->retry_ms = 0;
	for (; set->leader && count > 0 && member->step / count < spec->port_count;
		member->step++) {
		const struct intercept_port *port = &spec->ports[member->step / count];
		struct ip_endpoint target = {
			.addr = addrs[member->step % count], .port = member_port(member, port)};

		if (!can_probe(set, &target.addr))
			continue;
		member->probe = probe_start(set->agents, &uid, 1, &target, target.port,
			port->protocol, on_probed, member);
		return;
	}
	set_state(member, MEMBER_ACTIVE);
}

void member_ruled(struct member *member, int r, const char *message)
{
	if (member->state == MEMBER_ACTIVE || member->state == MEMBER_PROBING)
		return;
	if (r < 0) {
		err_set(&member->problem, r, ERR_INTERNAL,
			"the agent in pod %s cannot redirect: %.300s", pod_name(member->seat->pod),
			message);
		set_state(member, MEMBER_FAILED);
		return;
	}
	member->step = 0;
	member->tries = 0;
	set_state(member, MEMBER_PROBING);
	probe_next(member);
}

void member_sweep(struct member *member)
{
	if (member->state == MEMBER_PROBING && member->retry_ms > 0 &&
		intercepts_now(member->intercept->set) >= member->retry_ms)
		probe_next(member);
}

/* Figures of one agent only grow; smaller ones are those of a new one. */
void member_count(struct member *member, json_object *count)
{
	if (json_int(count, "connections", 0) < json_int(member->count, "connections", 0))
		keep_count(member);
	json_object_put(member->count);
	member->count = json_object_get(count);
	member->intercept->counted = true;
}

enum intercept_state member_shown(const struct member *member, const char **ret_message)
{
	*ret_message = "";
	if (member->seat->state != SEAT_CONNECTED) {
		*ret_message = member->seat->problem.msg;
		return member->seat->problem.code < 0 ? INTERCEPT_ERROR : INTERCEPT_WAITING;
	}
	if (member->state == MEMBER_FAILED) {
		*ret_message = member->problem.msg;
		return INTERCEPT_ERROR;
	}
	return member->state == MEMBER_ACTIVE ? INTERCEPT_ACTIVE : INTERCEPT_WAITING;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/intercept_member.h - one intercept in one pod: its rules, their proof, its counters
 *
 * Internal to intercepts.h. Owned by the intercept; in the list of its seat as well.
 */
#ifndef MANAGER_INTERCEPT_MEMBER_H
#define MANAGER_INTERCEPT_MEMBER_H

#include "manager/intercept_impl.h"
#include "manager/prober.h"

enum member_state { MEMBER_WAITING, MEMBER_PROBING, MEMBER_ACTIVE, MEMBER_FAILED };

struct member {
	struct intercept *intercept;
	struct seat *seat;
	enum member_state state;
	struct err problem; /* of MEMBER_FAILED */
	struct probe *probe;
	size_t step; /* which port and address is probed */
	unsigned int tries; /* that failed at this step */
	uint64_t retry_ms; /* 0, or when to probe again */
	json_object *count; /* the last of this agent; NULL: none */
	struct member *prev, *next; /* of the intercept */
	struct member *seat_prev, *seat_next;
};

struct member *member_find(const struct intercept *intercept, const struct seat *seat);
void member_join(struct intercept *intercept, struct seat *seat);
void member_leave(struct member *member, bool configure);
void member_ruled(struct member *member, int r, const char *message);
void member_reset(struct member *member); /* its agent is gone */
void member_renew(struct member *member); /* its ports are others */
void member_sweep(struct member *member);
void member_count(struct member *member, json_object *count);
/* The container whose environment it wants. Borrowed from the pod. */
const char *member_container(const struct member *member);
uint16_t member_port(const struct member *member, const struct intercept_port *port);
enum intercept_state member_shown(const struct member *member, const char **ret_message);

#endif /* MANAGER_INTERCEPT_MEMBER_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/intercept_impl.h - the inside of intercepts.h
 *
 * An intercept has a target (the pods of its workload, shared by all intercepts of that workload).
 * Each pod has one seat, whoever's target it is in: the seat brings an agent there and keeps it
 * there while an intercept is a member of it. A member is one intercept in one pod: its rules, the
 * proof that they work, its counters.
 *
 * Whatever changes marks intercepts dirty; they are judged from the loop (intercept_judge.c), so
 * that no callback finds its caller freed. Deadlines are looked at by a sweep that runs while there
 * are any.
 */
#ifndef MANAGER_INTERCEPT_IMPL_H
#define MANAGER_INTERCEPT_IMPL_H

/* uthash's own choice falls through between cases, which clang cannot be told is meant. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>
#include <utlist.h>

#include <netinet/in.h>

#include "core/err.h"
#include "core/utc.h"
#include "manager/agents.h"
#include "manager/intercept.h"
#include "manager/intercepts.h"
#include "manager/placement.h"
#include "manager/workload.h"

#define CLUSTER_IPS 4

struct follow;
struct member;
struct retire;
struct seat;
struct target;

enum service_state {
	SERVICE_UNKNOWN,
	SERVICE_ASKED,
	SERVICE_PROBING,
	SERVICE_PROVEN,
	SERVICE_FAILED
};

/* The proof through the ClusterIPs. */
struct service_proof {
	enum service_state state;
	struct kube_request *request;
	struct probe *probe;
	const char *name; /* whose addresses these are, the spec's; NULL: nobody's yet */
	json_object *selector; /* of it */
	struct ip_addr addrs[CLUSTER_IPS];
	size_t addr_count, port, addr; /* port, addr: what is proven next */
	unsigned int tries;
	uint64_t retry_ms; /* when it is tried again; 0: not for time */
	struct err problem;
};

struct intercept {
	struct intercepts *set;
	struct intercept_spec *spec;
	struct target *target; /* NULL: not looked for yet */
	struct member *members; /* by next */
	struct service_proof service;
	struct follow *follows; /* own; one of each Service */
	enum intercept_state state;
	const char *reason; /* static text */
	char message[ERR_MSG_BYTES];
	char since[UTC_TEXT_BYTES];
	bool dirty, foreign; /* foreign: another manager's */
	bool activated; /* was ACTIVE since it was wanted */
	bool session_seen;
	uint64_t paused_ms; /* neither written nor deleted before */
	struct err failure; /* ends the preparation; cleared at failure_until_ms */
	uint64_t failure_until_ms;
	uint64_t absent_ms; /* since when its workload wants no pods; 0: it does */
	uint64_t seen_ms, hold_ms; /* first seen; until when the object's own ACTIVE is kept */
	int64_t connections; /* of members that are gone */
	json_object *fallbacks; /* likewise */
	struct kube_request *write, *removal;
	char *written; /* the last patch */
	uint64_t written_ms;
	bool counted; /* counters changed since */
	UT_hash_handle hh;
};

struct intercepts {
	uv_loop_t *loop;
	struct kube_client *client;
	struct sessions *sessions;
	struct agents *agents;
	struct placer *placer;
	struct kube_watch *watch;
	char *namespace;
	bool has_ipv4, has_ipv6;
	bool leader;
	bool synced; /* every object that there is was seen */
	uint64_t began_ms;
	uint64_t away_ms; /* when the API server was last without an answer; 0: never */
	uint64_t leads_ms, reached_ms; /* since when it leads; when the first agent came, or 0 */
	struct intercept *table;
	struct target *targets;
	struct seat *seats;
	struct retire *retires; /* under way */
	uv_timer_t judge, sweep;
	unsigned int open_handles;
};

uint64_t intercepts_now(const struct intercepts *set);
/* Judges it, or all of them, in the loop's next turn. */
void intercept_dirty(struct intercept *intercept);
void intercepts_dirty(struct intercepts *set);

/* intercept_service.c */
void service_prove(struct intercept *intercept);
void service_sweep(struct intercept *intercept);
void service_reset(struct intercept *intercept);

/* intercept_judge.c */
void intercept_judge(struct intercept *intercept);
void intercept_leave(struct intercept *intercept); /* all members, at once */

/* intercept_write.c */
void intercept_write(struct intercept *intercept); /* the status, if there is news */
void intercept_remove(struct intercept *intercept); /* deletes the object */
NODISCARD char *intercept_patch(const struct intercept *intercept);

#endif /* MANAGER_INTERCEPT_IMPL_H */

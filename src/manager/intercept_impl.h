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
#include "manager/agents.h"
#include "manager/intercept.h"
#include "manager/intercepts.h"
#include "manager/placement.h"
#include "manager/prober.h"
#include "manager/workload.h"

#define SEAT_AGENT_BYTES 64
#define CLUSTER_IPS      4

struct seat;

struct target {
	char *key; /* "namespace/kind/name" */
	char *name;
	struct intercepts *set;
	struct workload *workload;
	unsigned int users; /* intercepts */
	UT_hash_handle hh;
};

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

enum seat_state {
	SEAT_IDLE,
	SEAT_PLACING, /* the API server is asked */
	SEAT_EXPECTED, /* there is an agent: it has to start and to connect */
	SEAT_BACKOFF,
	SEAT_CONNECTED
};

struct seat {
	char *uid;
	struct intercepts *set;
	json_object *pod; /* newest state */
	unsigned int targets; /* that have the pod */
	struct member *members; /* by seat_next */
	enum seat_state state;
	uint64_t deadline_ms; /* of EXPECTED and BACKOFF; 0: none */
	uint64_t expected_ms; /* when EXPECTED began */
	uint64_t retry_ms; /* not placed before */
	uint64_t connected_ms;
	struct placement *placement;
	unsigned int placed, ended; /* numbers of the newest agent, and of the last that ended */
	unsigned int deaths; /* in a row */
	bool ours; /* the agent that is expected was placed by this process */
	bool was_running;
	char *addresses; /* of the pod and its node, as the agents' table has them; NULL: none */
	struct err problem; /* why there is no agent */
	char agent[SEAT_AGENT_BYTES]; /* name, while connected */
	char container[SEAT_AGENT_BYTES]; /* whose environment it has */
	UT_hash_handle hh;
};

enum service_state {
	SERVICE_UNKNOWN,
	SERVICE_ASKED,
	SERVICE_PROBING,
	SERVICE_PROVEN,
	SERVICE_FAILED
};

/* The proof through the ClusterIP. */
struct service_proof {
	enum service_state state;
	struct kube_request *request;
	struct probe *probe;
	struct ip_addr addrs[CLUSTER_IPS];
	size_t addr_count, step;
	unsigned int tries;
	struct err problem;
};

struct intercept {
	struct intercepts *set;
	struct intercept_spec *spec;
	struct target *target; /* NULL: not looked for yet */
	struct member *members; /* by next */
	struct service_proof service;
	enum intercept_state state;
	const char *reason; /* static text */
	char message[ERR_MSG_BYTES];
	char since[24]; /* RFC 3339 */
	bool dirty, foreign; /* foreign: another manager's */
	bool activated; /* was ACTIVE since it was wanted */
	bool session_seen;
	struct err failure; /* ends the preparation; cleared at failure_until_ms */
	uint64_t failure_until_ms;
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
	bool leader, synced, swept;
	struct intercept *table;
	struct target *targets;
	struct seat *seats;
	uv_timer_t judge, sweep;
	unsigned int open_handles;
};

uint64_t intercepts_now(const struct intercepts *set);
/* Judges it, or all of them, in the loop's next turn. */
void intercept_dirty(struct intercept *intercept);
void intercepts_dirty(struct intercepts *set);
/* Follows the pods of its workload. */
void intercept_seek(struct intercept *intercept);

/* intercept_seat.c */
struct seat *seat_find(const struct intercepts *set, const char *pod_uid);
void seat_on_pod(struct intercepts *set, json_object *pod, bool is_new_target);
void seat_drop(struct seat *seat, bool all); /* one target less, or none any more */
void seat_step(struct seat *seat);
void seat_lost(struct seat *seat);
void seat_configure(struct seat *seat);

/* intercept_member.c */
struct member *member_find(const struct intercept *intercept, const struct seat *seat);
void member_join(struct intercept *intercept, struct seat *seat);
void member_leave(struct member *member, bool configure);
void member_ruled(struct member *member, int r, const char *message);
void member_reset(struct member *member); /* its agent is gone */
void member_sweep(struct member *member);
void member_count(struct member *member, json_object *count);
/* The container whose environment it wants. Borrowed from the pod. */
const char *member_container(const struct member *member);
uint16_t member_port(const struct member *member, const struct intercept_port *port);
enum intercept_state member_shown(const struct member *member, const char **ret_message);

/* intercept_service.c */
void service_prove(struct intercept *intercept);
void service_reset(struct intercept *intercept);

/* intercept_judge.c */
void intercept_judge(struct intercept *intercept);
void intercept_leave(struct intercept *intercept); /* all members, at once */

/* intercept_write.c */
void intercept_write(struct intercept *intercept); /* the status, if there is news */
void intercept_remove(struct intercept *intercept); /* deletes the object */
NODISCARD char *intercept_patch(const struct intercept *intercept);

#endif /* MANAGER_INTERCEPT_IMPL_H */

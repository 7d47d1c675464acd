/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/intercept_seat.h - one pod and the agent in it
 *
 * Internal to intercepts.h. Owned by the table of intercepts; lives while a target has the pod.
 */
#ifndef MANAGER_INTERCEPT_SEAT_H
#define MANAGER_INTERCEPT_SEAT_H

#include "manager/intercept_asked.h"
#include "manager/intercept_impl.h"

#define SEAT_AGENT_BYTES 64

struct placement;
struct reader;

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
	struct asked asked;
	struct reader *readers; /* own */
	unsigned int ended; /* number of the last agent that did */
	unsigned int told; /* agents that were told to end, by intercepts_shutdown() */
	unsigned int deaths; /* in a row */
	bool ours; /* the agent that is expected was placed by this process */
	bool was_running;
	bool unproven; /* a former manager's agent was given up once */
	unsigned int given_up; /* its number; 0: none */
	char *addresses; /* of the pod and its node, as the agents' table has them; NULL: none */
	struct kube_request *node_asked; /* whether its kubelet has an excuse */
	const char *excuse; /* static text; NULL: none is known */
	struct err problem; /* why there is no agent */
	char agent[SEAT_AGENT_BYTES]; /* name, while connected */
	char container[SEAT_AGENT_BYTES]; /* whose environment it has */
	UT_hash_handle hh;
};

/* Judges its intercepts. */
void seat_mark(struct seat *seat);
struct seat *seat_find(const struct intercepts *set, const char *pod_uid);
void seat_on_pod(struct intercepts *set, json_object *pod, bool is_new_target);
void seat_drop(struct seat *seat, bool all); /* one target less, or none any more */
void seat_step(struct seat *seat);
void seat_lost(struct seat *seat);
void seat_unproven(struct seat *seat);
void seat_configure(struct seat *seat);

/* intercept_kubelet.c: nothing was heard of the agent in time. Waits on while its kubelet has an
 * excuse, else seat_not_started() follows. */
void seat_ask_kubelet(struct seat *seat);
void seat_not_started(struct seat *seat);

#endif /* MANAGER_INTERCEPT_SEAT_H */

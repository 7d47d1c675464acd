/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/intercept_priv.h - one intercept's states, for the files that share them
 *
 *   RESOLVE -> CREATE -> FOLLOW -> END -> gone
 *   CREATE -> TAKEN -> CREATE        another object has the name
 *   FOLLOW -> LOST -> CREATE         the object went with its Session; made again under the next
 *   FOLLOW -> LOST -> gone           somebody deleted the object
 *   RESOLVE, CREATE, TAKEN, FOLLOW -> END -> gone    it failed, or is not wanted any more
 *   LOCAL -> END -> gone             local-only: the cluster knows nothing of it
 */
#ifndef CLIENT_USERD_INTERCEPT_PRIV_H
#define CLIENT_USERD_INTERCEPT_PRIV_H

#include <stdint.h>
#include <uv.h>

#include "client/userd/intercept_object.h"
#include "client/userd/intercept_serve.h"
#include "client/userd/intercepts.h"
#include "core/attr.h"

struct err;
struct fetch;
struct kube_request;
struct kube_watch;
struct resolve;
struct reverse;

enum intercept_state {
	INTERCEPT_RESOLVE,
	INTERCEPT_CREATE,
	INTERCEPT_TAKEN,
	INTERCEPT_FOLLOW,
	INTERCEPT_LOST,
	INTERCEPT_LOCAL,
	INTERCEPT_END,
	INTERCEPT_STATE_COUNT
};

struct intercept {
	struct intercepts *set;
	enum intercept_state state;
	struct intercept_args args;
	struct intercept_target target;
	char *object_name, *uid; /* uid NULL: no object that we know of */
	json_object *object; /* as last seen */
	json_object *environment;
	struct to_pod *to_pod; /* NULL: none asked for */

	/* At most one of each is under way. */
	struct resolve *resolve;
	struct kube_request *request;
	struct kube_watch *watch;
	struct fetch *fetch;
	uv_timer_t timer; /* the state's deadline, or the pause before a retry */

	struct intercept_wait *waits;
	bool told; /* whoever asked for it has the answer */
	bool unwanted; /* END as soon as the CREATE under way is answered */
	unsigned int tries, fetches;
	char progress[256];
	struct intercept *next, *prev;
};

struct intercepts {
	struct intercepts_config config;
	char *owner, *session, *session_uid; /* NULL: not connected yet */
	char host[254];
	struct reverse *reverse;
	struct intercept_serve serve;
	struct intercept *list;
	bool stopping; /* takes no connection any more */
	uv_timer_t drain; /* stopping: until those that are open have ended */
	unsigned int drain_steps, quiet_steps;
	void (*on_stopped)(void *user);
	void *user;
};

/* intercept.c */
/* The laptop's ends of --to-pod; before anything changes in the cluster. */
NODISCARD int intercept_open_ports(struct intercept *intercept, struct err *err);
void intercept_start(struct intercept *intercept);
void intercept_create(struct intercept *intercept);
/* Answers whoever asked; takes the result. */
void intercept_tell(struct intercept *intercept, int r, json_object *result, const struct err *err,
	const char *hint);
/* Answers with the error, then ends it. */
void intercept_fail(struct intercept *intercept, const struct err *err, const char *hint);
/* It is not wanted any more. */
void intercept_end(struct intercept *intercept);
/* The Session is another one. */
void intercept_renew(struct intercept *intercept);
/* Ends what is under way; no callback follows. */
void intercept_halt(struct intercept *intercept);
void intercept_free(struct intercept *intercept);

/* intercept_taken.c: CREATE found another object of that name. */
void intercept_taken(struct intercept *intercept);

/* intercepts.c */
/* Whether names of its namespace are wanted may have changed. */
void intercepts_namespaces_changed(struct intercepts *set);
/* It has ended; frees it. */
void intercepts_gone(struct intercept *intercept);

#endif /* CLIENT_USERD_INTERCEPT_PRIV_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/intercepts.h - the intercepts of this connection, from request to the last trace
 *
 * Each has an Intercept object in the cluster, which is watched: who deletes the object ends the
 * intercept. They outlive a lost tunnel; when the Session is another one afterwards, the objects
 * are made again under it, with the same names. Threading: loop thread only.
 */
#ifndef CLIENT_USERD_INTERCEPTS_H
#define CLIENT_USERD_INTERCEPTS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "client/userd/intercept_args.h"
#include "client/userd/match.h"
#include "cluster/carrier.h"
#include "core/attr.h"

/* One laptop's; each is a watch and a handful of objects. */
#define INTERCEPTS_MAX 64

struct err;
struct intercept;
struct ip_addr;
struct intercepts;
struct kube_client;
struct session_key;
struct uplink;

/* Somebody who waits: until it serves (`intercept`), or until its end (`leave`, `hold`). The
 * caller's storage, which must live until on_done or intercept_wait_cancel(). */
struct intercept_wait {
	bool for_end;
	void (*on_progress)(void *user, const char *line); /* may be NULL */
	/* Once, never from within. result is the callee's; hint may be NULL or empty. */
	void (*on_done)(
		void *user, int r, json_object *result, const struct err *err, const char *hint);
	void *user;
	struct intercept *intercept; /* from here on the module's */
	struct intercept_wait *next, *prev;
};

/* All borrowed. */
struct intercepts_config {
	uv_loop_t *loop;
	struct kube_client *client;
	const char *manager_namespace;
	enum kube_carrier_kind carrier_kind;
	const struct session_key *key;
	const struct uplink *uplink;
	/* intercepts_namespaces() (intercept_local.h) may say something else now; NULL: of no
	 * interest. */
	void (*on_namespaces)(void *user);
	/* Whether the tunnel leads there: a connection that is sent there comes back, again and
	 * again. NULL: it leads nowhere. */
	bool (*leads_back)(void *user, const struct ip_addr *addr);
	void *user;
};

struct intercepts *intercepts_new(const struct intercepts_config *config);
/* Forgets them all without a request; waits are not told. NULL-safe, deferred. */
void intercepts_free(struct intercepts *set);
/* The path to the cluster may have changed. */
void intercepts_check(struct intercepts *set);
/* The Session and its maker, each time that the connection is up. */
void intercepts_session(
	struct intercepts *set, const char *owner, const char *name, const char *uid);
/* Takes no connection any more and deletes every object. False when there was nothing, else
 * on_stopped once they are gone and what was being served has ended, or a moment has passed. */
bool intercepts_stop(struct intercepts *set, void (*on_stopped)(void *user), void *user);

bool intercepts_has(const struct intercepts *set, const char *name);
/* Takes the args. -EEXIST: there is one of that name. */
NODISCARD int intercepts_add(struct intercepts *set, struct intercept_args *args,
	struct intercept_wait *wait, struct err *err);
/* Ends the one of that name, or only waits for its end. -ENOENT: there is none.
 */
NODISCARD int intercepts_leave(
	struct intercepts *set, const char *name, struct intercept_wait *wait, struct err *err);
NODISCARD int intercepts_hold(
	struct intercepts *set, const char *name, struct intercept_wait *wait, struct err *err);
/* Nobody waits there any more; end: nor is the intercept wanted. */
void intercept_wait_cancel(struct intercept_wait *wait, bool end);

/* Where the connections of the intercept with this UID go; NULL: there is none such. Borrowed. */
const struct intercept_target *intercepts_find_target(
	const struct intercepts *set, const char *uid, const char **ret_address);
/* An array of descriptions (docs/ipc-userd.md); local: of the local-only ones and no others. */
NODISCARD json_object *intercepts_describe(const struct intercepts *set, bool local);

#endif /* CLIENT_USERD_INTERCEPTS_H */

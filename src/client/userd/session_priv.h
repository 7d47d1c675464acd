/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/session_priv.h - the session's states and what its files share
 *
 *   IDLE -> IDENTIFY -> REGISTER -> OPEN -> LEARN -> RESOLVE -> NETWORK -> TEST -> CONNECTED
 *   REGISTER -> INSTALL -> REGISTER     the cluster's side was not there
 *   OPEN -> CHECK -> INSTALL or WAIT    the manager did not answer, or refused
 *   LEARN, CONNECTED -> WAIT -> OPEN    or REGISTER when the Session object is gone
 *   LEARN -> CONNECTED                  a tunnel that came back: the network is still there
 *   LEARN, CONNECTED -> LEARN           another tunnel, opened beside a silent one
 *   any -> CLOSING -> CLOSED
 *
 * Each state does one thing: its enter function starts it, and that thing's callback leaves it.
 */
#ifndef CLIENT_USERD_SESSION_PRIV_H
#define CLIENT_USERD_SESSION_PRIV_H

#include <json-c/json.h>
#include <time.h>
#include <uv.h>

#include "client/userd/args.h"
#include "client/userd/hosts.h"
#include "client/userd/info.h"
#include "client/userd/proxy_lists.h"
#include "client/userd/session.h"
#include "client/userd/uplink.h"
#include "cluster/carrier.h"
#include "core/attr.h"
#include "core/err.h"

enum session_state {
	SESSION_IDLE,
	SESSION_IDENTIFY,
	SESSION_REGISTER,
	SESSION_INSTALL,
	SESSION_OPEN,
	SESSION_CHECK,
	SESSION_LEARN,
	SESSION_RESOLVE,
	SESSION_NETWORK,
	SESSION_TEST,
	SESSION_CONNECTED,
	SESSION_WAIT,
	SESSION_CLOSING,
	SESSION_CLOSED,
	SESSION_STATE_COUNT
};

struct intercepts;
struct kube_install;
struct kube_request;
struct filewatch;
struct former;
struct names_watch;
struct netwatch;
struct opening;

struct session {
	uv_loop_t *loop;
	struct root_client *root;
	struct session_events events;
	void *user;
	enum session_state state;
	uv_timer_t timer; /* the state's deadline, or the pause of WAIT */

	struct connect_args args;
	struct proxy_lists lists;
	char *manager_namespace;
	struct kube_config *kube;
	struct kube_client *client;
	struct session_key *key;
	char *owner; /* user name as the API server knows it */
	char *name, *uid; /* of the Session object; NULL: none */

	/* At most one of these is under way, by state. */
	struct kube_request *request;
	struct kube_install *install;
	struct opening *opening; /* also beside a tunnel that is silent */
	struct hosts_lookup *lookup;
	struct selftest *test;

	enum kube_carrier_kind carrier_kind; /* what was asked for */
	struct kube_carrier_report report; /* of the tunnel, or the last attempt; no names: none */
	time_t since; /* the tunnel is there */
	uint32_t rtt_us; /* of the last one; 0: not known */
	struct former *former; /* tunnels that were replaced */
	bool worn; /* the tunnel is to be replaced, heard or not */
	struct tunnel_client *tunnel;
	struct uplink uplink;
	struct info_watch *watch;
	struct names_watch *names; /* NULL: nothing is told */
	struct cluster_info info; /* the last one; domain NULL: none yet */
	struct ip_addr direct[HOSTS_ADDRESSES];
	size_t direct_count;
	struct network *network;
	struct netwatch *netwatch; /* from NETWORK on; NULL: could not be had */
	struct filewatch *resolv_watch, *uplinks_watch; /* who the nameservers are; the same */
	struct intercepts *intercepts;

	bool established; /* was CONNECTED: failures lead to WAIT */
	bool installed; /* INSTALL was tried */
	bool refused; /* CHECK: by the manager itself */
	unsigned int attempts; /* since the tunnel was lost, or since the start */
	uint64_t started_ms;
	bool failed, deferred;
	unsigned int closing; /* CLOSING: requests that undo something and are under way */
	struct err err; /* of the failure, or the last one while reconnecting */
	char hint[256];
};

void session_enter(struct session *session, enum session_state state);
void session_say(struct session *session, const char *fmt, ...) PRINTF(2, 3);
/* While connecting: the end, with this error. Later: WAIT, and again. hint: what to do, or NULL. */
void session_fail(struct session *session, const struct err *err, const char *hint);
/* A failure that passes by itself: WAIT while there is time, else as session_fail(). */
void session_retry(struct session *session, const struct err *err, const char *hint);

/* Established and without a tunnel: the next try is now, on whatever network there is. */
void session_reopen(struct session *session);

/* session_retry() in a moment, unless the state has changed by then. */
void session_defer(struct session *session, const struct err *err);

/* Deletes the Session object; session_undone() follows. */
void session_unregister(struct session *session);
/* One of the things that CLOSING undoes is done. */
void session_undone(struct session *session);
/* The same, not from within: whoever fails a session may still use it. */
void session_undone_later(struct session *session);
void session_drop_tunnel(struct session *session);
/* Which carrier, and why not the others. */
void session_describe_tunnel(const struct session *session, json_object *traffic_manager);

#endif /* CLIENT_USERD_SESSION_PRIV_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/manager_link.h - the link to the manager: lost, it is opened again; told to go, another one
 *
 * Two addresses lead there: that of its Service, and that of the pod which it was in last. One that
 * restarts has its pod's address still, and is found there before its Service leads to it again.
 * Rounds of tries are 50 ms to 1 s apart. on_ready and on_lost alternate, but on_lost may also come
 * for a try in vain. After on_refused nothing follows.
 */
#ifndef AGENT_MANAGER_LINK_H
#define AGENT_MANAGER_LINK_H

#include <uv.h>

struct agent_credentials;
struct err;
struct h2_session;
struct ip_endpoint;
struct manager_link;

struct manager_link_events {
	/* h2 is to open streams on, until on_lost. */
	void (*on_ready)(void *user, struct h2_session *h2);
	/* No stream is to be opened; those that are open go on where the manager is about to end.
	 */
	void (*on_lost)(void *user);
	void (*on_refused)(void *user, const struct err *err);
};

/* The first try follows, not from within. The endpoints are copied (pod: family 0 if there is
 * none), the credentials are borrowed. */
struct manager_link *manager_link_new(uv_loop_t *loop, const struct ip_endpoint *service,
	const struct ip_endpoint *pod, struct agent_credentials *credentials,
	const struct manager_link_events *events, void *user);
/* Where the last try went. */
const struct ip_endpoint *manager_link_where(const struct manager_link *link);
/* The manager does not keep to the protocol, or ended its control stream: on_lost, another try. */
void manager_link_lose(struct manager_link *link, const struct err *err);
/* Also in any event. NULL-safe; deferred, no event follows. */
void manager_link_free(struct manager_link *link);

#endif /* AGENT_MANAGER_LINK_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/sessions_impl.h - the table, for sessions.c (the objects) and sessions_peers.c (carriers)
 */
#ifndef MANAGER_SESSIONS_IMPL_H
#define MANAGER_SESSIONS_IMPL_H

#include "manager/session.h"
#include "manager/sessions.h"

struct kube_watch;

struct sessions {
	uv_loop_t *loop;
	struct kube_client *client;
	struct kube_watch *watch;
	char *namespace;
	struct session *table; /* by uid; owns */
	struct peer *peers; /* owns */
	uv_timer_t sweep;
	uint64_t swept_ms, awake_ms; /* the last sweep; the end of the last time this stood still */
	unsigned int ttl_max_s;
	bool synced, handed_over;
	void (*on_change)(void *user, const char *uid); /* or NULL */
	void *change_user;
};

/* sessions.c */
struct session *sessions_find(const struct sessions *sessions, const char *uid);
uint64_t sessions_now_ms(const struct sessions *sessions);
void sessions_changed(const struct sessions *sessions, const char *uid);
void sessions_write_status(struct session *session);

/* sessions_peers.c */
/* Ends the carriers of one Session. */
void sessions_close(struct sessions *sessions, const char *uid, const char *reason);
/* Looks, every so often, which carriers are silent and which are heard again. */
void sessions_listen(struct sessions *sessions, uint64_t every_ms);

#endif /* MANAGER_SESSIONS_IMPL_H */

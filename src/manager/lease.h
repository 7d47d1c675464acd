/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/lease.h - which replica leads: a coordination.k8s.io Lease
 *
 * The Lease traffic-manager of the manager's namespace, which k8s/ installs. A holder that has not
 * renewed it for LEASE_MS, by this process' own clock, has lost it. The same identity takes it back
 * at once: a container that was restarted in its pod goes on leading.
 */
#ifndef MANAGER_LEASE_H
#define MANAGER_LEASE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <time.h>
#include <uv.h>

#include "core/attr.h"

#define LEASE_MS       5000
#define LEASE_RENEW_MS 1500
#define LEASE_POLL_MS  500 /* while another one has it */
#define LEASE_TIME_MAX 40

struct kube_client;
struct lease;

struct lease *lease_new(uv_loop_t *loop, struct kube_client *client, const char *namespace,
	const char *identity, void (*on_change)(void *user, bool is_leader), void *user);
bool lease_is_leader(const struct lease *lease);
/* Gives it up, if we have it; on_done follows, not from within. No on_change any more. */
void lease_release(struct lease *lease, void (*on_done)(void *user), void *user);
void lease_free(struct lease *lease); /* NULL-safe; deferred */

/* What was seen of a Lease, to judge its age by. */
struct lease_view {
	char version[64]; /* resourceVersion: changes with every renewal */
	uint64_t since_ms; /* when that version was first seen */
};

/* Whether identity may take or keep it now. */
bool lease_available(
	struct lease_view *view, json_object *lease, const char *identity, uint64_t now_ms);
/* The object as it is to be written, malloc'd; identity "" releases it. */
NODISCARD char *lease_claim(json_object *lease, const char *identity, const struct timespec *now);

#endif /* MANAGER_LEASE_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/opening.h - a tunnel to the traffic-manager, opened by attempts that overlap
 *
 * What is begun while packets are lost without a word waits for its own retransmission, seconds
 * after the path is back. So until one is ready another attempt begins every OPENING_PAUSE_MS
 * beside those under way; the first whose proof the manager accepts wins, the others are ended.
 */
#ifndef CLIENT_USERD_OPENING_H
#define CLIENT_USERD_OPENING_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "cluster/carrier.h"

struct err;
struct opening;
struct session_key;
struct tunnel_client;

struct opening_config {
	uv_loop_t *loop;
	struct kube_client *client; /* this and the key outlive it; the strings are copied */
	const char *manager_namespace;
	enum kube_carrier_kind kind;
	const char *session_uid;
	const struct session_key *key;
	bool reverse;
	bool again; /* there was a tunnel before: what it left behind is not trusted */
	bool endless; /* on_failed never comes: it goes on until it is cancelled */
	uint32_t rtt_us; /* of the path as last known; 0: not known */
};

struct opening_events {
	/* The tunnel is the callee's, who sets its events before returning. */
	void (*on_ready)(
		void *user, struct tunnel_client *tunnel, const struct kube_carrier_report *report);
	/* Every attempt has failed, the last one so. refused: by the manager, not on the way. */
	void (*on_failed)(void *user, bool refused, const struct kube_carrier_report *report,
		const struct err *err);
	void *user;
};

/* Events come later, never from within. */
struct opening *opening_start(
	const struct opening_config *config, const struct opening_events *events);
/* Whether there is a carrier on which the manager has not been heard. NULL-safe. */
bool opening_is_mute(const struct opening *opening);
void opening_cancel(struct opening *opening); /* NULL-safe; no event follows */

#endif /* CLIENT_USERD_OPENING_H */

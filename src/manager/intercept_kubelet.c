/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kubelet that says nothing of an agent that was placed: does it have an excuse? It watches the
 * API server as we do, and tries again up to a minute later when that was away; one that has
 * just been started has all its pods to look at first. Whoever waits is told so meanwhile.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "cluster/meta.h"
#include "core/alloc.h"
#include "core/utc.h"
#include "manager/intercept_seat.h"

/* client-go's longest pause between two tries of a watch (30 s, and as much again by chance), and
 * what starting takes. */
#define RETURN_MS 65000
/* A node that became ready less than that ago. */
#define STARTING_S    30
#define LOOK_AGAIN_MS 3000
/* From when the agent was placed on; the client gives up after that, too. */
#define PATIENCE_MS 60000

static void excuse(struct seat *seat, const char *why, uint64_t until_ms)
{
	seat->excuse = why;
	seat->deadline_ms = until_ms;
	seat_mark(seat);
}

/* NULL when it is well, and has been for a while. */
static const char *node_excuse(json_object *node)
{
	json_object *ready = kube_condition(node, "Ready");
	time_t changed = 0;

	if (!ready)
		return NULL;
	if (strcmp(json_text_or(ready, "status", ""), "True") != 0)
		return "the node is not ready";
	/* Clocks of nodes differ a little. */
	if (utc_parse(json_text_or(ready, "lastTransitionTime", ""), &changed) == 0 &&
		llabs((long long)(time(NULL) - changed)) < STARTING_S)
		return "the node has just become ready";
	return NULL;
}

static void on_node(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct seat *seat = user;
	uint64_t now = intercepts_now(seat->set);
	const char *why = NULL;

	seat->node_asked = NULL;
	/* Something was heard meanwhile. */
	if (seat->state != SEAT_EXPECTED || seat->deadline_ms != 0)
		return;
	if (r < 0 && err->kind == ERR_UNREACHABLE)
		why = "the API server does not answer";
	else if (r == 0)
		why = node_excuse(json_item(body, "items", 0));
	if (why && now - seat->expected_ms < PATIENCE_MS)
		excuse(seat, why, now + LOOK_AGAIN_MS);
	else
		seat_not_started(seat);
}

void seat_ask_kubelet(struct seat *seat)
{
	const struct intercepts *set = seat->set;
	uint64_t now = intercepts_now(set), back_ms = set->away_ms + RETURN_MS;
	/* What was before this process is not known to it. */
	uint64_t unknown_ms = placer_came_back(set->placer) ? set->began_ms + RETURN_MS : 0;
	auto_free char *path = xasprintf("/api/v1/nodes?limit=1&fieldSelector=metadata.name%%3D%s",
		json_text_or(seat->pod, "spec.nodeName", ""));
	const struct kube_request_config config = {.method = "GET", .path = path};

	if (set->away_ms > 0 && now < back_ms) {
		excuse(seat, "the API server was away, and the kubelet has yet to come back to it",
			back_ms);
		return;
	}
	if (now < unknown_ms) {
		excuse(seat,
			"the traffic-manager has just come back: the API server may have been away "
			"before, and the kubelet has yet to come back to it",
			unknown_ms);
		return;
	}
	seat->deadline_ms = 0;
	kube_request_cancel(TAKE_PTR(seat->node_asked));
	kube_request(set->client, &config, on_node, seat, &seat->node_asked);
}

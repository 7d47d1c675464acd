/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/agents_env.h - the environments of a pod's containers, as its agents have them
 *
 * An agent has that of one container; a reader (pods.h) is there for another one's alone.
 */
#ifndef MANAGER_AGENTS_ENV_H
#define MANAGER_AGENTS_ENV_H

#include <json-c/json.h>
#include <stdbool.h>

/* An environment that was asked for and has not come by then. */
#define AGENTS_ENV_MS 3000

struct agents;

/* Whether somebody is connected who has that container's. */
bool agents_has_env(const struct agents *agents, const char *pod_uid, const char *container);
/* Asks who has it, now or when it connects; env is borrowed, and NULL when none came in
 * AGENTS_ENV_MS. Called once, not from within; at the latest by agents_free(). */
void agents_env(struct agents *agents, const char *pod_uid, const char *container,
	void (*on_env)(void *user, json_object *env), void *user);

#endif /* MANAGER_AGENTS_ENV_H */

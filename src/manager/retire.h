/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/retire.h - idle agents of some workloads end, found by the pods that have one
 *
 * A manager that has just started knows only the pods of intercepts. Idle agents of other pods
 * have lost their manager and come back to this one only when their pod is known, so the pods are
 * listed, and agents that come back within RETIRE_MS are told, too. Pods that somebody intercepts
 * keep theirs.
 *
 * Internal to intercepts.h, which owns what is under way. Loop thread only.
 */
#ifndef MANAGER_RETIRE_H
#define MANAGER_RETIRE_H

#include <json-c/json.h>

#include "core/attr.h"

#define RETIRE_MS 3000

struct err;
struct intercepts;
struct retire;

/* told: how many agents were; r < 0: the pods could not be listed, err says why. */
typedef void (*retire_fn)(void *user, int r, unsigned int told, const struct err *err);

/* namespace NULL: of all; workloads (array of names, or NULL) empty: all. Both are copied. on_done
 * comes once, never from within, also when the intercepts are freed. */
struct retire *retire_start(struct intercepts *set, const char *namespace, json_object *workloads,
	retire_fn on_done, void *user);
void retire_cancel(struct retire *retire); /* on_done is not called; NULL-safe */
/* All of them have to come to an end. */
void retire_end_all(struct intercepts *set);

#endif /* MANAGER_RETIRE_H */

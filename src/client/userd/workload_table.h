/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/workload_table.h - objects of a namespace, joined to the rows of `list`
 *
 * Objects come in any order; only what the rows need is kept of each. Pure.
 */
#ifndef CLIENT_USERD_WORKLOAD_TABLE_H
#define CLIENT_USERD_WORKLOAD_TABLE_H

#include <json-c/json.h>
#include <stdbool.h>

#include "client/userd/kinds.h"
#include "core/attr.h"

struct workload_table {
	const char *namespace, *manager_namespace; /* borrowed */
	json_object *rows; /* array */
	json_object *owners; /* of ReplicaSets: name -> "Kind/name" of the controller */
	json_object *pods; /* array of ["Kind/name" of the controller, agent runs] */
	json_object *intercepts; /* "Kind/name" -> array of descriptions */
};

void workload_table_init(
	struct workload_table *table, const char *namespace, const char *manager_namespace);
void workload_table_done(struct workload_table *table);
void workload_table_add(
	struct workload_table *table, const struct workload_kind *kind, json_object *object);
void workload_table_add_intercept(struct workload_table *table, json_object *object);
/* The rows, sorted by name; the caller's. The table is empty afterwards. */
NODISCARD json_object *workload_table_take(struct workload_table *table);

#endif /* CLIENT_USERD_WORKLOAD_TABLE_H */

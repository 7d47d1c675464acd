/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/intercept_local.h - the state LOCAL of an intercept, and whose names are wanted
 *
 * A local-only intercept takes no connection: while it is there, names of its namespace are found
 * as single labels. Nothing is written to the cluster, so it lives and ends with this process.
 */
#ifndef CLIENT_USERD_INTERCEPT_LOCAL_H
#define CLIENT_USERD_INTERCEPT_LOCAL_H

#include <json-c/json.h>
#include <stddef.h>

#include "core/attr.h"

struct intercept;
struct intercepts;

/* Whoever asked for it is answered, not from within. */
void intercept_local_start(struct intercept *intercept);
NODISCARD json_object *intercept_local_describe(const struct intercept *intercept);
/* The namespaces of all intercepts that are there, local-only or not: at most max, borrowed; how
 * many were written. */
size_t intercepts_namespaces(const struct intercepts *set, const char **out, size_t max);

#endif /* CLIENT_USERD_INTERCEPT_LOCAL_H */

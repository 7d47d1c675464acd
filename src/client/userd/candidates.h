/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/candidates.h - the ports that a workload has: its containers' and its services'
 */
#ifndef CLIENT_USERD_CANDIDATES_H
#define CLIENT_USERD_CANDIDATES_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

struct intercept_port;

/* items is the holder's, by free(3). */
struct candidates {
	struct intercept_port *items;
	size_t count;
};

/* Containers of a pod's spec, then the sidecars (restartable init containers); NULL: no more. */
json_object *candidates_container(json_object *spec, size_t index);
/* The ports that they declare. */
void candidates_declared(json_object *spec, struct candidates *list);
/* The ports of services, of that name or (NULL) any, that lead to pods of the template. Whether the
 * service of that name is among them. */
bool candidates_services(const char *service_name, json_object *template, json_object *services,
	const struct candidates *declared, struct candidates *list);

#endif /* CLIENT_USERD_CANDIDATES_H */

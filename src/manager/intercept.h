/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/intercept.h - one Intercept object, read and compared; no I/O
 */
#ifndef MANAGER_INTERCEPT_H
#define MANAGER_INTERCEPT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

#define INTERCEPT_PORTS 32 /* maxItems in the CRD */
#define INTERCEPT_API   "telepresence.io/v1alpha1"
/* A kind as it is written in a sentence. */
#define INTERCEPT_KIND_BYTES 24

struct err;

struct intercept_port {
	uint16_t local, service_port, container_port; /* service_port 0: none */
	char *service; /* whose service_port is; "" without one */
	char *service_port_name; /* "" if it has none */
	char *container_port_name; /* likewise */
	int protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	/* Where it is in the pods now: at first as above, later as its Service says. */
	uint16_t target_port;
	char *target_name;
	bool left; /* its Service has it no more */
};

/* Every string is set, "" when the object does not have it. */
struct intercept_spec {
	char *uid, *namespace, *object, *created;
	char *owner, *host, *session_uid, *manager;
	char *name, *kind, *workload, *service, *container;
	bool refuse_closes;
	size_t port_count;
	struct intercept_port ports[INTERCEPT_PORTS];
};

enum intercept_state {
	INTERCEPT_WAITING,
	INTERCEPT_ACTIVE,
	INTERCEPT_ERROR,
	INTERCEPT_STATE_COUNT
};

/* 0, or -EINVAL: an object that is not to be looked at, err says why. */
NODISCARD int intercept_parse(
	json_object *object, struct intercept_spec **ret_spec, struct err *err);
void intercept_spec_free(struct intercept_spec *spec); /* NULL-safe */

/* "deployment". */
void intercept_kind_text(const struct intercept_spec *spec, char out[static INTERCEPT_KIND_BYTES]);
const char *intercept_state_name(enum intercept_state state);
/* Whether it comes by a Service, whose name can be asked for. */
bool intercept_has_service(const struct intercept_port *port);
/* What the Service of this name is now, NULL: gone. True: a port is elsewhere in the pods. */
bool intercept_retarget(struct intercept_spec *spec, const char *service, json_object *object);
bool intercept_shares_port(const struct intercept_spec *a, const struct intercept_spec *b);
/* Whether a has the older right; of two of the same second the one that is active already. */
bool intercept_precedes(const struct intercept_spec *a, bool a_active,
	const struct intercept_spec *b, bool b_active);
/* -EBUSY, with whose the winner is and how it ends. */
int intercept_conflict(
	const struct intercept_spec *winner, const struct intercept_spec *loser, struct err *err);
/* Namespaces in which nothing is intercepted. */
bool intercept_is_system(const char *namespace, const char *manager_namespace);

#endif /* MANAGER_INTERCEPT_H */

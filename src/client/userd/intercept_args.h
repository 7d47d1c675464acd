/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/intercept_args.h - what an intercept is asked to be, checked
 *
 * From the request of docs/ipc-userd.md. Strings are owned; NULL means not given.
 */
#ifndef CLIENT_USERD_INTERCEPT_ARGS_H
#define CLIENT_USERD_INTERCEPT_ARGS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/userd/to_pod.h"
#include "core/attr.h"

struct err;

/* As the CRD has it. */
#define INTERCEPT_PORTS_MAX 32
/* IANA_SVC_NAME and DNS labels have at most 63 bytes; with NUL. */
#define INTERCEPT_LABEL_BYTES 64

/* LOCAL[:REMOTE[/UDP]]; remote, a service's or container's port by name or number, is empty when
 * absent. The protocol is asked for where two ports differ in that alone. */
struct intercept_port_arg {
	uint16_t local;
	char remote[INTERCEPT_LABEL_BYTES];
	enum intercept_protocol { INTERCEPT_ANY, INTERCEPT_TCP, INTERCEPT_UDP } protocol;
};

struct intercept_args {
	char *name; /* of the intercept: NAME-NS when only a namespace was given */
	char *workload; /* NULL: local_only */
	char *namespace, *address;
	char *service, *container; /* may be NULL */
	bool local_only; /* nothing but the names of its namespace */
	bool close_on_refuse, environment;
	struct intercept_port_arg ports[INTERCEPT_PORTS_MAX];
	size_t port_count; /* at least 1 (the default is 8080); 0: local_only */
	struct to_pod_port to_pod[INTERCEPT_PORTS_MAX];
	size_t to_pod_count;
};

/* namespace: the connection's. On failure nothing is to be freed. */
NODISCARD int intercept_args_parse(json_object *request, const char *namespace,
	struct intercept_args *ret_args, struct err *err);
void intercept_args_done(struct intercept_args *args);
bool intercept_is_loopback(const char *address); /* of --address: this machine itself */
NODISCARD int intercept_port_parse(
	const char *text, struct intercept_port_arg *ret_port, struct err *err);

#endif /* CLIENT_USERD_INTERCEPT_ARGS_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/service.h - the whole manager on one loop
 *
 * service_start() opens everything; service_stop() refuses new peers, tells the others why, and
 * closes all handles, so that uv_run() returns: soon, unless it is uninstalled and agents have yet
 * to be told.
 */
#ifndef MANAGER_SERVICE_H
#define MANAGER_SERVICE_H

#include <stdbool.h>
#include <uv.h>

#include "core/attr.h"
#include "manager/options.h"

/* Peers get this long to take the reason before their sockets are closed. */
#define SERVICE_DRAIN_MS 300

struct err;
struct service;

NODISCARD int service_start(uv_loop_t *loop, const struct manager_options *options,
	struct service **ret_service, struct err *err);
void service_stop(struct service *service); /* once */
/* Nothing is waited for any more: what is left are handles that close. */
bool service_is_closed(const struct service *service);
/* After uv_run() returned. NULL-safe. */
void service_free(struct service *service);

#endif /* MANAGER_SERVICE_H */

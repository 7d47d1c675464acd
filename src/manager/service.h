/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/service.h - the whole manager on one loop
 *
 * service_start() opens everything; service_stop() lets nobody in any more, sends clients and
 * agents to the next manager, waits for what they have open here for up to 2.5 s (for agents of a
 * manager that is uninstalled, up to 6 s), and closes all handles, so that uv_run() returns.
 */
#ifndef MANAGER_SERVICE_H
#define MANAGER_SERVICE_H

#include <stdbool.h>
#include <uv.h>

#include "core/attr.h"
#include "manager/options.h"

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

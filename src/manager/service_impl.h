/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/service_impl.h - the inside of service.h, for service.c (start, life) and service_end.c
 */
#ifndef MANAGER_SERVICE_IMPL_H
#define MANAGER_SERVICE_IMPL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/resident.h"
#include "manager/routes.h"
#include "manager/service.h"
#include "manager/service_fate.h"

#define SERVICE_STOP_REASON "the traffic-manager is shutting down"

struct identity;
struct identity_store;
struct kube_client;
struct lease;
struct retire;
struct sessions;
struct tunnel_server;

struct service {
	uv_loop_t *loop;
	struct kube_client *client;
	struct sessions *sessions;
	struct routes routes;
	struct tunnel_server *server;
	struct identity_store *identity_store;
	struct identity *identity; /* NULL: not read yet */
	struct lease *lease;
	struct fate fate;
	const struct manager_options *options;
	char *namespace;
	uv_timer_t timer; /* of resident, then of service_stop() */
	struct resident resident;
	unsigned int endings; /* answers that service_stop() waits for */
	uint64_t stopped_ms, agents_until_ms; /* 0: no agent is waited for */
	struct retire *retire; /* of agents whose pods are not known here */
	bool stopping, closed;
};

/* Closes whatever is open; uv_run() returns afterwards. */
void service_close(struct service *service);

#endif /* MANAGER_SERVICE_IMPL_H */

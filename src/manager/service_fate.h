/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/service_fate.h - why the manager is being ended: uninstalled, or only replaced
 */
#ifndef MANAGER_SERVICE_FATE_H
#define MANAGER_SERVICE_FATE_H

#include <stdbool.h>

struct kube_client;
struct kube_request;

/* uninstalled: the manager's Deployment is gone or being deleted, or its rights are. */
struct fate {
	void (*on_known)(void *user, bool uninstalled);
	void *user;
	struct kube_request *request; /* cancel it to be told nothing */
};

/* Asks the API server; on_known follows, not from within. */
void fate_ask(struct fate *fate, struct kube_client *client, const char *namespace);

#endif /* MANAGER_SERVICE_FATE_H */

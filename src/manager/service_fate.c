/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/service_fate.h"

#include <errno.h>

#include "cluster/client.h"
#include "cluster/json.h"

static void on_deployment(
	void *user, int r, int status UNUSED, json_object *body, const struct err *err UNUSED)
{
	struct fate *fate = user;
	bool gone = r == -ENOENT || r == -EACCES || r == -EPERM;

	fate->request = NULL;
	fate->on_known(fate->user, gone || json_path(body, "metadata.deletionTimestamp"));
}

void fate_ask(struct fate *fate, struct kube_client *client, const char *namespace)
{
	auto_free char *path = kube_path("apps/v1", "deployments", namespace, "traffic-manager");
	const struct kube_request_config config = {.method = "GET", .path = path};

	kube_request(client, &config, on_deployment, fate, &fate->request);
}

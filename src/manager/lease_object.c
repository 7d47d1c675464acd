/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing the Lease object; no I/O. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "manager/lease.h"

bool lease_available(
	struct lease_view *view, json_object *lease, const char *identity, uint64_t now_ms)
{
	const char *version = json_text_or(lease, "metadata.resourceVersion", "");
	const char *holder = json_text_or(lease, "spec.holderIdentity", "");

	if (strcmp(view->version, version) != 0) {
		(void)snprintf(view->version, sizeof(view->version), "%s", version);
		view->since_ms = now_ms;
	}
	return !*holder || strcmp(holder, identity) == 0 || now_ms - view->since_ms >= LEASE_MS;
}

/* A MicroTime: RFC 3339 with six digits. */
static void micro_time(const struct timespec *now, char out[static LEASE_TIME_MAX])
{
	struct tm tm;
	char seconds[24];

	(void)gmtime_r(&now->tv_sec, &tm);
	(void)strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out, LEASE_TIME_MAX, "%s.%06ldZ", seconds, now->tv_nsec / 1000);
}

char *lease_claim(json_object *lease, const char *identity, const struct timespec *now)
{
	json_object *object = json_object_new_object(), *metadata = json_object_new_object();
	json_object *spec = json_object_new_object();
	const char *holder = json_text_or(lease, "spec.holderIdentity", "");
	const char *acquired = json_text(lease, "spec.acquireTime");
	int64_t transitions = json_int(lease, "spec.leaseTransitions", 0);
	bool same = acquired && strcmp(holder, identity) == 0;
	char text[LEASE_TIME_MAX];
	char *body = NULL;

	micro_time(now, text);
	json_object_object_add(
		metadata, "labels", json_object_get(json_path(lease, "metadata.labels")));
	json_object_object_add(
		metadata, "annotations", json_object_get(json_path(lease, "metadata.annotations")));
	json_add_text(metadata, "name", json_text_or(lease, "metadata.name", ""));
	json_add_text(metadata, "namespace", json_text_or(lease, "metadata.namespace", ""));
	json_add_text(
		metadata, "resourceVersion", json_text_or(lease, "metadata.resourceVersion", ""));
	json_add_text(spec, "holderIdentity", identity);
	json_add_text(spec, "renewTime", text);
	json_add_text(spec, "acquireTime", same ? acquired : text);
	json_object_object_add(spec, "leaseDurationSeconds", json_object_new_int(LEASE_MS / 1000));
	json_object_object_add(
		spec, "leaseTransitions", json_object_new_int64(transitions + !same));
	json_add_text(object, "apiVersion", "coordination.k8s.io/v1");
	json_add_text(object, "kind", "Lease");
	json_object_object_add(object, "metadata", metadata);
	json_object_object_add(object, "spec", spec);
	body = xstrdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	json_object_put(object);
	return body;
}

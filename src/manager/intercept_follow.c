/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rollout may give a Service's port another place in the pods, by the Service's targetPort. What
 * comes by the Service is what was intercepted, so the agents' rules go there too, and each pod
 * proves them anew. The laptop goes on knowing the port by its first number.
 */
#include "manager/intercept_follow.h"

#include <errno.h>
#include <string.h>

#include "cluster/watch.h"
#include "core/alloc.h"
#include "core/log.h"
#include "manager/intercept_member.h"

/* So long an ACTIVE intercept stays so while its pods prove their new rules. */
#define RENEW_MS 3000

struct follow {
	struct intercept *intercept;
	const char *service; /* the spec's */
	struct kube_watch *watch;
	bool known;
	struct follow *next;
};

static void renew(struct intercept *intercept)
{
	struct member *member = NULL;

	log_info("a Service leads elsewhere", "intercept=%s/%s port=%u name=%s",
		intercept->spec->namespace, intercept->spec->object,
		intercept->spec->ports[0].target_port, intercept->spec->ports[0].target_name);
	intercept->hold_ms = intercepts_now(intercept->set) + RENEW_MS;
	service_reset(intercept);
	DL_FOREACH (intercept->members, member)
		member_renew(member);
	/* Another intercept may have had that port. */
	intercepts_dirty(intercept->set);
}

static void on_event(void *user, enum kube_event event, json_object *object)
{
	struct follow *follow = user;
	struct intercept *intercept = follow->intercept;

	if (intercept_retarget(
		    intercept->spec, follow->service, event == KUBE_DELETED ? NULL : object))
		renew(intercept);
	intercept_dirty(intercept);
}

static void settle(struct follow *follow)
{
	follow->known = true;
	intercept_dirty(follow->intercept);
}

static void on_synced(void *user)
{
	settle(user);
}

/* It goes on by what its object says. */
static void on_error(void *user, const struct err *err)
{
	struct follow *follow = user;

	log_warn("a Service is not followed", "intercept=%s/%s service=%s error=%s",
		follow->intercept->spec->namespace, follow->intercept->spec->object,
		follow->service, err->msg);
	settle(follow);
}

static bool is_followed(const struct intercept *intercept, const char *service)
{
	for (const struct follow *follow = intercept->follows; follow; follow = follow->next) {
		if (strcmp(follow->service, service) == 0)
			return true;
	}
	return false;
}

static void add(struct intercept *intercept, const char *service)
{
	static const struct kube_watch_events events = {
		.on_event = on_event, .on_synced = on_synced, .on_error = on_error};
	auto_free char *services = kube_path("v1", "services", intercept->spec->namespace, NULL);
	auto_free char *path = xasprintf("%s?fieldSelector=metadata.name%%3D%s", services, service);
	struct follow *follow = XNEW(struct follow);

	follow->intercept = intercept;
	follow->service = service;
	LL_PREPEND(intercept->follows, follow);
	follow->watch = kube_watch_start(intercept->set->client, path, &events, follow);
}

void follow_start(struct intercept *intercept)
{
	const struct intercept_spec *spec = intercept->spec;

	for (size_t i = 0; i < spec->port_count && !intercept->foreign; i++) {
		if (intercept_has_service(&spec->ports[i]) &&
			!is_followed(intercept, spec->ports[i].service))
			add(intercept, spec->ports[i].service);
	}
}

void follow_stop(struct intercept *intercept)
{
	struct follow *follow = NULL, *next = NULL;

	LL_FOREACH_SAFE (intercept->follows, follow, next) {
		kube_watch_stop(follow->watch);
		free(follow);
	}
	intercept->follows = NULL;
}

bool follow_known(const struct intercept *intercept)
{
	for (const struct follow *follow = intercept->follows; follow; follow = follow->next) {
		if (!follow->known)
			return false;
	}
	return true;
}

bool follow_left(const struct intercept *intercept, struct err *why)
{
	const struct intercept_spec *spec = intercept->spec;

	for (size_t i = 0; i < spec->port_count; i++) {
		const struct intercept_port *port = &spec->ports[i];

		if (!port->left)
			continue;
		err_set(why, -ENOENT, ERR_NOT_FOUND,
			"Service %s has no port %u any more: port %u of the pods stays "
			"intercepted, and nothing comes by that Service",
			port->service, port->service_port, port->target_port);
		return true;
	}
	return false;
}

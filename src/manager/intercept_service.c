/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof through the Service: each ClusterIP and intercepted port, once before ACTIVE.
 *
 * Which pod the Service picks is not known before, and it may have pods of other workloads: one
 * captured connection of several proves the path.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "manager/intercept_member.h"
#include "manager/intercept_seat.h"
#include "manager/pods.h"

#define PROBE_TRIES 8
/* Agents that a connection is announced to. */
#define PODS_MAX 256

static void prove_next(struct intercept *intercept);

void service_reset(struct intercept *intercept)
{
	struct service_proof *service = &intercept->service;

	kube_request_cancel(service->request);
	probe_cancel(service->probe);
	*service = (struct service_proof){.state = SERVICE_UNKNOWN};
}

static void settle(struct intercept *intercept, enum service_state state)
{
	intercept->service.state = state;
	intercept_dirty(intercept);
}

static void on_probed(void *user, int r, const struct err *err)
{
	struct intercept *intercept = user;
	struct service_proof *service = &intercept->service;

	service->probe = NULL;
	if (r == 0) {
		service->step++;
		service->tries = 0;
		prove_next(intercept);
		return;
	}
	if (++service->tries < PROBE_TRIES) {
		prove_next(intercept);
		return;
	}
	if (r == -EXDEV)
		err_set(&service->problem, r, ERR_UNSUPPORTED,
			"bypassed by CNI: connections to Service %s do not reach the pods by their "
			"network namespace: %.200s",
			intercept->spec->service, err->msg);
	else
		err_set(&service->problem, r, err->kind, "Service %s is not reached: %.300s",
			intercept->spec->service, err->msg);
	settle(intercept, SERVICE_FAILED);
}

/* The pods whose agents may see the connection; all must know the port by the same number. */
static size_t collect(const struct intercept *intercept, const struct intercept_port *port,
	const char **uids, uint16_t *ret_number)
{
	const struct member *member = NULL;
	size_t count = 0;

	DL_FOREACH (intercept->members, member) {
		uint16_t number = member_port(member, port);

		if (member->state != MEMBER_ACTIVE || count == PODS_MAX)
			continue;
		if (count == 0)
			*ret_number = number;
		if (number == *ret_number)
			uids[count++] = member->seat->uid;
	}
	return count;
}

/* Steps count ports, and for each the ClusterIPs. */
static void prove_next(struct intercept *intercept)
{
	struct service_proof *service = &intercept->service;
	const struct intercept_spec *spec = intercept->spec;
	size_t count = service->addr_count, pods = 0;
	const char *uids[PODS_MAX];
	uint16_t number = 0;

	for (; count > 0 && service->step / count < spec->port_count; service->step++) {
		const struct intercept_port *port = &spec->ports[service->step / count];
		struct ip_endpoint target = {
			.addr = service->addrs[service->step % count], .port = port->service_port};

		if (!port->service_port)
			continue;
		pods = collect(intercept, port, uids, &number);
		if (pods == 0) {
			/* They are gone meanwhile: again when there are some. */
			service_reset(intercept);
			intercept_dirty(intercept);
			return;
		}
		service->probe = probe_start(intercept->set->agents, uids, pods, &target, number,
			port->protocol, on_probed, intercept);
		return;
	}
	settle(intercept, SERVICE_PROVEN);
}

static void add_address(
	const struct intercepts *set, struct service_proof *service, const char *text)
{
	struct ip_addr *addr = &service->addrs[service->addr_count];

	/* "None" of a headless Service is no address. */
	if (service->addr_count == CLUSTER_IPS || !text || ip_addr_parse(text, addr) < 0)
		return;
	if (addr->family == AF_INET ? set->has_ipv4 : set->has_ipv6)
		service->addr_count++;
}

static void on_service(
	void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct intercept *intercept = user;
	struct service_proof *service = &intercept->service;

	service->request = NULL;
	if (r < 0 && err->kind == ERR_UNREACHABLE) {
		/* Asked again by the next judgement. */
		service->state = SERVICE_UNKNOWN;
		return;
	}
	if (r < 0) {
		err_set(&service->problem, r, err->kind, "Service %s cannot be read: %.300s",
			intercept->spec->service, err->msg);
		settle(intercept, SERVICE_FAILED);
		return;
	}
	for (size_t i = 0; i < json_count(body, "spec.clusterIPs"); i++)
		add_address(intercept->set, service,
			json_object_get_string(json_item(body, "spec.clusterIPs", i)));
	service->state = SERVICE_PROBING;
	prove_next(intercept);
}

void service_prove(struct intercept *intercept)
{
	const struct intercept_spec *spec = intercept->spec;
	auto_free char *path = NULL;
	struct kube_request_config config = {.method = "GET"};

	if (intercept->service.state != SERVICE_UNKNOWN)
		return;
	/* Services are named by DNS-1035 labels; anything else is not asked for. */
	if (!*spec->service ||
		spec->service[strspn(spec->service, "abcdefghijklmnopqrstuvwxyz0123456789-")]) {
		intercept->service.state = SERVICE_PROVEN;
		return;
	}
	path = kube_path("v1", "services", spec->namespace, spec->service);
	config.path = path;
	intercept->service.state = SERVICE_ASKED;
	kube_request(intercept->set->client, &config, on_service, intercept,
		&intercept->service.request);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof through the Services: each intercepted port of one, by each of its ClusterIPs, once
 * before ACTIVE.
 *
 * Which pod a Service picks is not known before, and it may have pods of other workloads: one
 * captured connection of several proves the path. Where none is, and others are among its pods, it
 * proves nothing: the pods' own addresses have to do. The same goes for a Service that leads to the
 * pods of the client's node alone, whose client the manager is.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "core/limits.h"
#include "core/log.h"
#include "manager/intercept_member.h"
#include "manager/intercept_seat.h"
#include "manager/pods.h"

#define PROBE_TRIES 8
/* A path that is not there may come: kube-proxy is behind what has just become ready. */
#define PATH_TRIES    5
#define PATH_AGAIN_MS 600
/* Agents that a connection is announced to. */
#define PODS_MAX 256

static void prove_next(struct intercept *intercept);

void service_reset(struct intercept *intercept)
{
	struct service_proof *service = &intercept->service;

	kube_request_cancel(service->request);
	probe_cancel(service->probe);
	json_object_put(service->selector);
	*service = (struct service_proof){.state = SERVICE_UNKNOWN};
}

static void settle(struct intercept *intercept, enum service_state state)
{
	intercept->service.state = state;
	intercept_dirty(intercept);
}

static void prove_next_address(struct intercept *intercept)
{
	intercept->service.addr++;
	intercept->service.tries = 0;
	prove_next(intercept);
}

/* Whether the list has a pod that gets connections and that nobody intercepts. */
static bool has_stranger(const struct intercept *intercept, json_object *list)
{
	for (size_t i = 0; i < json_count(list, "items"); i++) {
		json_object *pod = json_item(list, "items", i);
		const struct seat *seat = seat_find(intercept->set, pod_uid(pod));

		if (pod_ready(pod) && !(seat && member_find(intercept, seat)))
			return true;
	}
	return json_text(list, "metadata.continue") != NULL;
}

static void on_pods(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct intercept *intercept = user;
	struct service_proof *service = &intercept->service;

	service->request = NULL;
	if (r == 0 && has_stranger(intercept, body)) {
		log_info("not proven through the Service, which has other pods too",
			"intercept=%s/%s service=%s", intercept->spec->namespace,
			intercept->spec->object, service->name);
		prove_next_address(intercept);
		return;
	}
	if (r < 0)
		log_warn("pods of a Service not read", "service=%s error=%s", service->name,
			err->msg);
	settle(intercept, SERVICE_FAILED);
}

/* No connection came to an agent. */
static void look_for_strangers(struct intercept *intercept)
{
	struct service_proof *service = &intercept->service;
	json_object *selector = json_object_new_object();
	auto_free char *pods = kube_path("v1", "pods", intercept->spec->namespace, NULL);
	auto_free char *labels = NULL, *path = NULL;
	struct kube_request_config config = {.method = "GET"};

	json_object_object_add(selector, "matchLabels", json_object_get(service->selector));
	labels = workload_selector(selector);
	json_object_put(selector);
	if (!labels) {
		settle(intercept, SERVICE_FAILED);
		return;
	}
	path = xasprintf("%s?limit=%d&labelSelector=%s", pods, LIMIT_KUBE_PAGE_ITEMS, labels);
	config.path = path;
	kube_request(intercept->set->client, &config, on_pods, intercept, &service->request);
}

static void on_probed(void *user, int r, const struct err *err)
{
	struct intercept *intercept = user;
	struct service_proof *service = &intercept->service;

	service->probe = NULL;
	if (r == 0) {
		prove_next_address(intercept);
		return;
	}
	if (++service->tries < PROBE_TRIES && r == -EXDEV) {
		prove_next(intercept);
		return;
	}
	if (r != -EXDEV && service->tries < PATH_TRIES) {
		service->retry_ms = intercepts_now(intercept->set) + PATH_AGAIN_MS;
		return;
	}
	if (r == -EXDEV)
		err_set(&service->problem, r, ERR_UNSUPPORTED,
			"bypassed by CNI: connections to Service %s do not reach the pods by their "
			"network namespace: %.200s",
			service->name, err->msg);
	else
		err_set(&service->problem, r, err->kind, "Service %s is not reached: %.300s",
			service->name, err->msg);
	look_for_strangers(intercept);
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

static void probe_address(struct intercept *intercept, const struct intercept_port *port)
{
	struct service_proof *service = &intercept->service;
	const struct ip_endpoint target = {
		.addr = service->addrs[service->addr], .port = port->service_port};
	const char *uids[PODS_MAX];
	uint16_t number = 0;
	size_t pods = collect(intercept, port, uids, &number);

	if (pods == 0) {
		/* They are gone meanwhile: again when there are some. */
		service_reset(intercept);
		intercept_dirty(intercept);
		return;
	}
	service->probe = probe_start(intercept->set->agents, uids, pods, &target, number,
		port->protocol, on_probed, intercept);
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
	bool local = strcmp(json_text_or(body, "spec.internalTrafficPolicy", ""), "Local") == 0;

	service->request = NULL;
	if (r < 0 && err->kind == ERR_UNREACHABLE) {
		/* Asked again by the next judgement. */
		service->name = NULL;
		service->state = SERVICE_UNKNOWN;
		return;
	}
	if (r < 0) {
		err_set(&service->problem, r, err->kind, "Service %s cannot be read: %.300s",
			service->name, err->msg);
		settle(intercept, SERVICE_FAILED);
		return;
	}
	for (size_t i = 0; !local && i < json_count(body, "spec.clusterIPs"); i++)
		add_address(intercept->set, service,
			json_object_get_string(json_item(body, "spec.clusterIPs", i)));
	service->selector = json_object_get(json_path(body, "spec.selector"));
	service->state = SERVICE_PROBING;
	prove_next(intercept);
}

static void ask_service(struct intercept *intercept, const char *name)
{
	struct service_proof *service = &intercept->service;
	auto_free char *path = kube_path("v1", "services", intercept->spec->namespace, name);
	const struct kube_request_config config = {.method = "GET", .path = path};

	json_object_put(TAKE_PTR(service->selector));
	service->name = name;
	service->addr_count = 0;
	service->state = SERVICE_ASKED;
	kube_request(intercept->set->client, &config, on_service, intercept, &service->request);
}

static void prove_next(struct intercept *intercept)
{
	struct service_proof *service = &intercept->service;
	const struct intercept_spec *spec = intercept->spec;

	for (; service->port < spec->port_count; service->port++, service->addr = 0) {
		const struct intercept_port *port = &spec->ports[service->port];

		if (!intercept_has_service(port))
			continue;
		if (!service->name || strcmp(service->name, port->service) != 0) {
			ask_service(intercept, port->service);
			return;
		}
		if (service->addr < service->addr_count) {
			probe_address(intercept, port);
			return;
		}
	}
	settle(intercept, SERVICE_PROVEN);
}

void service_sweep(struct intercept *intercept)
{
	struct service_proof *service = &intercept->service;

	if (service->retry_ms == 0 || intercepts_now(intercept->set) < service->retry_ms)
		return;
	service->retry_ms = 0;
	prove_next(intercept);
}

void service_prove(struct intercept *intercept)
{
	if (intercept->service.state == SERVICE_UNKNOWN)
		prove_next(intercept);
}

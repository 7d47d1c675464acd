/* SPDX-License-Identifier: Apache-2.0 */
/* Seats as their pods come, change and go, and what their agents are told to do. */
#include <netinet/in.h>
#include <string.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "manager/intercept_member.h"
#include "manager/intercept_reader.h"
#include "manager/intercept_seat.h"
#include "manager/pods.h"

struct seat *seat_find(const struct intercepts *set, const char *uid)
{
	struct seat *seat = NULL;

	HASH_FIND_STR(set->seats, uid, seat);
	return seat;
}

static json_object *new_port(const struct member *member, const struct intercept_port *wanted)
{
	uint16_t number = member_port(member, wanted);
	json_object *port = json_object_new_object();

	json_object_object_add(port, "port", json_object_new_int(number));
	json_add_text(port, "protocol", wanted->protocol == IPPROTO_UDP ? "UDP" : "TCP");
	json_add_text(port, "probe", pod_probe(member->seat->pod, number, wanted->protocol));
	if (number != wanted->container_port)
		json_object_object_add(port, "as", json_object_new_int(wanted->container_port));
	return port;
}

/* Two ports of different names and numbers may be one in this pod: the first intercept has it. */
static bool has_port(json_object *intercepts, json_object *ports, json_object *port)
{
	size_t count = json_object_array_length(intercepts);

	for (size_t i = 0; i <= count; i++) {
		json_object *list =
			i < count ? json_member(json_object_array_get_idx(intercepts, i), "ports")
				  : ports;

		for (size_t j = 0; j < json_object_array_length(list); j++) {
			json_object *have = json_object_array_get_idx(list, j);

			if (json_int(have, "port", 0) == json_int(port, "port", 0) &&
				json_object_equal(json_member(have, "protocol"),
					json_member(port, "protocol")))
				return true;
		}
	}
	return false;
}

static json_object *new_entry(const struct member *member, json_object *intercepts)
{
	const struct intercept_spec *spec = member->intercept->spec;
	json_object *entry = json_object_new_object(), *ports = json_object_new_array();

	for (size_t i = 0; i < spec->port_count; i++) {
		json_object *port = new_port(member, &spec->ports[i]);

		if (has_port(intercepts, ports, port))
			json_object_put(port);
		else
			(void)json_object_array_add(ports, port);
	}
	json_add_text(entry, "uid", spec->uid);
	json_add_text(entry, "onRefuse", spec->refuse_closes ? "close" : "app");
	json_object_object_add(entry, "ports", ports);
	return entry;
}

void seat_configure(struct seat *seat)
{
	json_object *list = json_object_new_array();

	for (struct member *member = seat->members; member; member = member->seat_next)
		(void)json_object_array_add(list, new_entry(member, list));
	agents_configure(seat->set->agents, seat->uid, list, pod_node_addresses(seat->pod));
}

/* Nobody is let in from elsewhere, and the kubelet's probes are known by where they come from. */
static void announce(struct seat *seat)
{
	struct ip_addr addrs[AGENTS_POD_ADDRESSES];
	size_t count = pod_addresses(seat->pod, addrs, ARRAY_SIZE(addrs));
	json_object *nodes = pod_node_addresses(seat->pod);
	auto_free char *name = NULL, *text = NULL;

	text = xasprintf("%s %s", json_object_to_json_string(json_path(seat->pod, "status.podIPs")),
		json_object_to_json_string(nodes));
	json_object_put(nodes);
	/* Without an address yet it can be given a token all the same. */
	if (seat->addresses && strcmp(seat->addresses, text) == 0)
		return;
	free(seat->addresses);
	seat->addresses = TAKE_PTR(text);
	name = xasprintf(
		"%s/%s", json_text_or(seat->pod, "metadata.namespace", ""), pod_name(seat->pod));
	agents_add(seat->set->agents, seat->uid, name, addrs, count);
	if (seat->members)
		seat_configure(seat);
}

void seat_on_pod(struct intercepts *set, json_object *pod, bool is_new_target)
{
	const char *uid = pod_uid(pod);
	struct seat *seat = seat_find(set, uid);

	if (!seat) {
		seat = XNEW(struct seat);
		seat->uid = xstrdup(uid);
		seat->set = set;
		HASH_ADD_KEYPTR(hh, set->seats, seat->uid, strlen(seat->uid), seat);
	}
	if (is_new_target)
		seat->targets++;
	json_object_put(seat->pod);
	seat->pod = json_object_get(pod);
	announce(seat);
	seat_mark(seat);
	seat_step(seat);
}

void seat_drop(struct seat *seat, bool all)
{
	struct intercepts *set = seat->set;

	if (!all && --seat->targets > 0)
		return;
	while (seat->members)
		member_leave(seat->members, false);
	placement_cancel(seat->placement);
	readers_drop(seat);
	kube_request_cancel(seat->node_asked);
	asked_forget(&seat->asked);
	HASH_DEL(set->seats, seat);
	if (seat->addresses)
		agents_remove(set->agents, seat->uid);
	free(seat->addresses);
	json_object_put(seat->pod);
	free(seat->uid);
	free(seat);
}

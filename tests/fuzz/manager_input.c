/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: manager */
/*
 * What a client and the API server send the manager: targets and paths of requests, echo datagrams,
 * and objects for the description of the cluster and for Sessions. The first byte chooses.
 */
#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "manager/cluster_state.h"
#include "tunnel/echo.h"
#include "manager/session.h"
#include "tunnel/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void targets(const char *text)
{
	struct target target;
	const struct target_policy policy = {.own_port = 8081};

	if (target_parse(text, &target) == 0)
		assert(target.port != 0 && strlen(target.host) > 0);
	if (target_parse_udp(text, &target) == 0) {
		struct ip_endpoint endpoint = {.addr = target.addr, .port = target.port};

		assert(target.addr.family != 0 && target.port != 0);
		(void)target_allowed(&policy, &endpoint);
	}
	if (target_parse_icmp(text, &target) == 0)
		assert(target.addr.family != 0);
}

static void echo(const uint8_t *data, size_t size)
{
	uint8_t *out = xcalloc(size + ECHO_ICMP_BYTES, 1);
	uint8_t *start = NULL;
	uint16_t ident = 0;
	ssize_t n = echo_to_icmp(AF_INET, data, size, out, &ident);

	assert(n < 0 || (size_t)n == size + ECHO_ICMP_BYTES - ECHO_HEADER_BYTES);
	memcpy(out, data, size);
	n = echo_from_icmp(AF_INET6, ident, out, size, &start);
	assert(n < 0 || start + n == out + size);
	free(out);
}

static void objects(const char *text)
{
	static const cluster_state_fn fns[] = {cluster_state_service_cidr, cluster_state_node,
		cluster_state_namespace, cluster_state_api_endpoints, cluster_state_pod,
		cluster_state_service};
	struct cluster_state_config config = {.cluster_domain = "cluster.local"};
	struct cluster_state *state = cluster_state_new(&config);
	json_object *object = json_tokener_parse(text);
	struct session *session = NULL;
	char *line;

	for (size_t i = 0; object && i < ARRAY_SIZE(fns); i++)
		fns[i](state, KUBE_ADDED, object);
	line = cluster_state_format(state);
	free(line);
	cluster_state_free(state);
	if (object && session_parse(object, true, 1, 1, &session, NULL) == 0) {
		char *patch = session_patch(session, 1, 1);

		free(patch);
		session_free(session);
	}
	json_object_put(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size < 1)
		return 0;
	text = xstrndup((const char *)data + 1, size - 1);
	switch (data[0] % 3) {
	case 0:
		targets(text);
		break;
	case 1:
		echo(data + 1, size - 1);
		break;
	default:
		objects(text);
	}
	free(text);
	return 0;
}

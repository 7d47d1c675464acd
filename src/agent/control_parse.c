/* SPDX-License-Identifier: Apache-2.0 */
/* What the manager says, checked: docs/agent.md, section 3. */
#include <errno.h>
#include <string.h>

#include "agent/control.h"
#include "cluster/json.h"
#include "core/err.h"

#define IDLE_DEFAULT_S 600

static int malformed(struct err *err, const char *what)
{
	return err_set(err, -EPROTO, ERR_INTERNAL, "the traffic-manager's configuration: %s", what);
}

static int parse_protocol(const char *name, uint8_t *ret_protocol)
{
	if (!name)
		return -EPROTO;
	if (strcmp(name, "TCP") == 0)
		*ret_protocol = IPPROTO_TCP;
	else if (strcmp(name, "UDP") == 0)
		*ret_protocol = IPPROTO_UDP;
	else
		return -EPROTO;
	return 0;
}

static int parse_port(json_object *object, const char *key, uint16_t *ret_port)
{
	int64_t port = json_int(object, key, 0);

	if (port < 1 || port > UINT16_MAX)
		return -EPROTO;
	*ret_port = (uint16_t)port;
	return 0;
}

static int parse_probe(const char *name, enum engine_probe *ret_probe)
{
	static const char *const names[] = {
		[ENGINE_PROBE_NONE] = "none",
		[ENGINE_PROBE_TCP] = "tcp",
		[ENGINE_PROBE_HTTP] = "http",
		[ENGINE_PROBE_GRPC] = "grpc",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(name, names[i]) == 0) {
			*ret_probe = (enum engine_probe)i;
			return 0;
		}
	}
	return -EPROTO;
}

static bool has_port(const struct engine_config *engine, const struct engine_port *port)
{
	for (size_t i = 0; i < engine->port_count; i++) {
		if (engine->ports[i].port == port->port &&
			engine->ports[i].protocol == port->protocol)
			return true;
	}
	return false;
}

static int add_port(struct engine_config *engine, json_object *object,
	const struct engine_port *template, struct err *err)
{
	struct engine_port port = *template;

	if (parse_port(object, "port", &port.port) < 0 ||
		parse_protocol(json_text(object, "protocol"), &port.protocol) < 0 ||
		parse_probe(json_text_or(object, "probe", "none"), &port.probe) < 0)
		return malformed(err, "a port that is none");
	if (has_port(engine, &port))
		return malformed(err, "a port twice");
	if (engine->port_count == ARRAY_SIZE(engine->ports))
		return malformed(err, "more than 64 ports");
	engine->ports[engine->port_count++] = port;
	return 0;
}

static int add_intercept(struct engine_config *engine, json_object *object, struct err *err)
{
	struct engine_port template = {.port = 0};
	const char *uid = json_text(object, "uid");
	const char *on_refuse = json_text_or(object, "onRefuse", "app");
	int r = 0;

	if (!uid || !*uid || strlen(uid) >= sizeof(template.intercept))
		return malformed(err, "an intercept without UID");
	memcpy(template.intercept, uid, strlen(uid) + 1);
	template.close_on_refuse = strcmp(on_refuse, "close") == 0;
	if (!template.close_on_refuse && strcmp(on_refuse, "app") != 0)
		return malformed(err, "an unknown onRefuse");
	for (size_t i = 0; r == 0 && i < json_count(object, "ports"); i++)
		r = add_port(engine, json_item(object, "ports", i), &template, err);
	return r;
}

static int add_node(struct engine_config *engine, json_object *address, struct err *err)
{
	const char *text = json_object_is_type(address, json_type_string)
				   ? json_object_get_string(address)
				   : "";

	if (engine->node_count == ARRAY_SIZE(engine->nodes))
		return malformed(err, "more than 32 addresses of nodes");
	if (ip_addr_parse(text, &engine->nodes[engine->node_count]) < 0)
		return malformed(err, "an address that is none");
	engine->node_count++;
	return 0;
}

int control_parse_config(json_object *line, struct control_config *ret_config, struct err *err)
{
	struct control_config config = {.generation = json_int(line, "generation", -1)};
	int64_t idle_s = json_int(line, "idleSeconds", IDLE_DEFAULT_S);
	int r = 0;

	if (idle_s < 1 || idle_s > CONTROL_IDLE_MAX_S)
		return malformed(err, "idleSeconds out of range");
	config.idle_s = (uint32_t)idle_s;
	if (!json_object_is_type(json_member(line, "intercepts"), json_type_array))
		return malformed(err, "no list of intercepts");
	for (size_t i = 0; r == 0 && i < json_count(line, "nodeAddresses"); i++)
		r = add_node(&config.engine, json_item(line, "nodeAddresses", i), err);
	for (size_t i = 0; r == 0 && i < json_count(line, "intercepts"); i++)
		r = add_intercept(&config.engine, json_item(line, "intercepts", i), err);
	if (r == 0)
		*ret_config = config;
	return r;
}

int control_parse_expect(json_object *line, struct control_expect *ret_expect)
{
	struct control_expect expect = {.id = 0};
	int64_t id = json_int(line, "id", -1);

	if (id < 0 || id > UINT32_MAX ||
		ip_addr_parse(json_text_or(line, "source", ""), &expect.source.addr) < 0 ||
		parse_port(line, "sourcePort", &expect.source.port) < 0 ||
		parse_port(line, "port", &expect.port) < 0 ||
		parse_protocol(json_text(line, "protocol"), &expect.protocol) < 0)
		return -EPROTO;
	expect.id = (uint32_t)id;
	*ret_expect = expect;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Control lines of docs/agent.md, section 3: what the manager says, and what it hears. */
#include "manager/agent_messages.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "manager/agents_env.h"
#include "manager/agents_impl.h"
#include "manager/pods.h"

static json_object *message_new(const char *type)
{
	json_object *line = json_object_new_object();

	json_add_text(line, "type", type);
	return line;
}

/* A connection that was told to exit has been told everything. */
static void send_line(struct agent_conn *conn, json_object *line)
{
	if (conn && conn->control && conn->close_ms == 0) {
		const char *text = json_object_to_json_string_ext(
			line, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

		lines_send(conn->control, text, strlen(text));
	}
	json_object_put(line);
}

/* Both arrays are taken. */
static void send_config(struct agent_conn *conn, int64_t generation, json_object *node_addresses,
	json_object *intercepts)
{
	json_object *line = message_new("config");

	json_object_object_add(line, "generation", json_object_new_int64(generation));
	json_object_object_add(
		line, "idleSeconds", json_object_new_int64((int64_t)conn->agents->idle_s));
	json_object_object_add(line, "nodeAddresses", node_addresses);
	json_object_object_add(line, "intercepts", intercepts);
	send_line(conn, line);
}

void agent_send_config(struct agent_pod *pod)
{
	if (pod->conn)
		send_config(pod->conn, pod->generation, json_object_get(pod->node_addresses),
			json_object_get(pod->intercepts));
}

void agent_send_idle(struct agent_conn *conn)
{
	send_config(conn, 0, json_object_new_array(), json_object_new_array());
}

void agent_send_env(struct agent_conn *conn, uint32_t id)
{
	json_object *line = message_new("env");

	json_object_object_add(line, "id", json_object_new_int64(id));
	send_line(conn, line);
}

void agent_send_exit(struct agent_conn *conn, const char *reason)
{
	json_object *line = message_new("exit");

	json_add_text(line, "reason", reason);
	send_line(conn, line);
}

/* The agent shall open the connection on which it serves. */
void agent_send_reach(struct agent_conn *conn)
{
	send_line(conn, message_new("reach"));
}

static const char *protocol_name(int protocol)
{
	return protocol == IPPROTO_UDP ? "UDP" : "TCP";
}

bool agent_expect_start(struct agents *agents, const char *pod_uid, struct agent_expect *expect,
	const struct ip_endpoint *source, uint16_t port, int protocol)
{
	struct agent_pod *pod = agents_find(agents, pod_uid);
	char text[ADDR_TEXT_BYTES];
	json_object *line;

	if (!agents_connected(agents, pod_uid))
		return false;
	expect->pod = pod;
	expect->id = ++agents->last_id;
	DL_APPEND(pod->expects, expect);
	line = message_new("expect");
	json_object_object_add(line, "id", json_object_new_int64(expect->id));
	json_add_text(line, "source", ip_addr_format(&source->addr, text));
	json_object_object_add(line, "sourcePort", json_object_new_int(source->port));
	json_object_object_add(line, "port", json_object_new_int(port));
	json_add_text(line, "protocol", protocol_name(protocol));
	send_line(pod->conn, line);
	return true;
}

void agent_expect_stop(struct agent_expect *expect)
{
	if (!expect->pod)
		return;
	DL_DELETE(expect->pod->expects, expect);
	expect->pod = NULL;
}

void agent_pod_lose_expects(struct agent_pod *pod)
{
	struct agent_expect *expect;

	while ((expect = pod->expects)) {
		agent_expect_stop(expect);
		expect->on_event(expect, AGENT_LOST);
	}
}

static bool port_matches(json_object *object, uint16_t port, int protocol)
{
	return json_int(object, "port", 0) == port &&
	       strcmp(json_text_or(object, "protocol", "TCP"), protocol_name(protocol)) == 0;
}

static json_object *find_port(json_object *intercept, uint16_t port, int protocol)
{
	for (size_t i = 0; i < json_count(intercept, "ports"); i++) {
		if (port_matches(json_item(intercept, "ports", i), port, protocol))
			return json_item(intercept, "ports", i);
	}
	return NULL;
}

static json_object *find_intercept(const struct agent_pod *pod, const char *intercept)
{
	size_t count = pod->configured ? json_object_array_length(pod->intercepts) : 0;

	for (size_t i = 0; i < count; i++) {
		json_object *item = json_object_array_get_idx(pod->intercepts, i);

		if (strcmp(json_text_or(item, "uid", ""), intercept) == 0)
			return item;
	}
	return NULL;
}

bool agent_pod_has(const struct agent_pod *pod, const char *intercept, uint16_t port, int protocol)
{
	json_object *item = find_intercept(pod, intercept);

	return item && (protocol == 0 || find_port(item, port, protocol));
}

uint16_t agent_pod_known_as(
	const struct agent_pod *pod, const char *intercept, uint16_t port, int protocol)
{
	return (uint16_t)json_int(
		find_port(find_intercept(pod, intercept), port, protocol), "as", port);
}

static int malformed(const char *type, struct err *err)
{
	return err_set(err, -EPROTO, ERR_INTERNAL, "a malformed %s", type);
}

/* Which of two agents stays: the rules are with one of them, and so are the connections. The other
 * was placed because this one was thought lost. */
static bool is_superfluous(const struct agent_conn *conn, const struct agent_conn *former)
{
	return former && former->ruled && former->close_ms == 0 &&
	       strcmp(former->name, conn->name) != 0;
}

/* The newest connection counts. One of the same agent is what it left behind. */
static void replace(struct agent_conn *former, const struct agent_conn *conn)
{
	agent_pod_lose_expects(former->pod);
	if (strcmp(former->name, conn->name) == 0)
		agent_peer_close(former->peer, "connected again");
	else
		agent_conn_exit(former, "another agent of this pod connected");
}

/* RFC 1123: what Kubernetes lets through as the name of a container. */
static bool name_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

	return name && name[0] && strlen(name) < AGENT_NAME_BYTES &&
	       strspn(name, allowed) == strlen(name);
}

/* It has an environment and nothing else to do; what it left behind ends. */
static void take_reader(struct agent_conn *conn)
{
	struct agent_conn *former = NULL;

	DL_FOREACH (conn->agents->conns, former) {
		if (former != conn && former->pod == conn->pod &&
			strcmp(former->name, conn->name) == 0)
			break;
	}
	if (former)
		agent_peer_close(former->peer, "connected again");
	agent_send_idle(conn);
	agent_env_hello(conn);
}

static int on_hello(struct agent_conn *conn, json_object *line, struct err *err)
{
	struct agents *agents = conn->agents;
	struct agent_pod *pod = conn->pod;
	struct agent_conn *former = pod->conn;
	const char *name = json_text(line, "name"), *container = json_text(line, "container");

	if (conn->name[0] || !name_valid(name) || !name_valid(container))
		return malformed("hello", err);
	memcpy(conn->name, name, strlen(name) + 1);
	memcpy(conn->container, container, strlen(container) + 1);
	log_info("agent connected", "pod=%s agent=%s version=%s", pod->name, conn->name,
		json_text_or(line, "version", "?"));
	if (strncmp(name, POD_READER_PREFIX, strlen(POD_READER_PREFIX)) == 0) {
		take_reader(conn);
		return 0;
	}
	if (is_superfluous(conn, former)) {
		agent_conn_exit(conn, "another agent of this pod has the rules");
		return 0;
	}
	pod->conn = conn;
	if (former)
		replace(former, conn);
	if (pod->configured)
		agent_send_config(pod);
	agent_env_hello(conn);
	agents->events.on_connected(agents->user, pod->uid, conn->name, conn->container);
	return 0;
}

static int on_state(struct agent_conn *conn, json_object *line, struct err *err)
{
	struct agents *agents = conn->agents;
	json_object *ok = json_member(line, "ok");
	const char *message = json_text_or(line, "message", "");

	if (!json_object_is_type(ok, json_type_boolean) || strlen(message) >= ERR_MSG_BYTES)
		return malformed("state", err);
	/* What a former connection says does not count. */
	if (conn != conn->pod->conn)
		return 0;
	conn->ruled = json_object_get_boolean(ok);
	if (json_int(line, "generation", -1) == conn->pod->generation)
		agents->events.on_state(agents->user, conn->pod->uid,
			json_object_get_boolean(ok) ? 0 : -EIO, message);
	return 0;
}

static struct agent_expect *find_expect(const struct agent_conn *conn, json_object *line)
{
	int64_t id = json_int(line, "id", -1);
	struct agent_expect *expect = NULL;

	DL_FOREACH (conn->pod->expects, expect) {
		if (expect->id == id)
			return expect;
	}
	return NULL;
}

/* An id that is not known any more is of a probe that is over. */
static int on_expecting(struct agent_conn *conn, json_object *line, struct err *err UNUSED)
{
	struct agent_expect *expect = find_expect(conn, line);

	if (expect)
		expect->on_event(expect, AGENT_EXPECTING);
	return 0;
}

static int on_captured(struct agent_conn *conn, json_object *line, struct err *err UNUSED)
{
	struct agent_expect *expect = find_expect(conn, line);

	if (expect) {
		agent_expect_stop(expect);
		expect->on_event(expect, AGENT_CAPTURED);
	}
	return 0;
}

static int on_env(struct agent_conn *conn, json_object *line, struct err *err)
{
	json_object *values = json_member(line, "env");

	if (!json_object_is_type(values, json_type_object))
		return malformed("env", err);
	json_object_object_foreach(values, name, value)
	{
		if (!name[0] || !json_object_is_type(value, json_type_string))
			return malformed("env", err);
	}
	agent_env_answer(conn, json_int(line, "id", -1), values);
	return 0;
}

static int on_count(struct agent_conn *conn, json_object *line, struct err *err)
{
	struct agents *agents = conn->agents;
	json_object *fallbacks = json_member(line, "fallbacks");
	const char *intercept = json_text(line, "intercept");

	if (!intercept || json_int(line, "connections", -1) < 0 ||
		!json_object_is_type(fallbacks, json_type_object))
		return malformed("count", err);
	json_object_object_foreach(fallbacks, reason, value)
	{
		if (!reason[0] || !json_object_is_type(value, json_type_int) ||
			json_object_get_int64(value) < 0)
			return malformed("count", err);
	}
	if (agent_pod_has(conn->pod, intercept, 0, 0))
		agents->events.on_count(agents->user, conn->pod->uid, intercept, line);
	return 0;
}

static const struct {
	const char *type;
	int (*take)(struct agent_conn *conn, json_object *line, struct err *err);
} messages[] = {
	{"hello", on_hello},
	{"state", on_state},
	{"expecting", on_expecting},
	{"captured", on_captured},
	{"env", on_env},
	{"count", on_count},
};

static int take_message(
	struct agent_conn *conn, const char *type, json_object *line, struct err *err)
{
	/* What an agent still says that was told to exit, or that is not the pod's any more, has no
	 * meaning. */
	if (!conn->pod || conn->close_ms > 0)
		return 0;
	if (!conn->name[0] && strcmp(type, "hello") != 0)
		return err_set(err, -EPROTO, ERR_INTERNAL, "a message before hello");
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		if (strcmp(type, messages[i].type) == 0)
			return messages[i].take(conn, line, err);
	}
	return 0;
}

static int on_line(void *user, const char *text, size_t len, struct err *err)
{
	json_object *line = json_parse(text, len);
	const char *type = json_text(line, "type");
	int r;

	if (!type)
		r = err_set(err, -EPROTO, ERR_INTERNAL, "a line that is no message");
	else
		r = take_message(user, type, line, err);
	json_object_put(line);
	return r;
}

static void on_over(void *user, const struct err *err)
{
	struct agent_conn *conn = user;
	struct agents *agents = conn->agents;
	uint64_t untold = 0;

	/* The end of its connection is told elsewhere. */
	if (err->code != -ECONNRESET &&
		refusals_tell(&agents->refusals, agent_peer_source(conn->peer),
			uv_now(agents->loop), &untold))
		log_warn("agent closed", "pod=%s agent=%s why=\"%s\" untold=%llu",
			conn->pod ? conn->pod->name : "?", conn->name, err->msg,
			(unsigned long long)untold);
	agent_peer_close(conn->peer, err->msg);
}

const struct lines_events agent_lines_events = {
	.on_line = on_line,
	.on_over = on_over,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: manager */
/* What an agent says to the manager: lines of one connection, in the order in which they come. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <utlist.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "manager/agent_messages.h"
#include "manager/agents_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t heard;

static void on_connected(void *user, const char *uid, const char *agent, const char *container)
{
	(void)user, (void)uid;
	heard += strlen(agent) + strlen(container);
}

static void on_state(void *user, const char *uid, int r, const char *message)
{
	(void)user, (void)uid, (void)r;
	heard += strlen(message);
}

static void on_count(void *user, const char *uid, const char *intercept, json_object *count)
{
	(void)user, (void)uid;
	heard += strlen(intercept) + strlen(json_object_to_json_string(count));
}

static void on_env(void *user, json_object *env)
{
	(void)user;
	heard += env ? (size_t)json_object_object_length(env) : 0;
}

static void on_expect(struct agent_expect *expect, enum agent_expect_event event)
{
	(void)expect;
	heard += event;
}

static void take(struct agent_conn *conn, const char *text, size_t len, int *r)
{
	struct err err = ERR_INIT;

	*r = agent_lines_events.on_line(conn, text, len, &err);
}

static void take_lines(struct agent_conn *conn, const char *text, size_t len)
{
	const char *end;
	int r = 0;

	while (r >= 0 && (end = memchr(text, '\n', len))) {
		take(conn, text, (size_t)(end - text), &r);
		len -= (size_t)(end - text) + 1;
		text = end + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char intercepts[] =
		"[{\"uid\":\"i-1\",\"ports\":[{\"port\":8080,\"protocol\":\"TCP\"}]}]";
	struct agents agents = {
		.events = {
			.on_connected = on_connected, .on_state = on_state, .on_count = on_count}};
	struct agent_pod pod = {
		.agents = &agents, .uid = "u", .name = (char[]){"ns/p"}, .generation = 1};
	struct agent_conn conn = {.agents = &agents, .pod = &pod};
	struct agent_expect expect = {.pod = &pod, .id = 2, .on_event = on_expect};
	struct agent_env *env = XNEW(struct agent_env);

	log_init("fuzz", STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
	env->id = 3;
	env->pod = &pod;
	env->on_env = on_env;
	DL_APPEND(agents.envs, env);
	DL_APPEND(pod.expects, &expect);
	pod.configured = true;
	pod.intercepts = json_parse(intercepts, sizeof(intercepts) - 1);
	pod.node_addresses = json_object_new_array();
	take_lines(&conn, (const char *)data, size);
	free(agents.envs); /* the only one, unless it was answered */
	json_object_put(pod.intercepts);
	json_object_put(pod.node_addresses);
	return 0;
}

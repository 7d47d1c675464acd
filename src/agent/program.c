/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager's link comes and goes; the engine works with or without it.
 *
 *   linked     control stream open: configurations, probes, counts
 *   alone      from the loss (or the start) on, while there are new tries (manager_link.h): rules
 *              go after PROGRAM_RULES_KEPT_MS, the process after PROGRAM_ALONE_MS
 */
#include "agent/program.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/control.h"
#include "agent/counting.h"
#include "agent/engine.h"
#include "agent/environment.h"
#include "agent/gateways.h"
#include "agent/manager_link.h"
#include "agent/options.h"
#include "agent/reach.h"
#include "agent/takeover.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/resident.h"

#define DRAIN_MS 50
/* Of an agent that no manager has configured yet. */
#define IDLE_S 600
/* After a change of configuration: what it needed is not kept. */
#define SETTLE_MS 2000
/* What is around the variables in their line. */
#define ENV_LINE_BYTES 256

struct program {
	uv_loop_t *loop;
	const struct agent_options *options;
	struct engine *engine; /* NULL: stopped */
	struct takeover takeover;
	struct counting counting;
	struct agent_credentials *credentials;
	struct manager_link *link;
	struct reach *reach;
	struct control *control; /* NULL: alone */
	struct control_config config; /* the last one that the engine took */
	struct ip_addr gateways[INTERCEPT_NODES];
	size_t gateway_count;
	uint32_t idle_s;
	uv_timer_t alone, idle, settle;
	bool rules_dropped; /* for want of a manager */
	bool draining; /* ends with the last flow */
	int exit_code;
};

static void tell_count(void *user, const char *intercept)
{
	const struct program *program = user;
	struct engine_counts counts;

	if (program->control && engine_counts(program->engine, intercept, &counts))
		control_send_count(program->control, intercept, &counts);
}

static void count_changed(void *user, const char *intercept)
{
	struct program *program = user;

	counting_changed(&program->counting, intercept);
}

static void on_engine_captured(void *user, uint32_t probe_id)
{
	struct program *program = user;

	if (program->control)
		control_send_captured(program->control, probe_id);
}

static void on_settled(uv_timer_t *timer UNUSED)
{
	resident_trim();
}

static void on_idle(uv_timer_t *timer)
{
	struct program *program = timer->data;

	log_info("nothing was intercepted for long enough", "seconds=%u", program->idle_s);
	program_stop(program);
}

/* Runs while nothing is intercepted. */
static void watch_idle(struct program *program, uint32_t idle_s)
{
	bool same = uv_is_active((uv_handle_t *)&program->idle) && program->idle_s == idle_s;

	program->idle_s = idle_s;
	if (program->config.engine.port_count > 0)
		uv_timer_stop(&program->idle);
	else if (!same)
		(void)uv_timer_start(&program->idle, on_idle, (uint64_t)idle_s * 1000, 0);
}

static void on_tried(void *user, const struct control_config *config, int r, const struct err *err)
{
	struct program *program = user;

	control_send_state(program->control, config->generation, r, err);
	if (r < 0) {
		log_warn("cannot do as configured", "generation=%lld why=\"%s\"",
			(long long)config->generation, err->msg);
	} else {
		log_info("configured", "generation=%lld ports=%zu", (long long)config->generation,
			config->engine.port_count);
		program->config = *config;
		program->rules_dropped = false;
		for (size_t i = 0; i < config->engine.port_count; i++)
			count_changed(program, config->engine.ports[i].intercept);
	}
	watch_idle(program, config->idle_s);
	(void)uv_timer_start(&program->settle, on_settled, SETTLE_MS, 0);
}

static void on_config(void *user, const struct control_config *config)
{
	struct program *program = user;
	struct control_config mine = *config;

	if (program->draining)
		return;
	gateways_add(mine.engine.nodes, &mine.engine.node_count, INTERCEPT_NODES,
		program->options->nodes, program->options->node_count);
	gateways_add(mine.engine.nodes, &mine.engine.node_count, INTERCEPT_NODES, program->gateways,
		program->gateway_count);
	/* The engine forgets the counts of what has ended. */
	counting_tell(&program->counting);
	takeover_configure(&program->takeover, &mine);
}

static void on_expect(void *user, const struct control_expect *expect)
{
	struct program *program = user;

	engine_expect(program->engine, expect->id, &expect->source, expect->port, expect->protocol);
	control_send_expecting(program->control, expect->id);
}

static void on_env(void *user, int64_t id)
{
	struct program *program = user;
	size_t left_out = 0;
	json_object *env =
		environment_json(environ, LIMIT_CONTROL_BODY_BYTES - ENV_LINE_BYTES, &left_out);

	if (left_out > 0)
		log_warn("the environment is too large", "left_out=%zu", left_out);
	control_send_env(program->control, id, env);
}

static void on_reach(void *user)
{
	const struct program *program = user;

	/* The manager that asks, not another one that the Service may lead to. */
	reach_open(program->reach, manager_link_where(program->link));
}

static void on_exit_told(void *user, const char *reason)
{
	log_info("told to exit", "reason=\"%s\"", reason);
	program_stop(user);
}

static void on_alone(uv_timer_t *timer)
{
	static const struct engine_config nothing = {.port_count = 0};
	struct program *program = timer->data;
	struct err err = ERR_INIT;

	if (program->rules_dropped) {
		log_info("no traffic-manager for too long", "ms=%d", PROGRAM_ALONE_MS);
		program_stop(program);
		return;
	}
	program->rules_dropped = true;
	if (engine_configure(program->engine, &nothing, &err) < 0) {
		log_error("cannot remove the rules", "why=\"%s\"", err.msg);
		program->exit_code = err_exit_code(err.kind);
		program_stop(program);
		return;
	}
	log_info("no traffic-manager: the app has its ports back", "ms=%d", PROGRAM_RULES_KEPT_MS);
	(void)uv_timer_start(timer, on_alone, PROGRAM_ALONE_MS - PROGRAM_RULES_KEPT_MS, 0);
}

static void on_lost(void *user)
{
	struct program *program = user;

	engine_set_link(program->engine, NULL);
	takeover_cancel(&program->takeover);
	control_free(TAKE_PTR(program->control));
	if (!uv_is_active((uv_handle_t *)&program->alone))
		(void)uv_timer_start(&program->alone, on_alone, PROGRAM_RULES_KEPT_MS, 0);
}

static void on_over(void *user, const struct err *err)
{
	const struct program *program = user;

	manager_link_lose(program->link, err);
}

static void on_ready(void *user, struct h2_session *h2)
{
	static const struct control_events events = {
		.on_config = on_config,
		.on_expect = on_expect,
		.on_env = on_env,
		.on_reach = on_reach,
		.on_exit = on_exit_told,
		.on_over = on_over,
	};
	struct program *program = user;
	const struct agent_options *options = program->options;
	struct err err = ERR_INIT;
	int r = control_new(
		h2, options->name, options->container, &events, program, &program->control);

	if (r < 0) {
		(void)err_set_errno(&err, r, "control stream");
		manager_link_lose(program->link, &err);
		return;
	}
	engine_set_link(program->engine, h2);
	uv_timer_stop(&program->alone);
	log_info("joined the traffic-manager", "name=%s", options->name);
}

static void on_refused(void *user, const struct err *err)
{
	struct program *program = user;

	log_error("the traffic-manager does not take this agent", "why=\"%s\"", err->msg);
	program->exit_code = err_exit_code(ERR_AUTH);
	program_stop(program);
}

static void init_timers(struct program *program)
{
	uv_timer_t *const timers[] = {&program->alone, &program->idle, &program->settle};

	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		(void)uv_timer_init(program->loop, timers[i]);
		timers[i]->data = program;
	}
}

int program_start(uv_loop_t *loop, const struct agent_options *options,
	struct program **ret_program, struct err *err)
{
	static const struct manager_link_events link_events = {
		.on_ready = on_ready, .on_lost = on_lost, .on_refused = on_refused};
	static const struct engine_events events = {
		.on_captured = on_engine_captured, .on_count = count_changed};
	struct program *program = XNEW(struct program);
	int r;

	program->loop = loop;
	program->options = options;
	r = gateways_get(
		program->gateways, ARRAY_SIZE(program->gateways), &program->gateway_count, err);
	if (r == 0)
		r = agent_credentials_new(
			options->pin, options->token, options->pod_uid, &program->credentials, err);
	if (r == 0)
		r = engine_new(loop, &events, program, &program->engine, err);
	if (r < 0) {
		agent_credentials_free(program->credentials);
		free(program);
		return r;
	}
	init_timers(program);
	counting_init(&program->counting, loop, tell_count, program);
	takeover_init(&program->takeover, loop, program->engine, on_tried, program);
	program->reach = reach_new(loop, program->credentials);
	(void)uv_timer_start(&program->alone, on_alone, PROGRAM_RULES_KEPT_MS, 0);
	program->link = manager_link_new(loop, &options->manager, &options->manager_pod,
		program->credentials, &link_events, program);
	watch_idle(program, IDLE_S);
	*ret_program = program;
	return 0;
}

void program_stop(struct program *program)
{
	if (!program->engine)
		return;
	engine_free(TAKE_PTR(program->engine));
	takeover_stop(&program->takeover);
	counting_stop(&program->counting);
	control_free(TAKE_PTR(program->control));
	manager_link_free(TAKE_PTR(program->link));
	reach_stop(program->reach);
	uv_close((uv_handle_t *)&program->alone, NULL);
	uv_close((uv_handle_t *)&program->idle, NULL);
	uv_close((uv_handle_t *)&program->settle, NULL);
}

static void on_drain(uv_timer_t *timer)
{
	struct program *program = timer->data;

	if (engine_flow_count(program->engine) == 0)
		program_stop(program);
}

bool program_drain(struct program *program)
{
	static const struct engine_config nothing = {.port_count = 0};
	size_t flows = program->engine ? engine_flow_count(program->engine) : 0;

	program->draining = true;
	takeover_cancel(&program->takeover);
	if (flows == 0 || engine_configure(program->engine, &nothing, NULL) < 0) {
		program_stop(program);
		return false;
	}
	log_info("ending with the last connection", "open=%zu", flows);
	(void)uv_timer_start(&program->idle, on_drain, DRAIN_MS, DRAIN_MS);
	return true;
}

int program_exit_code(const struct program *program)
{
	return program->exit_code;
}

void program_free(struct program *program)
{
	if (!program)
		return;
	reach_free(program->reach);
	agent_credentials_free(program->credentials);
	free(program);
}

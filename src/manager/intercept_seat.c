/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent of one pod: placed when an intercept wants one and none is there, replaced when it is
 * lost. A pod that is only starting gets one as well: its kubelet looks at it once a second, so
 * that the agent would come seconds after the app if it were placed when the app runs. What its
 * container's status says decides: an agent that runs gets time to connect, one that has ended is
 * replaced at once, and one that keeps ending later and later.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "core/log.h"
#include "manager/intercept_member.h"
#include "manager/intercept_seat.h"
#include "manager/pods.h"

/* After this without a sign of a placed agent its kubelet is named as the cause. */
#define START_MS 10000
/* An image may be large. */
#define PULL_MS 120000
/* A running agent that is not connected: it comes back within a second, or not at all. */
#define RECONNECT_MS 3000
#define LOST_MS      2000
/* For so long a manager that has just begun to lead blames no agent, until one has come: its pod
 * has to be found ready, and every node to lead to it. Agents keep their rules as long. */
#define REACHED_MS 10000
/* A death after this long counts as the first one. */
#define STABLE_MS       5000
#define BACKOFF_FIRST_S 1
#define BACKOFF_LAST_S  30
/* The API server did not answer, or the pod was changed meanwhile. */
#define ASK_AGAIN_MS 500
/* What its kubelet cannot start may be there later. */
#define UNSTARTED_MS 10000U
/* A token that is as old is not given to a container that has yet to be started. */
#define TOKEN_FRESH_MS (AGENTS_TOKEN_MS / 2)
/* Deaths in a row that are told of as a problem. */
#define DEATHS_SHOWN 3

void seat_mark(struct seat *seat)
{
	struct member *member = NULL;

	for (member = seat->members; member; member = member->seat_next)
		intercept_dirty(member->intercept);
}

static void set_problem(struct seat *seat, const struct err *problem)
{
	if (strcmp(seat->problem.msg, problem->msg) != 0 && problem->code < 0)
		log_warn("no agent", "pod=%s error=%s", pod_name(seat->pod), problem->msg);
	seat->problem = *problem;
	seat_mark(seat);
}

static void clear_problem(struct seat *seat)
{
	if (seat->problem.code < 0)
		set_problem(seat, &(struct err)ERR_INIT);
}

static void wait_until(struct seat *seat, enum seat_state state, uint64_t deadline_ms)
{
	if (state == SEAT_EXPECTED && seat->state != SEAT_EXPECTED)
		seat->expected_ms = intercepts_now(seat->set);
	seat->state = state;
	seat->deadline_ms = deadline_ms;
	seat->excuse = NULL;
}

static void on_token(void *user, uint8_t token[static AGENT_TOKEN_BYTES])
{
	struct seat *seat = user;
	struct asked *asked = &seat->asked;
	uint64_t now = intercepts_now(seat->set);

	if (now >= asked->token_until_ms) {
		agents_token(seat->set->agents, seat->uid, asked->token);
		asked->token_until_ms = now + TOKEN_FRESH_MS;
	}
	memcpy(token, asked->token, AGENT_TOKEN_BYTES);
}

/* One that its kubelet has yet to start, or has started. */
static void await_agent(struct seat *seat, bool ours)
{
	seat->ours = ours;
	seat->was_running = false;
	wait_until(seat, SEAT_EXPECTED, intercepts_now(seat->set) + START_MS);
}

static void on_placed(void *user, int r, const struct err *err)
{
	struct seat *seat = user;
	uint64_t now = intercepts_now(seat->set);
	enum asked_answer answer = asked_answered(&seat->asked, r, err);

	seat->placement = NULL;
	switch (answer) {
	case ASKED_OURS:
	case ASKED_FOREIGN:
		await_agent(seat, answer == ASKED_OURS);
		seat_step(seat);
		return;
	case ASKED_LOST:
		log_info("agent asked for without an answer", "pod=%s number=%u error=%s",
			pod_name(seat->pod), seat->asked.number, err->msg);
		wait_until(seat, SEAT_BACKOFF, now + ASK_AGAIN_MS);
		return;
	case ASKED_REFUSED:
		wait_until(seat, SEAT_BACKOFF, now + asked_pause_ms(&seat->asked));
		set_problem(seat, err);
	}
}

static void place(struct seat *seat, const struct pod_agent *agent)
{
	auto_free char *name =
		xasprintf("%s%u", POD_AGENT_PREFIX, asked_next(&seat->asked, agent->number));

	wait_until(seat, SEAT_PLACING, 0);
	seat->placement = placement_start(seat->set->placer, seat->pod,
		member_container(seat->members), name, on_token, on_placed, seat);
}

static void place_when_due(struct seat *seat, const struct pod_agent *agent)
{
	if (intercepts_now(seat->set) < seat->retry_ms)
		wait_until(seat, SEAT_BACKOFF, seat->retry_ms);
	else
		place(seat, agent);
}

/* One more death in a row: the next one is placed later than the last. */
static void count_death(struct seat *seat)
{
	uint64_t delay_s = 0;

	seat->deaths++;
	if (seat->deaths > 1)
		delay_s = MIN((uint64_t)BACKOFF_FIRST_S << MIN(seat->deaths - 2, 8U),
			(uint64_t)BACKOFF_LAST_S);
	seat->retry_ms = intercepts_now(seat->set) + delay_s * 1000;
}

static void on_ended(struct seat *seat, const struct pod_agent *agent)
{
	struct err problem = ERR_INIT;

	if (seat->ended == agent->number || agent->number != seat->asked.number)
		return;
	seat->ended = agent->number;
	count_death(seat);
	log_info("agent ended", "pod=%s agent=%s status=%d reason=%s", pod_name(seat->pod),
		agent->name, agent->exit_code, agent->reason);
	if (placement_cause(seat->pod, agent, &problem) < 0)
		seat->retry_ms = MAX(seat->retry_ms, intercepts_now(seat->set) + UNSTARTED_MS);
	else if (seat->deaths >= DEATHS_SHOWN)
		err_set(&problem, -ECHILD, ERR_INTERNAL,
			"the agent in pod %s keeps ending (%s, exit status %d): kubectl logs -n %s "
			"%s "
			"-c %s shows why",
			pod_name(seat->pod), agent->reason, agent->exit_code,
			json_text_or(seat->pod, "metadata.namespace", ""), pod_name(seat->pod),
			agent->name);
	if (problem.code < 0)
		set_problem(seat, &problem);
}

void seat_not_started(struct seat *seat)
{
	struct err problem = ERR_INIT;

	err_set(&problem, -ETIMEDOUT, ERR_UNREACHABLE,
		"node %s does not start the agent of pod %s: its kubelet has said nothing of it in "
		"%llu s",
		json_text_or(seat->pod, "spec.nodeName", ""), pod_name(seat->pod),
		(unsigned long long)(intercepts_now(seat->set) - seat->expected_ms) / 1000);
	/* The pod's status tells if it starts after all. */
	wait_until(seat, SEAT_EXPECTED, 0);
	set_problem(seat, &problem);
}

static void not_connected(struct seat *seat, const struct pod_agent *agent)
{
	struct err problem = ERR_INIT;

	if (!seat->ours) {
		place(seat, agent);
		return;
	}
	seat->ours = false;
	count_death(seat);
	err_set(&problem, -ETIMEDOUT, ERR_UNREACHABLE,
		"the agent in pod %s runs, but does not reach the traffic-manager: does a "
		"NetworkPolicy "
		"forbid it?",
		pod_name(seat->pod));
	set_problem(seat, &problem);
	place_when_due(seat, agent);
}

static void timed_out(struct seat *seat, const struct pod_agent *agent)
{
	struct err problem = ERR_INIT;

	switch (agent->state) {
	case POD_AGENT_RUNNING:
		not_connected(seat, agent);
		return;
	case POD_AGENT_WAITING:
		err_set(&problem, -ETIMEDOUT, ERR_UNREACHABLE,
			"the agent in pod %s does not start: %s %.300s", pod_name(seat->pod),
			agent->reason, agent->message);
		wait_until(seat, SEAT_EXPECTED, 0);
		set_problem(seat, &problem);
		return;
	default:
		seat_ask_kubelet(seat);
	}
}

/* Agents that were met here may not find this manager yet. */
static bool has_time(const struct seat *seat, const struct pod_agent *agent)
{
	const struct intercepts *set = seat->set;
	uint64_t until = seat->deadline_ms;

	if (until == 0)
		return true;
	if (agent->state == POD_AGENT_RUNNING && !seat->ours)
		until = MAX(until, set->reached_ms ? set->reached_ms + RECONNECT_MS
						   : set->leads_ms + REACHED_MS);
	return intercepts_now(set) < until;
}

/* There is an agent that has not ended: placed by us, or met here. */
static void expect(struct seat *seat, const struct pod_agent *agent)
{
	uint64_t now = intercepts_now(seat->set);
	struct err cause = ERR_INIT;

	if (agent->number == seat->given_up) {
		place_when_due(seat, agent);
		return;
	}
	if (placement_cause(seat->pod, agent, &cause) < 0) {
		/* The kubelet goes on trying this image; another one has to be placed. */
		if (strcmp(agent->image, placer_image(seat->set->placer)) != 0 &&
			*placer_image(seat->set->placer)) {
			place_when_due(seat, agent);
			return;
		}
		wait_until(seat, SEAT_EXPECTED, 0);
		set_problem(seat, &cause);
		return;
	}
	if (seat->state != SEAT_EXPECTED)
		wait_until(seat, SEAT_EXPECTED,
			now + (agent->state == POD_AGENT_RUNNING ? RECONNECT_MS : START_MS));
	if (agent->state == POD_AGENT_RUNNING && !seat->was_running) {
		seat->was_running = true;
		clear_problem(seat);
		seat->deadline_ms = MAX(seat->deadline_ms, now + RECONNECT_MS);
		/* Its token has expired: another one has to be placed. */
		if (seat->ours && now - seat->expected_ms >= AGENTS_TOKEN_MS) {
			seat->ours = false;
			seat->deadline_ms = now + RECONNECT_MS;
		}
	}
	/* Its image is being pulled, most likely. */
	if (agent->state == POD_AGENT_WAITING && seat->deadline_ms > 0)
		seat->deadline_ms = seat->expected_ms + PULL_MS;
	if (has_time(seat, agent))
		return;
	/* A pod whose own containers are still being started says nothing of its agent. */
	if (pod_running(seat->pod))
		timed_out(seat, agent);
	else
		seat->deadline_ms = now + START_MS;
}

static bool wanted(const struct seat *seat)
{
	return seat->members && pod_alive(seat->pod) && seat->set->leader && seat->set->placer;
}

static void rest(struct seat *seat)
{
	placement_cancel(TAKE_PTR(seat->placement));
	kube_request_cancel(TAKE_PTR(seat->node_asked));
	seat->problem = (struct err)ERR_INIT;
	asked_forget(&seat->asked);
	wait_until(seat, SEAT_IDLE, 0);
}

static void connected(struct seat *seat)
{
	if (seat->state == SEAT_CONNECTED)
		return;
	placement_cancel(TAKE_PTR(seat->placement));
	kube_request_cancel(TAKE_PTR(seat->node_asked));
	asked_forget(&seat->asked);
	wait_until(seat, SEAT_CONNECTED, 0);
	seat->connected_ms = intercepts_now(seat->set);
	if (seat->set->reached_ms == 0)
		seat->set->reached_ms = seat->connected_ms;
	seat->was_running = true;
	clear_problem(seat);
	seat_mark(seat);
}

void seat_step(struct seat *seat)
{
	struct pod_agent agent;

	if (agents_connected(seat->set->agents, seat->uid)) {
		connected(seat);
		return;
	}
	if (!wanted(seat)) {
		rest(seat);
		return;
	}
	if (seat->state == SEAT_PLACING)
		return;
	if (seat->state == SEAT_BACKOFF && intercepts_now(seat->set) < seat->deadline_ms)
		return;
	pod_agent(seat->pod, POD_AGENT_PREFIX, &agent);
	if (asked_seen(&seat->asked, agent.number))
		await_agent(seat, true);
	/* Not there, as far as is known: the watch may be as old as the API server's silence. */
	if (seat->asked.unanswered) {
		place(seat, &agent);
		return;
	}
	/* The watch is behind what was placed. */
	if (agent.number < seat->asked.confirmed && seat->state == SEAT_EXPECTED)
		agent = (struct pod_agent){.number = seat->asked.confirmed,
			.state = POD_AGENT_UNSEEN,
			.name = "",
			.image = placer_image(seat->set->placer),
			.reason = "",
			.message = ""};
	if (agent.state == POD_AGENT_TERMINATED)
		on_ended(seat, &agent);
	if (agent.state == POD_AGENT_TERMINATED || agent.state == POD_AGENT_NONE)
		place_when_due(seat, &agent);
	else
		expect(seat, &agent);
}

/* The agent that was met here ends itself: its token was a former manager's. Its kubelet says so a
 * second later or more. Once: whoever is in the pod could say it again and again. */
void seat_unproven(struct seat *seat)
{
	struct pod_agent agent;

	if (seat->unproven || seat->ours || seat->state == SEAT_CONNECTED)
		return;
	seat->unproven = true;
	pod_agent(seat->pod, POD_AGENT_PREFIX, &agent);
	log_info("agent with the token of a former manager", "pod=%s agent=%s", pod_name(seat->pod),
		agent.name);
	/* It may come before anybody has asked for it. */
	seat->given_up = agent.number;
	seat_step(seat);
}

void seat_lost(struct seat *seat)
{
	uint64_t now = intercepts_now(seat->set);

	for (struct member *member = seat->members; member; member = member->seat_next)
		member_reset(member);
	seat->agent[0] = 0;
	if (now - seat->connected_ms >= STABLE_MS)
		seat->deaths = 0;
	seat->retry_ms = MIN(seat->retry_ms, now);
	seat->ours = false;
	if (seat->state == SEAT_CONNECTED)
		wait_until(seat, SEAT_EXPECTED, now + LOST_MS);
	seat_mark(seat);
	seat_step(seat);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/manager_link.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/random.h>

#include "agent/leaving.h"
#include "core/alloc.h"
#include "core/attr.h"
#include "core/err.h"
#include "core/log.h"
#include "net/addr.h"
#include "netfilter/intercept_rules.h"
#include "tunnel/agent_link.h"

#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 1000
/* One that is there but hangs up has just started: it has yet to learn of its pods. So often at
 * most.
 */
#define HEARD_RETRY_MS 200
#define HEARD_ROUNDS   20
/* A pod that is gone answers nothing, and the Service's turn comes next. */
#define POD_CONNECT_MS 300

enum way { WAY_SERVICE, WAY_POD, WAY_COUNT };

struct manager_link {
	uv_loop_t *loop;
	struct ip_endpoint ways[WAY_COUNT];
	unsigned int way_count, tried; /* tried: in this round */
	enum way first, way; /* of a round; of the last try */
	struct agent_credentials *credentials;
	struct manager_link_events events;
	void *user;
	struct agent_link *link;
	struct leaving *leaving;
	uv_timer_t retry; /* not while it is ready */
	uint32_t retry_ms;
	unsigned int heard; /* rounds in which it hung up, since it was ready */
	bool hung_up; /* in this round */
	bool ready;
};

/* Half of it at least, so that the agents of a workload do not all come at once. */
static uint64_t with_jitter(uint32_t ms)
{
	uint32_t random = 0;

	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	return ms / 2 + random % (ms / 2 + 1);
}

static void on_retry(uv_timer_t *timer);

static uint64_t end_round(struct manager_link *link, const struct err *err)
{
	bool soon = link->hung_up && link->heard++ < HEARD_ROUNDS;
	uint64_t pause_ms =
		with_jitter(soon ? MIN(link->retry_ms, (uint32_t)HEARD_RETRY_MS) : link->retry_ms);

	/* Of many tries in vain the first is worth a line. */
	if (link->retry_ms == RETRY_MIN_MS)
		log_info("no link to the traffic-manager", "why=\"%s\"", err->msg);
	link->retry_ms = MIN(link->retry_ms * 2, (uint32_t)RETRY_MAX_MS);
	link->tried = 0;
	link->hung_up = false;
	return pause_ms;
}

/* The link goes with its next try: its own callbacks are under way. */
static void lose(struct manager_link *link, const struct err *err)
{
	uint64_t pause_ms = 0;

	link->ready = false;
	if (uv_is_active((uv_handle_t *)&link->retry))
		return;
	link->hung_up |= err->code == -ECONNRESET;
	if (link->tried >= link->way_count)
		pause_ms = end_round(link, err);
	(void)uv_timer_start(&link->retry, on_retry, pause_ms, 0);
	link->events.on_lost(link->user);
}

/* The control stream that ends with its link tells the same loss twice, and one that goes with the
 * link when the next try begins is no loss of that. */
void manager_link_lose(struct manager_link *link, const struct err *err)
{
	if (link->ready)
		lose(link, err);
}

static void on_ready(void *user)
{
	struct manager_link *link = user;

	link->retry_ms = RETRY_MIN_MS;
	link->tried = link->way_count;
	link->heard = 0;
	link->first = link->way_count > 1 ? WAY_POD : WAY_SERVICE;
	link->ready = true;
	(void)uv_timer_stop(&link->retry);
	link->events.on_ready(link->user, agent_link_h2(link->link));
}

static void on_leaving(void *user)
{
	struct manager_link *link = user;
	struct err err = ERR_INIT;

	leaving_add(link->leaving, TAKE_PTR(link->link));
	link->first = WAY_SERVICE;
	err_set(&err, -ESHUTDOWN, ERR_UNREACHABLE, "the traffic-manager is shutting down");
	lose(link, &err);
}

static void on_closed(void *user, const struct err *err)
{
	struct manager_link *link = user;

	/* At the pod's address there may be somebody else by now. */
	if (err->kind == ERR_AUTH && link->way == WAY_SERVICE)
		link->events.on_refused(link->user, err);
	else
		lose(link, err);
}

static void on_retry(uv_timer_t *timer)
{
	static const struct agent_link_events events = {
		.on_ready = on_ready, .on_leaving = on_leaving, .on_closed = on_closed};
	struct manager_link *link = timer->data;
	enum way way = (link->first + link->tried) % link->way_count;
	const struct agent_link_config config = {
		.manager = link->ways[way],
		.connect_ms = way == WAY_POD ? POD_CONNECT_MS : 0,
		.credentials = link->credentials,
		.role = AGENT_CLIENT,
		.mark = INTERCEPT_MARK,
	};

	link->way = way;
	link->tried++;
	agent_link_free(link->link);
	link->link = agent_link_new(link->loop, &config, &events, link);
}

struct manager_link *manager_link_new(uv_loop_t *loop, const struct ip_endpoint *service,
	const struct ip_endpoint *pod, struct agent_credentials *credentials,
	const struct manager_link_events *events, void *user)
{
	struct manager_link *link = XNEW(struct manager_link);

	link->loop = loop;
	link->ways[WAY_SERVICE] = *service;
	link->ways[WAY_POD] = *pod;
	link->way_count = pod->addr.family ? WAY_COUNT : 1;
	link->credentials = credentials;
	link->events = *events;
	link->user = user;
	link->leaving = leaving_new();
	link->retry_ms = RETRY_MIN_MS;
	(void)uv_timer_init(loop, &link->retry);
	link->retry.data = link;
	(void)uv_timer_start(&link->retry, on_retry, 0, 0);
	return link;
}

const struct ip_endpoint *manager_link_where(const struct manager_link *link)
{
	return &link->ways[link->way];
}

static void on_retry_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void manager_link_free(struct manager_link *link)
{
	if (!link)
		return;
	agent_link_free(TAKE_PTR(link->link));
	leaving_free(link->leaving);
	uv_close((uv_handle_t *)&link->retry, on_retry_closed);
}

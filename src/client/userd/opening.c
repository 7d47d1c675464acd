/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attempt is a carrier that is being opened and then the tunnel on it, until the manager's
 * ACCEPT. The oldest may take all the time that each of its steps allows: a slow server answers it.
 * When there are as many as there may be the second oldest makes room. One that has reached the
 * API server speaks for a path that works: then the next one waits longer, so that a busy server is
 * not asked twice a second by everybody. A carrier may be open and mute, where somebody on the way
 * takes the upgrade and keeps what follows: the next one goes the other way.
 */
#include "client/userd/opening.h"

#include <errno.h>
#include <string.h>

#include "core/alloc.h"
#include "core/attr.h"
#include "core/err.h"
#include "core/log.h"
#include "tunnel/client.h"

#define OPENING_ATTEMPTS 8
#define OPENING_PAUSE_MS 500
/* The round trip is not known: a far cluster's handshakes take seconds. */
#define OPENING_FIRST_PAUSE_MS 1000
/* All its round trips in the time that eight attempts have at most. */
#define PAUSE_ROUNDS_NUM 3
#define PAUSE_ROUNDS_DEN 2
/* Pauses after one that has reached the server. */
#define PAUSES_REACHED 4

struct attempt {
	struct opening *opening;
	/* Either of them. */
	struct kube_carrier_open *carrier;
	struct tunnel_client *tunnel;
	struct kube_carrier_report report;
	size_t mute; /* the way of the one before, which is not to be used; KUBE_CARRIER_WAYS: none
		      */
};

struct opening {
	struct opening_config config;
	struct opening_events events;
	char *manager_namespace, *session_uid;
	uv_timer_t timer;
	struct attempt *attempts[OPENING_ATTEMPTS]; /* oldest first */
	size_t count;
	unsigned int skipped; /* pauses since the last one began */
};

static void drop(struct opening *opening, size_t i)
{
	struct attempt *attempt = opening->attempts[i];

	kube_carrier_cancel(attempt->carrier);
	tunnel_client_free(attempt->tunnel);
	free(attempt);
	opening->count--;
	memmove(&opening->attempts[i], &opening->attempts[i + 1],
		(opening->count - i) * sizeof(*opening->attempts));
}

static size_t index_of(const struct opening *opening, const struct attempt *attempt)
{
	size_t i = 0;

	while (opening->attempts[i] != attempt)
		i++;
	return i;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct opening *opening = container_of((uv_timer_t *)handle, struct opening, timer);

	free(opening->manager_namespace);
	free(opening->session_uid);
	free(opening);
}

void opening_cancel(struct opening *opening)
{
	if (!opening)
		return;
	while (opening->count > 0)
		drop(opening, opening->count - 1);
	uv_close((uv_handle_t *)&opening->timer, on_timer_closed);
}

static void attempt_failed(struct attempt *attempt, bool refused, const struct err *err)
{
	struct opening *opening = attempt->opening;
	struct opening_events events = opening->events;
	struct kube_carrier_report report = attempt->report;
	struct err copy = *err; /* may go with the attempt */
	bool other_way = attempt->mute < KUBE_CARRIER_WAYS;

	log_debug("no tunnel", "error=%s", copy.msg);
	drop(opening, index_of(opening, attempt));
	/* Somebody's word stands for all attempts; silence does not, nor what is said of one way
	 * alone. */
	if (opening->config.endless ||
		(opening->count > 0 && (copy.kind == ERR_UNREACHABLE || other_way)))
		return;
	opening_cancel(opening);
	events.on_failed(events.user, refused, &report, &copy);
}

static void on_ready(void *user)
{
	struct attempt *attempt = user;
	struct opening_events events = attempt->opening->events;
	struct tunnel_client *tunnel = TAKE_PTR(attempt->tunnel);
	struct kube_carrier_report report = attempt->report;

	opening_cancel(attempt->opening);
	events.on_ready(events.user, tunnel, &report);
}

static void on_closed(void *user, const struct err *err)
{
	attempt_failed(user, err->kind != ERR_UNREACHABLE, err);
}

static void on_carrier(void *user, int r, struct carrier *carrier,
	const struct kube_carrier_report *report, const struct err *err)
{
	static const struct tunnel_client_events events = {
		.on_ready = on_ready, .on_closed = on_closed};
	struct attempt *attempt = user;
	const struct opening *opening = attempt->opening;
	const struct tunnel_client_config config = {.session_uid = opening->session_uid,
		.key = opening->config.key,
		.reverse = opening->config.reverse};

	attempt->carrier = NULL;
	attempt->report = *report;
	if (attempt->mute < KUBE_CARRIER_WAYS) {
		attempt->report.ways[attempt->mute].fate = KUBE_CARRIER_FAILED;
		err_set(&attempt->report.ways[attempt->mute].err, -ETIMEDOUT, ERR_UNREACHABLE,
			"it was open, and the traffic-manager not heard on it");
	}
	if (r < 0)
		attempt_failed(attempt, false, err);
	else
		attempt->tunnel =
			tunnel_client_new(opening->config.loop, carrier, &config, &events, attempt);
}

/* The way of the newest attempt, if it is open. */
static size_t mute_way(const struct opening *opening)
{
	const struct attempt *newest =
		opening->count > 0 ? opening->attempts[opening->count - 1] : NULL;
	size_t way = 0;

	if (!newest || !newest->tunnel || opening->config.kind != KUBE_CARRIER_AUTO)
		return KUBE_CARRIER_WAYS;
	while (way < KUBE_CARRIER_WAYS && newest->report.ways[way].fate != KUBE_CARRIER_CHOSEN)
		way++;
	return way;
}

static void begin(struct opening *opening)
{
	/* By the way that is not to be used. */
	static const enum kube_carrier_kind others[KUBE_CARRIER_WAYS] = {
		KUBE_CARRIER_PORT_FORWARD, KUBE_CARRIER_PROXY};
	struct attempt *attempt = XNEW(struct attempt);
	size_t mute = mute_way(opening);
	const struct kube_carrier_config config = {.client = opening->config.client,
		.manager_namespace = opening->manager_namespace,
		.kind = mute < KUBE_CARRIER_WAYS ? others[mute] : opening->config.kind,
		.fresh = opening->config.again || opening->count > 0};

	if (opening->count == OPENING_ATTEMPTS)
		drop(opening, 1);
	attempt->opening = opening;
	attempt->mute = mute;
	opening->attempts[opening->count++] = attempt;
	opening->skipped = 0;
	attempt->carrier = kube_carrier_open(&config, on_carrier, attempt);
}

static bool reached(const struct opening *opening)
{
	const struct attempt *newest =
		opening->count > 0 ? opening->attempts[opening->count - 1] : NULL;

	return newest && (newest->tunnel || kube_carrier_reached(newest->carrier));
}

static void on_timer(uv_timer_t *timer)
{
	struct opening *opening = container_of(timer, struct opening, timer);

	if (++opening->skipped < PAUSES_REACHED && reached(opening))
		return;
	begin(opening);
}

bool opening_is_mute(const struct opening *opening)
{
	for (size_t i = 0; opening && i < opening->count; i++) {
		if (opening->attempts[i]->tunnel)
			return true;
	}
	return false;
}

struct opening *opening_start(
	const struct opening_config *config, const struct opening_events *events)
{
	struct opening *opening = XNEW(struct opening);
	uint64_t rtt_ms = config->rtt_us / 1000;
	uint64_t pause_ms = config->rtt_us == 0
				    ? (uint64_t)OPENING_FIRST_PAUSE_MS
				    : MAX((uint64_t)OPENING_PAUSE_MS,
					      rtt_ms * PAUSE_ROUNDS_NUM / PAUSE_ROUNDS_DEN);

	opening->config = *config;
	opening->events = *events;
	opening->manager_namespace = xstrdup(config->manager_namespace);
	opening->session_uid = xstrdup(config->session_uid);
	(void)uv_timer_init(config->loop, &opening->timer);
	(void)uv_timer_start(&opening->timer, on_timer, pause_ms, pause_ms);
	begin(opening);
	return opening;
}

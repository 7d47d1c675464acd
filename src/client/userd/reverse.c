/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/reverse.h"

#include <string.h>

#include "client/userd/backoff.h"
#include "client/userd/former.h"
#include "client/userd/opening.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "tunnel/client.h"

struct reverse {
	struct reverse_config config;
	char *uid; /* NULL: no Session */
	bool wanted, ready;
	unsigned int attempts; /* since it was ready */
	uint32_t rtt_us; /* of the last tunnel; 0: not known */
	/* At most one of: the timer runs, a tunnel is being opened, one is there. But beside one
	 * that is silent another is opened. */
	uv_timer_t timer;
	struct opening *opening;
	struct tunnel_client *tunnel;
	struct former *former; /* tunnels that were replaced */
	bool worn; /* the tunnel is to be replaced, heard or not */
};

static void open_tunnel(struct reverse *reverse, bool beside);

static void on_timer(uv_timer_t *timer)
{
	open_tunnel(timer->data, false);
}

static void open_later(struct reverse *reverse)
{
	(void)uv_timer_start(&reverse->timer, on_timer, backoff_ms(reverse->attempts), 0);
	reverse->attempts++;
}

static void on_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct reverse *reverse = user;

	reverse->config.on_stream(reverse->config.user, stream, head);
}

static void drop_tunnel(struct reverse *reverse)
{
	if (reverse->tunnel && tunnel_client_rtt_us(reverse->tunnel) > 0)
		reverse->rtt_us = tunnel_client_rtt_us(reverse->tunnel);
	tunnel_client_free(TAKE_PTR(reverse->tunnel));
}

static void on_closed(void *user, const struct err *err)
{
	struct reverse *reverse = user;

	log_warn("reversed carrier lost", "error=%s", err->msg);
	reverse->ready = false;
	opening_cancel(TAKE_PTR(reverse->opening));
	drop_tunnel(reverse);
	open_later(reverse);
}

/* What it carries goes on if it comes back. */
static void on_lost(void *user, const struct err *err)
{
	struct reverse *reverse = user;

	reverse->rtt_us = tunnel_client_rtt_us(reverse->tunnel);
	former_add(reverse->former, TAKE_PTR(reverse->tunnel));
	on_closed(reverse, err);
}

static void on_silence(void *user, bool silent)
{
	struct reverse *reverse = user;

	opening_cancel(TAKE_PTR(reverse->opening));
	if (silent || reverse->worn)
		open_tunnel(reverse, true);
}

static void on_worn(void *user)
{
	struct reverse *reverse = user;

	reverse->worn = true;
	if (!reverse->opening)
		open_tunnel(reverse, true);
}

static void on_ready(
	void *user, struct tunnel_client *tunnel, const struct kube_carrier_report *report UNUSED)
{
	static const struct tunnel_client_events events = {.on_stream = on_stream,
		.on_silence = on_silence,
		.on_worn = on_worn,
		.on_lost = on_lost,
		.on_closed = on_closed};
	struct reverse *reverse = user;

	reverse->opening = NULL;
	if (reverse->tunnel)
		former_add(reverse->former, TAKE_PTR(reverse->tunnel));
	tunnel_client_set_events(tunnel, &events, reverse);
	reverse->tunnel = tunnel;
	reverse->worn = false;
	reverse->ready = true;
	reverse->attempts = 0;
	log_info("reversed carrier open", "carrier=%s", tunnel_client_carrier(tunnel));
	reverse->config.on_ready(reverse->config.user);
}

static void on_failed(void *user, bool refused UNUSED,
	const struct kube_carrier_report *report UNUSED, const struct err *err)
{
	struct reverse *reverse = user;

	reverse->opening = NULL;
	log_debug("no reversed carrier", "error=%s", err->msg);
	open_later(reverse);
}

static void open_tunnel(struct reverse *reverse, bool beside)
{
	const struct opening_config config = {
		.loop = reverse->config.loop,
		.client = reverse->config.client,
		.manager_namespace = reverse->config.manager_namespace,
		.kind = reverse->config.carrier_kind,
		.session_uid = reverse->uid,
		.key = reverse->config.key,
		.reverse = true,
		.again = beside || reverse->rtt_us > 0,
		.endless = beside,
		.rtt_us = beside ? tunnel_client_rtt_us(reverse->tunnel) : reverse->rtt_us,
	};
	const struct opening_events events = {
		.on_ready = on_ready, .on_failed = on_failed, .user = reverse};

	reverse->opening = opening_start(&config, &events);
}

static void drop(struct reverse *reverse)
{
	reverse->ready = false;
	(void)uv_timer_stop(&reverse->timer);
	opening_cancel(TAKE_PTR(reverse->opening));
	drop_tunnel(reverse);
}

static void restart(struct reverse *reverse)
{
	drop(reverse);
	reverse->attempts = 0;
	if (reverse->wanted && reverse->uid)
		open_tunnel(reverse, false);
}

void reverse_session(struct reverse *reverse, const char *uid)
{
	if (uid && reverse->uid && strcmp(uid, reverse->uid) == 0) {
		/* The session's own tunnel has just found the manager. */
		if (uv_is_active((uv_handle_t *)&reverse->timer))
			restart(reverse);
		return;
	}
	former_clear(reverse->former);
	free(reverse->uid);
	reverse->uid = uid ? xstrdup(uid) : NULL;
	restart(reverse);
}

void reverse_want(struct reverse *reverse)
{
	if (reverse->wanted)
		return;
	reverse->wanted = true;
	restart(reverse);
}

size_t reverse_streams(const struct reverse *reverse)
{
	return (reverse->tunnel ? tunnel_client_streams(reverse->tunnel) : 0) +
	       former_streams(reverse->former);
}

void reverse_check(struct reverse *reverse)
{
	if (reverse->tunnel)
		tunnel_client_check(reverse->tunnel);
	else
		restart(reverse);
}

bool reverse_is_ready(const struct reverse *reverse)
{
	return reverse->ready;
}

struct reverse *reverse_new(const struct reverse_config *config)
{
	struct reverse *reverse = XNEW(struct reverse);

	reverse->config = *config;
	reverse->former = former_new(config->loop, on_stream, reverse);
	(void)uv_timer_init(config->loop, &reverse->timer);
	reverse->timer.data = reverse;
	return reverse;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct reverse *reverse = handle->data;

	free(reverse->uid);
	free(reverse);
}

void reverse_free(struct reverse *reverse)
{
	if (!reverse)
		return;
	drop(reverse);
	former_free(reverse->former);
	uv_close((uv_handle_t *)&reverse->timer, on_timer_closed);
}

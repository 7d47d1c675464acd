/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/reverse.h"

#include <string.h>

#include "client/userd/backoff.h"
#include "cluster/carrier.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "tunnel/client.h"

struct reverse {
	struct reverse_config config;
	char *uid; /* NULL: no Session */
	bool wanted, ready;
	unsigned int attempts; /* since it was ready */
	/* At most one of: the timer runs, a carrier is being opened, a tunnel is there. */
	uv_timer_t timer;
	struct kube_carrier_open *opening;
	struct tunnel_client *tunnel;
};

static void open_carrier(struct reverse *reverse);

static void on_timer(uv_timer_t *timer)
{
	open_carrier(timer->data);
}

static void open_later(struct reverse *reverse)
{
	(void)uv_timer_start(&reverse->timer, on_timer, backoff_ms(reverse->attempts), 0);
	reverse->attempts++;
}

static void on_ready(void *user)
{
	struct reverse *reverse = user;

	reverse->ready = true;
	reverse->attempts = 0;
	log_info("reversed carrier open", "carrier=%s", tunnel_client_carrier(reverse->tunnel));
	reverse->config.on_ready(reverse->config.user);
}

static void on_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct reverse *reverse = user;

	reverse->config.on_stream(reverse->config.user, stream, head);
}

static void on_closed(void *user, const struct err *err)
{
	struct reverse *reverse = user;

	if (reverse->ready)
		log_warn("reversed carrier lost", "error=%s", err->msg);
	else
		log_debug("reversed carrier refused", "error=%s", err->msg);
	reverse->ready = false;
	tunnel_client_free(TAKE_PTR(reverse->tunnel));
	open_later(reverse);
}

static void on_carrier(void *user, int r, struct carrier *carrier, const struct err *err)
{
	static const struct tunnel_client_events events = {
		.on_ready = on_ready, .on_stream = on_stream, .on_closed = on_closed};
	struct reverse *reverse = user;
	const struct tunnel_client_config config = {
		.session_uid = reverse->uid, .key = reverse->config.key, .reverse = true};

	reverse->opening = NULL;
	if (r < 0) {
		log_debug("no reversed carrier", "error=%s", err->msg);
		open_later(reverse);
		return;
	}
	reverse->tunnel =
		tunnel_client_new(reverse->config.loop, carrier, &config, &events, reverse);
}

static void open_carrier(struct reverse *reverse)
{
	reverse->opening = kube_carrier_open(reverse->config.client,
		reverse->config.manager_namespace, KUBE_CARRIER_AUTO, on_carrier, reverse);
}

static void drop(struct reverse *reverse)
{
	reverse->ready = false;
	(void)uv_timer_stop(&reverse->timer);
	if (reverse->opening)
		kube_carrier_cancel(TAKE_PTR(reverse->opening));
	tunnel_client_free(TAKE_PTR(reverse->tunnel));
}

static void restart(struct reverse *reverse)
{
	drop(reverse);
	reverse->attempts = 0;
	if (reverse->wanted && reverse->uid)
		open_carrier(reverse);
}

void reverse_session(struct reverse *reverse, const char *uid)
{
	if (uid && reverse->uid && strcmp(uid, reverse->uid) == 0) {
		/* The session's own tunnel has just found the manager. */
		if (uv_is_active((uv_handle_t *)&reverse->timer))
			restart(reverse);
		return;
	}
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
	return reverse->tunnel ? tunnel_client_streams(reverse->tunnel) : 0;
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
	uv_close((uv_handle_t *)&reverse->timer, on_timer_closed);
}

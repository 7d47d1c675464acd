/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list (page by page) -> watch from the list's version -> watch again from the last version ...;
 * 410 goes back to the list. The timer paces retries and makes every start come from the loop. Each
 * callback may stop the watch: its memory lives until the timer is closed.
 */
#include "cluster/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cluster/json.h"
#include "cluster/request.h"
#include "cluster/watch_store.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"

#define BACKOFF_FIRST_MS 200
#define BACKOFF_LAST_MS  10000
/* While it backs off: is the server heard again? */
#define LOOK_MS 200
/* The server ends a watch after this long, so that load spreads after one of them restarts. */
#define WATCH_SECONDS_MIN 240
#define WATCH_SECONDS_MAX 480

struct kube_watch {
	struct kube_client *client;
	struct kube_request *request;
	struct kube_watch_events events;
	void *user;
	char *path;
	char separator; /* before the first parameter of ours */
	char version[WATCH_VERSION_BYTES]; /* "": list first */
	char *page; /* the list's continue token */
	uv_timer_t timer;
	uint32_t backoff_ms;
	unsigned int returns; /* of the client, as last seen */
	uint64_t watch_began_ms, due_ms; /* due_ms: the end of the pause */
	struct watch_store store;
	bool synced, stopped, gone;
};

static void next_step(struct kube_watch *watch);

static void on_timer_closed(uv_handle_t *handle)
{
	struct kube_watch *watch = handle->data;

	watch_store_done(&watch->store);
	free(watch->page);
	free(watch->path);
	free(watch);
}

void kube_watch_stop(struct kube_watch *watch)
{
	if (!watch || watch->stopped)
		return;
	watch->stopped = true;
	kube_request_cancel(TAKE_PTR(watch->request));
	uv_close((uv_handle_t *)&watch->timer, on_timer_closed);
}

/* How long the server was away says nothing of what it does now: "storage is (re)initializing",
 * with 429, for a second or two. */
static bool is_heard_again(struct kube_watch *watch)
{
	unsigned int returns = kube_client_returns(watch->client);

	if (returns == watch->returns)
		return false;
	watch->returns = returns;
	watch->backoff_ms = BACKOFF_FIRST_MS;
	return true;
}

static void on_timer(uv_timer_t *timer)
{
	struct kube_watch *watch = timer->data;
	uint64_t now = uv_now(timer->loop);

	if (now < watch->due_ms && !is_heard_again(watch))
		(void)uv_timer_start(
			timer, on_timer, MIN(watch->due_ms - now, (uint64_t)LOOK_MS), 0);
	else
		next_step(watch);
}

static uint32_t random_below(uint32_t limit)
{
	uint32_t value = 0;

	(void)uv_random(NULL, NULL, &value, sizeof(value), 0, NULL);
	return value % limit;
}

static void step_soon(struct kube_watch *watch)
{
	watch->due_ms = 0;
	uv_timer_start(&watch->timer, on_timer, 0, 0);
}

/* Half of the interval for sure, the other half by chance: clients do not come back in step. */
static void step_later(struct kube_watch *watch)
{
	uint32_t half, pause_ms;

	/* It may be this watch that has heard it. */
	(void)is_heard_again(watch);
	half = watch->backoff_ms / 2;
	pause_ms = half + random_below(half + 1);
	watch->due_ms = uv_now(watch->timer.loop) + pause_ms;
	uv_timer_start(&watch->timer, on_timer, MIN(pause_ms, (uint32_t)LOOK_MS), 0);
	watch->backoff_ms = MIN(watch->backoff_ms * 2, (uint32_t)BACKOFF_LAST_MS);
}

static void report(struct kube_watch *watch, const struct err *err)
{
	if (watch->events.on_error)
		watch->events.on_error(watch->user, err);
}

static void put(struct kube_watch *watch, json_object *object)
{
	enum kube_event event = KUBE_ADDED;
	json_object *former = watch_store_take_former(&watch->store, object);

	if (former) {
		watch->events.on_event(watch->user, KUBE_DELETED, former);
		json_object_put(former);
	}
	if (watch->stopped)
		return;
	if (watch_store_put(&watch->store, object, &event))
		watch->events.on_event(watch->user, event, object);
}

static void restart_list(struct kube_watch *watch)
{
	watch->version[0] = 0;
	free(TAKE_PTR(watch->page));
}

static void end_list(struct kube_watch *watch, json_object *body)
{
	json_object *vanished = NULL;

	while (!watch->stopped && (vanished = watch_store_take_vanished(&watch->store))) {
		watch->events.on_event(watch->user, KUBE_DELETED, vanished);
		json_object_put(vanished);
	}
	if (watch->stopped)
		return;
	(void)snprintf(watch->version, sizeof(watch->version), "%s",
		json_text_or(body, "metadata.resourceVersion", "0"));
	if (!watch->synced && watch->events.on_synced) {
		watch->synced = true;
		watch->events.on_synced(watch->user);
	}
}

/* Items of a list carry neither kind nor apiVersion; the list's own say which. */
static void complete_item(json_object *item, json_object *list)
{
	const char *kind = json_text(list, "kind");
	size_t len = kind ? strlen(kind) : 0;
	const char *version = json_text(list, "apiVersion");

	if (!json_member(item, "kind") && len > 4 && strcmp(kind + len - 4, "List") == 0)
		json_object_object_add(
			item, "kind", json_object_new_string_len(kind, (int)len - 4));
	if (!json_member(item, "apiVersion") && version)
		json_add_text(item, "apiVersion", version);
}

static void on_page(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_watch *watch = user;
	const char *next = json_text_or(body, "metadata.continue", "");

	(void)status;
	watch->request = NULL;
	if (r < 0) {
		restart_list(watch);
		report(watch, err);
		if (!watch->stopped)
			step_later(watch);
		return;
	}
	for (size_t i = 0; !watch->stopped && i < json_count(body, "items"); i++) {
		json_object *item = json_item(body, "items", i);

		if (!json_object_is_type(item, json_type_object))
			continue;
		complete_item(item, body);
		put(watch, item);
	}
	if (watch->stopped)
		return;
	free(TAKE_PTR(watch->page));
	watch->backoff_ms = BACKOFF_FIRST_MS;
	if (*next)
		watch->page = kube_escape(next);
	else
		end_list(watch, body);
	if (!watch->stopped)
		step_soon(watch);
}

static void start_list(struct kube_watch *watch)
{
	auto_free char *path =
		xasprintf("%s%climit=%d%s%s", watch->path, watch->separator, LIMIT_KUBE_PAGE_ITEMS,
			watch->page ? "&continue=" : "", watch->page ? watch->page : "");
	const struct kube_request_config config = {.method = "GET", .path = path};

	if (!watch->page)
		watch_store_begin_list(&watch->store);
	kube_request(watch->client, &config, on_page, watch, &watch->request);
}

static void take_line(struct kube_watch *watch, const struct watch_line *line)
{
	struct err err = ERR_INIT;

	switch (line->type) {
	case WATCH_LINE_GONE:
		watch->gone = true;
		return;
	case WATCH_LINE_ERROR:
		err_set(&err, -EIO, ERR_UNREACHABLE, "watch of %s: %.300s", watch->path,
			json_text_or(line->object, "message", "failed"));
		report(watch, &err);
		return;
	case WATCH_LINE_EVENT:
		if (line->event != KUBE_DELETED)
			put(watch, line->object);
		else if (watch_store_remove(&watch->store, line->object))
			watch->events.on_event(watch->user, KUBE_DELETED, line->object);
		break;
	case WATCH_LINE_BOOKMARK:
		break;
	}
	if (line->version[0] && !watch->stopped)
		memcpy(watch->version, line->version, sizeof(watch->version));
	watch->backoff_ms = BACKOFF_FIRST_MS;
}

/* What it said is lost: a new list brings it. */
static void broken_line(struct kube_watch *watch)
{
	struct err err = ERR_INIT;

	err_set(&err, -EPROTO, ERR_UNREACHABLE, "watch of %s: a line is no watch event",
		watch->path);
	kube_request_cancel(TAKE_PTR(watch->request));
	restart_list(watch);
	step_later(watch);
	report(watch, &err);
}

static void on_chunk(void *user, struct buf *body)
{
	struct kube_watch *watch = user;

	while (!watch->stopped) {
		const char *text = (const char *)buf_head(body);
		const char *end = buf_len(body) ? memchr(text, '\n', buf_len(body)) : NULL;
		struct watch_line line = {.object = NULL};
		size_t len = 0;

		if (!end)
			return;
		len = (size_t)(end - text);
		if (watch_line_parse(text, len, &line) < 0) {
			broken_line(watch);
			return;
		}
		take_line(watch, &line);
		json_object_put(line.object);
		/* A stop has freed the buffer. */
		if (!watch->stopped)
			buf_consume(body, len + 1);
	}
}

static void on_watch_done(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct kube_watch *watch = user;

	(void)status;
	(void)body;
	watch->request = NULL;
	/* An idle watch that lasted was no failure. */
	if (uv_now(watch->timer.loop) - watch->watch_began_ms > BACKOFF_LAST_MS)
		watch->backoff_ms = BACKOFF_FIRST_MS;
	if (r == -ESTALE || watch->gone) {
		watch->gone = false;
		restart_list(watch);
		step_later(watch);
		return;
	}
	/* A server that ends every watch at once must not be asked in a tight loop. */
	if (r < 0)
		report(watch, err);
	if (!watch->stopped)
		step_later(watch);
}

static void start_watch(struct kube_watch *watch)
{
	auto_free char *path =
		xasprintf("%s%cwatch=true&allowWatchBookmarks=true&resourceVersion=%s&"
			  "timeoutSeconds=%" PRIu32,
			watch->path, watch->separator, watch->version,
			WATCH_SECONDS_MIN + random_below(WATCH_SECONDS_MAX - WATCH_SECONDS_MIN));

	watch->watch_began_ms = uv_now(watch->timer.loop);
	kube_stream(watch->client, path, on_chunk, on_watch_done, watch, &watch->request);
}

static void next_step(struct kube_watch *watch)
{
	if (watch->version[0])
		start_watch(watch);
	else
		start_list(watch);
}

struct kube_watch *kube_watch_start(struct kube_client *client, const char *path,
	const struct kube_watch_events *events, void *user)
{
	struct kube_watch *watch = XNEW(struct kube_watch);

	watch->client = client;
	watch->events = *events;
	watch->user = user;
	watch->path = xstrdup(path);
	watch->separator = strchr(path, '?') ? '&' : '?';
	watch->backoff_ms = BACKOFF_FIRST_MS;
	uv_timer_init(kube_client_loop(client), &watch->timer);
	watch->timer.data = watch;
	step_soon(watch);
	return watch;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/former.h"

#include <utlist.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "tunnel/client.h"

#define FORMER_TUNNELS 8
#define FORMER_LOOK_MS 1000

struct entry {
	struct former *former;
	struct tunnel_client *tunnel;
	struct entry *prev, *next;
};

struct former {
	uv_timer_t timer; /* while there is any */
	void (*on_stream)(void *user, struct h2_stream *stream, const struct h2_head *head);
	void *user;
	struct entry *entries; /* oldest first; owns */
	size_t count;
};

static void drop(struct entry *entry)
{
	struct former *former = entry->former;

	DL_DELETE(former->entries, entry);
	if (--former->count == 0)
		(void)uv_timer_stop(&former->timer);
	tunnel_client_free(entry->tunnel);
	free(entry);
}

static void on_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct entry *entry = user;

	entry->former->on_stream(entry->former->user, stream, head);
}

static void on_closed(void *user, const struct err *err)
{
	log_info("former tunnel lost", "error=%s", err->msg);
	drop(user);
}

static void on_look(uv_timer_t *timer)
{
	struct former *former = container_of(timer, struct former, timer);
	struct entry *entry = NULL, *next = NULL;

	DL_FOREACH_SAFE (former->entries, entry, next) {
		if (tunnel_client_streams(entry->tunnel) == 0)
			drop(entry);
	}
}

/* It has its chance until it ends by itself. */
static void on_lost(void *user UNUSED, const struct err *err UNUSED)
{
}

void former_add(struct former *former, struct tunnel_client *tunnel)
{
	static const struct tunnel_client_events events = {
		.on_stream = on_stream, .on_lost = on_lost, .on_closed = on_closed};
	struct entry *entry = XNEW(struct entry);

	entry->former = former;
	entry->tunnel = tunnel;
	tunnel_client_set_events(tunnel, &events, entry);
	DL_APPEND(former->entries, entry);
	if (++former->count > FORMER_TUNNELS)
		drop(former->entries);
	(void)uv_timer_start(&former->timer, on_look, FORMER_LOOK_MS, FORMER_LOOK_MS);
}

size_t former_streams(const struct former *former)
{
	const struct entry *entry = NULL;
	size_t count = 0;

	DL_FOREACH (former->entries, entry)
		count += tunnel_client_streams(entry->tunnel);
	return count;
}

void former_clear(struct former *former)
{
	/* Each takes itself off the list, which the analyzer does not see. */
	while (former->entries)
		drop(former->entries); /* NOLINT(clang-analyzer-unix.Malloc) */
}

struct former *former_new(uv_loop_t *loop,
	void (*on_new_stream)(void *user, struct h2_stream *stream, const struct h2_head *head),
	void *user)
{
	struct former *former = XNEW(struct former);

	former->on_stream = on_new_stream;
	former->user = user;
	(void)uv_timer_init(loop, &former->timer);
	return former;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(container_of((uv_timer_t *)handle, struct former, timer));
}

void former_free(struct former *former)
{
	if (!former)
		return;
	former_clear(former);
	uv_close((uv_handle_t *)&former->timer, on_timer_closed);
}

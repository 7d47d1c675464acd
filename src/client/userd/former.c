/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/former.h"

#include <string.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "tunnel/client.h"

#define FORMER_TUNNELS 8
#define FORMER_LOOK_MS 1000

struct entry {
	struct former *former;
	struct tunnel_client *tunnel;
};

struct former {
	uv_timer_t timer; /* while there is any */
	void (*on_stream)(void *user, struct h2_stream *stream, const struct h2_head *head);
	void *user;
	struct entry *entries[FORMER_TUNNELS]; /* oldest first */
	size_t count;
};

static void drop(struct former *former, size_t i)
{
	struct entry *entry = former->entries[i];

	tunnel_client_free(entry->tunnel);
	free(entry);
	former->count--;
	memmove(&former->entries[i], &former->entries[i + 1],
		(former->count - i) * sizeof(*former->entries));
	if (former->count == 0)
		(void)uv_timer_stop(&former->timer);
}

static void on_stream(void *user, struct h2_stream *stream, const struct h2_head *head)
{
	struct entry *entry = user;

	entry->former->on_stream(entry->former->user, stream, head);
}

static void on_closed(void *user, const struct err *err)
{
	struct entry *entry = user;
	struct former *former = entry->former;
	size_t i = 0;

	log_info("former tunnel lost", "error=%s", err->msg);
	while (former->entries[i] != entry)
		i++;
	drop(former, i);
}

static void on_look(uv_timer_t *timer)
{
	struct former *former = container_of(timer, struct former, timer);

	for (size_t i = former->count; i > 0; i--) {
		if (tunnel_client_streams(former->entries[i - 1]->tunnel) == 0)
			drop(former, i - 1);
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

	if (former->count == FORMER_TUNNELS)
		drop(former, 0);
	entry->former = former;
	entry->tunnel = tunnel;
	former->entries[former->count++] = entry;
	tunnel_client_set_events(tunnel, &events, entry);
	(void)uv_timer_start(&former->timer, on_look, FORMER_LOOK_MS, FORMER_LOOK_MS);
}

size_t former_streams(const struct former *former)
{
	size_t count = 0;

	for (size_t i = 0; i < former->count; i++)
		count += tunnel_client_streams(former->entries[i]->tunnel);
	return count;
}

void former_clear(struct former *former)
{
	while (former->count > 0)
		drop(former, former->count - 1);
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

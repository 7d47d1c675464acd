/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/changes.h"

#include <string.h>

#include "client/userd/proto.h"
#include "client/userd/uplink.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/log.h"
#include "dns/settings.h"
#include "tunnel/h2.h"

/* A name of two labels, and what stands around it. */
#define LINE_BYTES 512
#define EVERYTHING "*"

struct changes {
	struct h2_stream *stream; /* NULL: it has ended */
	changes_fn on_change;
	void *user;
	struct buf line;
};

static void take_line(struct changes *changes, const char *text, size_t len)
{
	json_tokener *tokener = json_tokener_new_ex(2);
	json_object *object = tokener ? json_tokener_parse_ex(tokener, text, (int)len) : NULL;
	const char *name = json_get_string(object, "changed");

	if (name && strcmp(name, EVERYTHING) == 0)
		changes->on_change(changes->user, NULL);
	else if (name && dns_name_valid(name))
		changes->on_change(changes->user, name);
	json_object_put(object);
	if (tokener)
		json_tokener_free(tokener);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct changes *changes = user;

	h2_stream_consumed(changes->stream, len);
	while (len > 0) {
		const uint8_t *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;

		if (buf_append(&changes->line, data, n) < 0) {
			h2_stream_reset(changes->stream, UPLINK_CANCEL);
			return;
		}
		data += n + (end != NULL);
		len -= n + (end != NULL);
		if (!end)
			return;
		take_line(changes, (const char *)buf_head(&changes->line), buf_len(&changes->line));
		buf_consume(&changes->line, buf_len(&changes->line));
	}
}

static void on_end(void *user UNUSED)
{
}

static void on_head(void *user, const struct h2_head *head)
{
	struct changes *changes = user;

	if (head->status == 200)
		return;
	log_info("changes of names are not told", "status=%d", head->status);
	h2_stream_reset(changes->stream, UPLINK_CANCEL);
}

static void on_close(void *user, uint32_t code UNUSED)
{
	struct changes *changes = user;

	changes->stream = NULL;
}

struct changes *changes_start(struct h2_session *h2, changes_fn on_change, void *user)
{
	static const struct h2_stream_events events = {
		.on_head = on_head, .on_data = on_data, .on_end = on_end, .on_close = on_close};
	const struct h2_head head = {
		.method = "GET", .path = "/v1/names", .authority = "traffic-manager"};
	struct changes *changes = XNEW(struct changes);

	changes->on_change = on_change;
	changes->user = user;
	buf_init(&changes->line, LINE_BYTES);
	if (h2_request(h2, &head, &events, changes, &changes->stream) == 0)
		return changes;
	free(changes);
	return NULL;
}

void changes_stop(struct changes *changes)
{
	static const struct h2_stream_events none;

	if (!changes)
		return;
	if (changes->stream) {
		h2_stream_set_events(changes->stream, &none, NULL);
		h2_stream_reset(changes->stream, UPLINK_CANCEL);
	}
	buf_done(&changes->line);
	free(changes);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/fetch.h"

#include <errno.h>
#include <string.h>

#include "client/userd/uplink.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/h2.h"

struct fetch {
	uv_timer_t timer; /* the deadline; at once when there is no tunnel */
	struct h2_stream *stream; /* NULL: none, or it is gone */
	struct buf request, response;
	int status; /* 0: no answer yet */
	fetch_fn on_done;
	void *user;
};

static void on_timer_closed(uv_handle_t *handle)
{
	struct fetch *fetch = handle->data;

	buf_done(&fetch->request);
	buf_done(&fetch->response);
	free(fetch);
}

static void free_fetch(struct fetch *fetch)
{
	static const struct h2_stream_events none;
	struct h2_stream *stream = TAKE_PTR(fetch->stream);

	if (stream) {
		h2_stream_set_events(stream, &none, NULL);
		h2_stream_reset(stream, UPLINK_CANCEL);
	}
	uv_close((uv_handle_t *)&fetch->timer, on_timer_closed);
}

static void finish(struct fetch *fetch, int r, json_object *object, const struct err *err)
{
	fetch->on_done(fetch->user, r, object, err);
	free_fetch(fetch);
}

static void on_timer(uv_timer_t *timer)
{
	struct fetch *fetch = timer->data;
	struct err err = ERR_INIT;
	int r = fetch->stream ? err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE,
					"the traffic-manager did not answer in time")
			      : err_set(&err, -ENOTCONN, ERR_UNREACHABLE,
					"there is no tunnel to the traffic-manager just now");

	finish(fetch, r, NULL, &err);
}

static void on_head(void *user, const struct h2_head *head)
{
	struct fetch *fetch = user;

	fetch->status = head->status;
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct fetch *fetch = user;
	struct err err = ERR_INIT;

	h2_stream_consumed(fetch->stream, len);
	if (buf_append(&fetch->response, data, len) == 0)
		return;
	err_set(&err, -EFBIG, ERR_INTERNAL, "the traffic-manager answers more than %d bytes",
		LIMIT_CONTROL_BODY_BYTES);
	finish(fetch, -EFBIG, NULL, &err);
}

static ssize_t on_read(void *user, uint8_t *out, size_t len)
{
	struct fetch *fetch = user;
	size_t n = MIN(len, buf_len(&fetch->request));

	if (n == 0)
		return H2_READ_EOF;
	memcpy(out, buf_head(&fetch->request), n);
	buf_consume(&fetch->request, n);
	return (ssize_t)n;
}

static void on_end(void *user UNUSED)
{
}

static int status_error(const struct fetch *fetch, json_object *object, struct err *err)
{
	const char *message = json_text_or(object, "error", "");
	int r = fetch->status == 404   ? -ENOENT
		: fetch->status == 403 ? -EACCES
		: fetch->status == 409 ? -EBUSY
		: fetch->status == 504 ? -ETIMEDOUT
				       : -EPROTO;

	if (fetch->status == 0)
		return err_set(err, -ECONNRESET, ERR_UNREACHABLE, "the tunnel was lost");
	return err_set(err, r, err_kind_from_errno(r), "the traffic-manager answers status %d%s%s",
		fetch->status, *message ? ": " : "", message);
}

static void on_close(void *user, uint32_t code UNUSED)
{
	struct fetch *fetch = user;
	const char *text = (const char *)buf_head(&fetch->response);
	size_t len = buf_len(&fetch->response);
	json_object *object = len ? json_parse(text, len) : NULL;
	struct err err = ERR_INIT;
	int r = 0;

	fetch->stream = NULL;
	if (fetch->status != 200)
		r = status_error(fetch, object, &err);
	else if (!json_object_is_type(object, json_type_object))
		r = err_set(&err, -EPROTO, ERR_INTERNAL,
			"the traffic-manager's answer is not understood");
	finish(fetch, r, object, &err);
	json_object_put(object);
}

static int send_request(struct fetch *fetch, const struct fetch_config *config)
{
	static const struct h2_stream_events events = {
		.on_head = on_head, .on_data = on_data, .on_end = on_end, .on_close = on_close};
	static const struct h2_header headers[] = {{"content-type", "application/json"}};
	struct h2_stream_events with_body = events;
	const struct h2_head head = {
		.method = config->method,
		.path = config->path,
		.authority = "traffic-manager",
		.headers = headers,
		.header_count = config->body ? ARRAY_SIZE(headers) : 0,
	};
	const char *text;

	if (!config->uplink->h2)
		return -ENOTCONN;
	with_body.on_read = on_read;
	if (config->body) {
		text = json_object_to_json_string_ext(config->body, JSON_C_TO_STRING_PLAIN);
		if (buf_append(&fetch->request, text, strlen(text)) < 0)
			return -EFBIG;
	}
	return h2_request(config->uplink->h2, &head, config->body ? &with_body : &events, fetch,
		&fetch->stream);
}

struct fetch *fetch_start(const struct fetch_config *config, fetch_fn on_done, void *user)
{
	struct fetch *fetch = XNEW(struct fetch);
	int r;

	fetch->on_done = on_done;
	fetch->user = user;
	buf_init(&fetch->request, LIMIT_CONTROL_BODY_BYTES);
	buf_init(&fetch->response, LIMIT_CONTROL_BODY_BYTES);
	(void)uv_timer_init(config->loop, &fetch->timer);
	fetch->timer.data = fetch;
	r = send_request(fetch, config);
	(void)uv_timer_start(&fetch->timer, on_timer, r == 0 ? config->timeout_ms : 0, 0);
	return fetch;
}

void fetch_cancel(struct fetch *fetch)
{
	if (fetch)
		free_fetch(fetch);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/doh.h"

#include <errno.h>
#include <strings.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/limits.h"
#include "dns/forward.h"
#include "manager/service_names.h"
#include "tunnel/reply.h"

#define DNS_HEADER_BYTES 12
#define MEDIA_TYPE       "application/dns-message"

struct doh {
	struct dns_forwarder *forwarder;
	const struct service_names *names;
	struct h2_stream *stream;
	struct buf body;
	struct dns_forward *forward; /* in flight, or NULL */
};

static void doh_free(struct doh *doh)
{
	buf_done(&doh->body);
	free(doh);
}

/* The stream leaves the query, which ends. */
static void finish(struct doh *doh, int status)
{
	reply_status(doh->stream, status);
	doh_free(doh);
}

static int status_of(int r)
{
	switch (r) {
	case -ETIMEDOUT:
		return 504;
	case -ENOBUFS:
	case -EAGAIN:
	case -EBUSY:
		return 503;
	default:
		return 502;
	}
}

/* True: it is a Service's name, and that was the end of the query. */
static bool answer_service(struct doh *doh)
{
	size_t len = 0;
	auto_free uint8_t *msg =
		service_names_answer(doh->names, buf_head(&doh->body), buf_len(&doh->body), &len);

	if (!msg)
		return false;
	reply_body(doh->stream, 200, MEDIA_TYPE, msg, len);
	doh_free(doh);
	return true;
}

static void on_answer(void *user, int r, const uint8_t *msg, size_t len)
{
	struct doh *doh = user;

	doh->forward = NULL;
	/* The Service may have come while the nameserver still said that there is none. */
	if (answer_service(doh))
		return;
	if (r < 0) {
		finish(doh, status_of(r));
		return;
	}
	reply_body(doh->stream, 200, MEDIA_TYPE, msg, len);
	doh_free(doh);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct doh *doh = user;

	h2_stream_consumed(doh->stream, len);
	/* After the END_STREAM no data comes, so a query is never in flight here. */
	if (buf_append(&doh->body, data, len) < 0)
		finish(doh, 413);
}

static void on_end(void *user)
{
	struct doh *doh = user;
	int r;

	if (buf_len(&doh->body) < DNS_HEADER_BYTES) {
		finish(doh, 400);
		return;
	}
	if (answer_service(doh))
		return;
	r = dns_forward(doh->forwarder, buf_head(&doh->body), buf_len(&doh->body), false, on_answer,
		doh, &doh->forward);
	if (r < 0)
		finish(doh, status_of(r));
}

static void on_close(void *user, uint32_t code UNUSED)
{
	struct doh *doh = user;

	if (doh->forward)
		dns_forward_cancel(doh->forward);
	doh_free(doh);
}

static const struct h2_stream_events doh_events = {
	.on_data = on_data,
	.on_end = on_end,
	.on_close = on_close,
};

void doh_start(struct dns_forwarder *forwarder, const struct service_names *names,
	struct h2_stream *stream, const struct h2_head *head)
{
	const char *type = h2_head_get(head, "content-type");
	struct doh *doh;

	if (!type || strcasecmp(type, MEDIA_TYPE) != 0) {
		reply_status(stream, 415);
		return;
	}
	doh = XNEW(struct doh);
	doh->forwarder = forwarder;
	doh->names = names;
	doh->stream = stream;
	buf_init(&doh->body, LIMIT_DNS_MESSAGE_BYTES);
	h2_stream_set_events(stream, &doh_events, doh);
}

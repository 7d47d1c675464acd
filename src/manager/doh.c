/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/doh.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/limits.h"
#include "dns/forward.h"
#include "dns/message.h"
#include "manager/service_names.h"
#include "tunnel/reply.h"

#define MEDIA_TYPE "application/dns-message"
#define TYPE_BYTES 2
/* Of a question: type and class. */
#define TAIL_BYTES 4

struct doh {
	struct doh_desk *desk;
	struct doh *prev, *next; /* once it is complete */
	struct h2_stream *stream;
	struct buf body;
	size_t type_at; /* of the question, once it is complete; 0: it has none */
	struct dns_forward *forward; /* in flight, or NULL */
	const struct doh *first; /* in flight, and this one but for its type; or NULL */
};

struct doh_desk {
	struct dns_forwarder *forwarder;
	const struct service_names *names;
	struct doh *asked; /* complete, not answered yet */
};

static void ask(struct doh *doh);

static void doh_free(struct doh *doh)
{
	struct doh_desk *desk = doh->desk;
	struct doh *other = NULL, *next = NULL;

	if (doh->prev)
		DL_DELETE(desk->asked, doh);
	buf_done(&doh->body);
	/* Its answer does not come any more. */
	DL_FOREACH_SAFE (desk->asked, other, next) {
		if (other->first == doh)
			ask(other);
	}
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
	auto_free uint8_t *msg = service_names_answer(
		doh->desk->names, buf_head(&doh->body), buf_len(&doh->body), &len);

	if (!msg)
		return false;
	reply_body(doh->stream, 200, MEDIA_TYPE, msg, len);
	doh_free(doh);
	return true;
}

/* The same question and whatever else is in the message, id and type left out. */
static bool differ_by_type(const struct doh *a, const struct doh *b)
{
	const uint8_t *x = buf_head(&a->body), *y = buf_head(&b->body);
	size_t len = buf_len(&a->body), type_at = a->type_at, id = sizeof(uint16_t);

	return type_at > 0 && type_at == b->type_at && len == buf_len(&b->body) &&
	       memcmp(x + id, y + id, type_at - id) == 0 &&
	       memcmp(x + type_at + TYPE_BYTES, y + type_at + TYPE_BYTES,
		       len - type_at - TYPE_BYTES) == 0;
}

/* That a name does not exist, as the answer to another question about it. */
static void answer_absent(struct doh *doh, const uint8_t *msg, size_t len)
{
	auto_free uint8_t *copy = xcalloc(1, len);
	const uint8_t *query = buf_head(&doh->body);

	memcpy(copy, msg, len);
	memcpy(copy, query, sizeof(uint16_t));
	memcpy(copy + doh->type_at, query + doh->type_at, TYPE_BYTES);
	reply_body(doh->stream, 200, MEDIA_TYPE, copy, len);
	doh_free(doh);
}

static bool is_absent(const uint8_t *msg, size_t len)
{
	return dns_rcode_of(msg, len) == DNS_NXDOMAIN && msg[6] == 0 && msg[7] == 0;
}

/* Those that waited for this one's answer. */
static void tell_others(const struct doh *doh, int r, const uint8_t *msg, size_t len)
{
	struct doh *other = NULL, *next = NULL;

	DL_FOREACH_SAFE (doh->desk->asked, other, next) {
		if (other->first != doh)
			continue;
		other->first = NULL;
		if (r < 0)
			finish(other, status_of(r));
		else if (answer_service(other))
			continue;
		else if (is_absent(msg, len) && len >= doh->type_at + TAIL_BYTES)
			answer_absent(other, msg, len);
		else
			ask(other);
	}
}

static void on_answer(void *user, int r, const uint8_t *msg, size_t len)
{
	struct doh *doh = user;

	doh->forward = NULL;
	tell_others(doh, r, msg, len);
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

static void ask(struct doh *doh)
{
	int r;

	doh->first = NULL;
	r = dns_forward(doh->desk->forwarder, buf_head(&doh->body), buf_len(&doh->body), false,
		on_answer, doh, &doh->forward);
	if (r < 0)
		finish(doh, status_of(r));
}

static void on_end(void *user)
{
	struct doh *doh = user;
	struct dns_question question;
	struct doh *other = NULL;

	if (buf_len(&doh->body) < DNS_HEADER_BYTES) {
		finish(doh, 400);
		return;
	}
	if (answer_service(doh))
		return;
	if (dns_question_parse(buf_head(&doh->body), buf_len(&doh->body), &question) == 0)
		doh->type_at = question.end - TAIL_BYTES;
	DL_FOREACH (doh->desk->asked, other) {
		if (other->forward && differ_by_type(doh, other)) {
			doh->first = other;
			break;
		}
	}
	DL_APPEND(doh->desk->asked, doh);
	if (!doh->first)
		ask(doh);
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

struct doh_desk *doh_desk_new(struct dns_forwarder *forwarder, const struct service_names *names)
{
	struct doh_desk *desk = XNEW(struct doh_desk);

	desk->forwarder = forwarder;
	desk->names = names;
	return desk;
}

void doh_desk_free(struct doh_desk *desk)
{
	free(desk);
}

void doh_start(struct doh_desk *desk, struct h2_stream *stream, const struct h2_head *head)
{
	const char *type = h2_head_get(head, "content-type");
	struct doh *doh;

	if (!type || strcasecmp(type, MEDIA_TYPE) != 0) {
		reply_status(stream, 415);
		return;
	}
	doh = XNEW(struct doh);
	doh->desk = desk;
	doh->stream = stream;
	buf_init(&doh->body, LIMIT_DNS_MESSAGE_BYTES);
	h2_stream_set_events(stream, &doh_events, doh);
}

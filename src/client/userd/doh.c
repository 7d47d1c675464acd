/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/doh.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <utlist.h>

#include "client/userd/uplink.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/limits.h"
#include "dns/resolver.h"
#include "tunnel/h2.h"

#define MEDIA_TYPE "application/dns-message"

struct doh_query {
	struct doh *doh;
	struct dns_query *query;
	struct h2_stream *stream;
	struct buf request, response;
	int status;
	struct doh_query *next, *prev;
};

struct doh {
	const struct uplink *uplink;
	struct doh_query *queries;
};

static void free_query(struct doh_query *query)
{
	buf_done(&query->request);
	buf_done(&query->response);
	free(query);
}

static void finish(struct doh_query *query, bool ok)
{
	DL_DELETE(query->doh->queries, query);
	dns_query_answer(query->query, ok ? buf_head(&query->response) : NULL,
		ok ? buf_len(&query->response) : 0);
	free_query(query);
}

/* Ends the query and its stream, whichever of the two is first. */
static void cancel(struct doh_query *query)
{
	static const struct h2_stream_events none;
	struct h2_stream *stream = query->stream;

	finish(query, false);
	h2_stream_set_events(stream, &none, NULL);
	h2_stream_reset(stream, UPLINK_CANCEL);
}

static void on_head(void *user, const struct h2_head *head)
{
	struct doh_query *query = user;

	query->status = head->status;
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct doh_query *query = user;

	h2_stream_consumed(query->stream, len);
	if (buf_append(&query->response, data, len) < 0)
		cancel(query);
}

static ssize_t on_read(void *user, uint8_t *out, size_t len)
{
	struct doh_query *query = user;
	size_t n = MIN(len, buf_len(&query->request));

	if (n == 0)
		return H2_READ_EOF;
	memcpy(out, buf_head(&query->request), n);
	buf_consume(&query->request, n);
	return (ssize_t)n;
}

static void on_close(void *user, uint32_t code)
{
	struct doh_query *query = user;

	finish(query, code == 0 && query->status == 200 && buf_len(&query->response) > 0);
}

static void on_end(void *user UNUSED)
{
}

int doh_ask(struct doh *doh, struct dns_query *dns_query, const uint8_t *msg, size_t len)
{
	static const struct h2_stream_events events = {.on_head = on_head,
		.on_data = on_data,
		.on_end = on_end,
		.on_read = on_read,
		.on_close = on_close};
	static const struct h2_header headers[] = {
		{"content-type", MEDIA_TYPE},
		{"accept", MEDIA_TYPE},
	};
	const struct h2_head head = {
		.method = "POST",
		.path = "/dns-query",
		.authority = "traffic-manager",
		.headers = headers,
		.header_count = ARRAY_SIZE(headers),
	};
	struct doh_query *query;
	int r;

	if (!doh->uplink->h2)
		return -ENOTCONN;
	query = XNEW(struct doh_query);
	query->doh = doh;
	query->query = dns_query;
	buf_init(&query->request, LIMIT_DNS_MESSAGE_BYTES);
	buf_init(&query->response, LIMIT_DNS_MESSAGE_BYTES);
	r = buf_append(&query->request, msg, len);
	if (r == 0)
		r = h2_request(doh->uplink->h2, &head, &events, query, &query->stream);
	if (r < 0) {
		free_query(query);
		return r;
	}
	DL_APPEND(doh->queries, query);
	return 0;
}

struct doh *doh_new(const struct uplink *uplink)
{
	struct doh *doh = XNEW(struct doh);

	doh->uplink = uplink;
	return doh;
}

void doh_free(struct doh *doh)
{
	struct doh_query *query, *next;

	if (!doh)
		return;
	DL_FOREACH_SAFE (doh->queries, query, next)
		cancel(query);
	free(doh);
}

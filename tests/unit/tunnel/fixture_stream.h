/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/tunnel/fixture_stream.h - a CONNECT stream between the fixture's client and its server
 */
#ifndef UNIT_TUNNEL_FIXTURE_STREAM_H
#define UNIT_TUNNEL_FIXTURE_STREAM_H

#include "tunnel/fixture.h"
#include "tunnel/fixture_end.h"

static struct end *open_stream(struct h2_session *h2, struct end *end)
{
	const struct h2_head head = {.method = "CONNECT", .authority = "10.0.0.1:80"};

	assert_int_equal(h2_request(h2, &head, &end_events, end, &end->stream), 0);
	return end;
}

/* Server: answers with the end in fixture->extra. */
static void serve_end(struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	struct end *end = fixture->extra;

	assert_string_equal(head->method, "CONNECT");
	assert_string_equal(head->authority, "10.0.0.1:80");
	end->stream = stream;
	h2_stream_set_events(stream, &end_events, end);
	h2_respond(stream, 200, NULL, 0, true);
}

/* Far ends for one stream after the other, which the test owns. */
struct crowd {
	struct end *far;
	int count;
};

/* Server: answers with the next end of the crowd in fixture->extra. */
UNUSED static void serve_crowd(
	struct fixture *fixture, struct h2_stream *stream, const struct h2_head *head)
{
	struct crowd *crowd = fixture->extra;

	fixture->extra = &crowd->far[crowd->count++];
	serve_end(fixture, stream, head);
	fixture->extra = crowd;
}

#endif /* UNIT_TUNNEL_FIXTURE_STREAM_H */

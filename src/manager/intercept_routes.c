/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/intercept_routes.h"

#include <errno.h>
#include <string.h>

#include "cluster/json.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"
#include "manager/agents.h"
#include "manager/intercepts.h"
#include "manager/retire.h"
#include "manager/sessions.h"
#include "tunnel/h2.h"
#include "tunnel/reply.h"
#include "tunnel/target.h"

#define JSON_TYPE "application/json"
#define UID_BYTES 64
/* Names of workloads, of 253 bytes each at most. */
#define EXIT_BODY_BYTES (256 * 1024)

/* An agent is asked; the client may go meanwhile (stream NULL). */
struct env_request {
	struct h2_stream *stream;
};

static void on_data(void *user, const uint8_t *data UNUSED, size_t len)
{
	struct env_request *request = user;

	h2_stream_consumed(request->stream, len);
}

static void on_end(void *user UNUSED)
{
}

static void on_env_close(void *user, uint32_t code UNUSED)
{
	struct env_request *request = user;

	request->stream = NULL;
}

static const struct h2_stream_events env_events = {
	.on_data = on_data, .on_end = on_end, .on_close = on_env_close};

static void reply_why(struct h2_stream *stream, int status, const char *why)
{
	json_object *answer = json_object_new_object();
	const char *text = NULL;

	json_add_text(answer, "error", why);
	text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
	reply_body(stream, status, JSON_TYPE, text, strlen(text));
	json_object_put(answer);
}

static void on_env(void *user, json_object *env)
{
	struct env_request *request = user;
	struct h2_stream *stream = request->stream;
	const char *text = NULL;

	free(request);
	if (!stream)
		return;
	if (!env) {
		reply_why(stream, 504, "no container of ours in the pod has said it in time");
		return;
	}
	text = json_object_to_json_string_ext(
		env, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	reply_body(stream, 200, JSON_TYPE, text, strlen(text));
}

/* "/v1/intercepts/UID/env" */
static int parse_uid(const char *path, char out[static UID_BYTES])
{
	const char *uid = path + strlen(INTERCEPT_ROUTE);
	size_t len = strcspn(uid, "/");

	if (len == 0 || len >= UID_BYTES || strcmp(uid + len, "/env") != 0)
		return -ENOENT;
	memcpy(out, uid, len);
	out[len] = 0;
	return 0;
}

static int status_of(int r)
{
	switch (r) {
	case -EACCES:
		return 403;
	case -EAGAIN:
		return 503;
	case -EBUSY:
		return 409;
	default:
		return 404;
	}
}

void intercept_route_env(struct intercepts *set, const struct peer *peer, struct h2_stream *stream,
	const struct h2_head *head)
{
	struct env_request *request = NULL;
	char uid[UID_BYTES];
	struct err err = ERR_INIT;
	int r = parse_uid(head->path, uid);

	if (r < 0 || !set) {
		reply_status(stream, r < 0 ? 404 : 503);
		return;
	}
	request = XNEW(struct env_request);
	request->stream = stream;
	r = intercepts_env(set, uid, peer->session_uid, on_env, request, &err);
	if (r < 0) {
		free(request);
		if (r == -EBUSY)
			reply_why(stream, status_of(r), err.msg);
		else
			reply_status(stream, status_of(r));
		return;
	}
	h2_stream_set_events(stream, &env_events, request);
}

/* Loopback only: everything else of a pod is reached by its address. */
void intercept_route_reach(struct intercepts *set, const struct peer *peer,
	struct h2_stream *stream, const struct h2_head *head)
{
	static const struct ip_addr loopback = {.family = AF_INET, .bytes = {127, 0, 0, 1}};
	struct agents_reach_target to = {.udp = head->protocol != NULL};
	struct target target;
	int r = to.udp ? target_parse_udp(head->path ? head->path : "", &target)
		       : target_parse(head->authority ? head->authority : "", &target);

	if (r < 0 || !set) {
		reply_status(stream, r < 0 ? 400 : 503);
		return;
	}
	if (!ip_addr_equal(&target.addr, &loopback)) {
		reply_reason(stream, REASON_FORBIDDEN);
		return;
	}
	to.port = target.port;
	intercepts_reach(set, h2_head_get(head, INTERCEPT_FIELD), peer->session_uid, &to, stream);
}

struct exit_request {
	struct intercepts *set;
	struct h2_stream *stream;
	struct buf body;
	struct retire *retire; /* under way, once the body is there */
};

static void exit_free(struct exit_request *request)
{
	retire_cancel(request->retire);
	buf_done(&request->body);
	free(request);
}

static void exit_on_data(void *user, const uint8_t *data, size_t len)
{
	struct exit_request *request = user;

	h2_stream_consumed(request->stream, len);
	if (buf_append(&request->body, data, len) == 0)
		return;
	reply_status(request->stream, 413);
	exit_free(request);
}

static void exit_on_retired(void *user, int r, unsigned int told, const struct err *err)
{
	struct exit_request *request = user;
	json_object *answer = json_object_new_object();
	const char *text = NULL;

	request->retire = NULL;
	if (r < 0)
		json_add_text(answer, "error", err->msg);
	else
		json_object_object_add(answer, "told", json_object_new_int64(told));
	text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
	reply_body(request->stream, r < 0 ? status_of(r) : 200, JSON_TYPE, text, strlen(text));
	json_object_put(answer);
	exit_free(request);
}

static void exit_on_end(void *user)
{
	struct exit_request *request = user;
	json_object *body =
		json_parse((const char *)buf_head(&request->body), buf_len(&request->body));

	if (!json_object_is_type(body, json_type_object)) {
		reply_status(request->stream, 400);
		exit_free(request);
	} else {
		request->retire = retire_start(request->set, json_text(body, "namespace"),
			json_member(body, "workloads"), exit_on_retired, request);
	}
	json_object_put(body);
}

static void exit_on_close(void *user, uint32_t code UNUSED)
{
	exit_free(user);
}

static const struct h2_stream_events exit_events = {
	.on_data = exit_on_data, .on_end = exit_on_end, .on_close = exit_on_close};

void intercept_route_exit(struct intercepts *set, struct h2_stream *stream)
{
	struct exit_request *request = NULL;

	if (!set) {
		reply_status(stream, 503);
		return;
	}
	request = XNEW(struct exit_request);
	request->set = set;
	request->stream = stream;
	buf_init(&request->body, EXIT_BODY_BYTES);
	h2_stream_set_events(stream, &exit_events, request);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/info.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "client/userd/proto.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"
#include "tunnel/h2.h"

#define INFO_DEPTH     8
#define INFO_CANCEL    8 /* RFC 9113 7: CANCEL */
#define INFO_AUTHORITY "traffic-manager"

struct info_watch {
	struct h2_stream *stream;
	struct info_events events;
	void *user;
	struct buf line;
	bool stopped;
};

static int read_prefixes(json_object *array, struct prefix_set *set, struct err *err)
{
	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(array, i));
		struct ip_prefix prefix;
		int r;

		if (!text || ip_prefix_parse(text, &prefix) < 0)
			return err_set(err, -EPROTO, ERR_INTERNAL,
				"the traffic-manager names the subnet \"%s\"",
				text ? text : "null");
		r = prefix_set_add(set, &prefix, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void read_namespaces(json_object *array, struct cluster_info *info)
{
	size_t count = array ? MIN(json_object_array_length(array), INFO_NAMESPACES) : 0;

	info->namespaces = xcalloc(count + 1, sizeof(char *));
	for (size_t i = 0; i < count; i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(array, i));

		if (name)
			info->namespaces[info->namespace_count++] = xstrdup(name);
	}
}

static json_object *parse_line(const char *line, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(INFO_DEPTH);
	json_object *object = tokener ? json_tokener_parse_ex(tokener, line, (int)len) : NULL;

	if (tokener)
		json_tokener_free(tokener);
	return object;
}

int cluster_info_parse(const char *line, size_t len, struct cluster_info *ret_info, struct err *err)
{
	struct cluster_info *info = XNEW(struct cluster_info);
	json_object *object = parse_line(line, len);
	const char *domain = json_get_string(object, "clusterDomain");
	const char *version = json_get_string(object, "managerVersion");
	const char *image = json_get_string(object, "agentImage");
	int r = 0;

	if (!domain || !*domain || strlen(domain) > 253)
		r = err_set(err, -EPROTO, ERR_INTERNAL,
			"the traffic-manager's description of the cluster names no domain");
	if (r == 0)
		r = read_prefixes(
			json_get(object, "serviceSubnets", json_type_array), &info->services, err);
	if (r == 0)
		r = read_prefixes(
			json_get(object, "podSubnets", json_type_array), &info->pods, err);
	if (r == 0) {
		info->domain = xstrdup(domain);
		info->manager_version = xstrdup(version ? version : "unknown");
		info->agent_image = image ? xstrdup(image) : NULL;
		read_namespaces(json_get(object, "namespaces", json_type_array), info);
		*ret_info = *info;
	}
	json_object_put(object);
	free(info);
	return r;
}

void cluster_info_copy(const struct cluster_info *info, struct cluster_info *ret_copy)
{
	struct cluster_info copy = *info;

	copy.domain = xstrdup(info->domain);
	copy.manager_version = xstrdup(info->manager_version);
	copy.agent_image = info->agent_image ? xstrdup(info->agent_image) : NULL;
	copy.namespaces = xcalloc(info->namespace_count + 1, sizeof(char *));
	for (size_t i = 0; i < info->namespace_count; i++)
		copy.namespaces[i] = xstrdup(info->namespaces[i]);
	*ret_copy = copy;
}

void cluster_info_done(struct cluster_info *info)
{
	for (size_t i = 0; i < info->namespace_count; i++)
		free(info->namespaces[i]);
	free(info->namespaces);
	free(info->domain);
	free(info->manager_version);
	free(info->agent_image);
	memset(info, 0, sizeof(*info));
}

/* Ends the watch with the error, once. The stream's on_close frees it. */
static void end_watch(struct info_watch *watch, const struct err *err)
{
	if (watch->stopped)
		return;
	watch->stopped = true;
	watch->events.on_end(watch->user, err);
}

static void take_lines(struct info_watch *watch)
{
	while (!watch->stopped) {
		const uint8_t *head = buf_head(&watch->line);
		const uint8_t *end =
			buf_len(&watch->line) ? memchr(head, '\n', buf_len(&watch->line)) : NULL;
		struct cluster_info info;
		struct err err = ERR_INIT;
		size_t len;

		if (!end)
			return;
		len = (size_t)(end - head);
		if (cluster_info_parse((const char *)head, len, &info, &err) < 0) {
			end_watch(watch, &err);
			return;
		}
		buf_consume(&watch->line, len + 1);
		watch->events.on_info(watch->user, &info);
		cluster_info_done(&info);
	}
}

static void on_head(void *user, const struct h2_head *head)
{
	struct info_watch *watch = user;
	struct err err = ERR_INIT;

	if (head->status == 200)
		return;
	err_set(&err, -EPROTO, ERR_UNSUPPORTED,
		"the traffic-manager answers status %d to /v1/cluster: is it of another version?",
		head->status);
	end_watch(watch, &err);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct info_watch *watch = user;
	struct err err = ERR_INIT;

	h2_stream_consumed(watch->stream, len);
	if (watch->stopped)
		return;
	if (buf_append(&watch->line, data, len) < 0) {
		err_set(&err, -EMSGSIZE, ERR_INTERNAL,
			"the traffic-manager's description of the cluster is over %d bytes",
			LIMIT_CONTROL_BODY_BYTES);
		end_watch(watch, &err);
		return;
	}
	take_lines(watch);
}

static void on_end(void *user UNUSED)
{
}

static void on_close(void *user, uint32_t code)
{
	struct info_watch *watch = user;
	struct err err = ERR_INIT;

	err_set(&err, -EPIPE, ERR_UNREACHABLE, "the cluster's description ended (code %u)", code);
	end_watch(watch, &err);
	buf_done(&watch->line);
	free(watch);
}

int info_watch_start(struct h2_session *h2, const struct info_events *events, void *user,
	struct info_watch **ret_watch, struct err *err)
{
	static const struct h2_stream_events stream_events = {
		.on_head = on_head, .on_data = on_data, .on_end = on_end, .on_close = on_close};
	const struct h2_head head = {
		.method = "GET", .path = "/v1/cluster", .authority = INFO_AUTHORITY};
	struct info_watch *watch = XNEW(struct info_watch);
	int r;

	watch->events = *events;
	watch->user = user;
	buf_init(&watch->line, LIMIT_CONTROL_BODY_BYTES);
	r = h2_request(h2, &head, &stream_events, watch, &watch->stream);
	if (r < 0) {
		free(watch);
		return err_set_errno(err, r, "GET /v1/cluster");
	}
	*ret_watch = watch;
	return 0;
}

void info_watch_stop(struct info_watch *watch)
{
	if (!watch || watch->stopped)
		return;
	watch->stopped = true;
	h2_stream_reset(watch->stream, INFO_CANCEL);
}

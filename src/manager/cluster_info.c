/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/cluster_info.h"

#include <string.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"

enum feed_id {
	FEED_SERVICE_CIDRS,
	FEED_NODES,
	FEED_NAMESPACES,
	FEED_API_ENDPOINTS,
	FEED_SERVICES, /* in place of FEED_SERVICE_CIDRS */
	FEED_PODS, /* in place of FEED_NODES */
	FEED_COUNT
};

static const struct {
	const char *path;
	cluster_state_fn apply;
} feed_kinds[] = {
	[FEED_SERVICE_CIDRS] = {"/apis/networking.k8s.io/v1/servicecidrs",
		cluster_state_service_cidr},
	[FEED_NODES] = {"/api/v1/nodes", cluster_state_node},
	[FEED_NAMESPACES] = {"/api/v1/namespaces", cluster_state_namespace},
	[FEED_API_ENDPOINTS] = {"/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
				"?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes",
		cluster_state_api_endpoints},
	[FEED_SERVICES] = {"/api/v1/services", cluster_state_service},
	[FEED_PODS] = {"/api/v1/pods", cluster_state_pod},
};
_Static_assert(ARRAY_SIZE(feed_kinds) == FEED_COUNT, "a row for every feed");

struct feed {
	enum feed_id id;
	struct cluster_info *info;
	struct kube_watch *watch; /* NULL: not needed */
	bool settled; /* listed, or not to be had */
	bool complained;
};

/* One description, shared by the streams that are still sending it. */
struct line {
	unsigned int refs;
	size_t len;
	char *text;
};

struct subscriber {
	struct cluster_info *info;
	struct h2_stream *stream;
	struct line *line; /* being sent, or the last one that was */
	size_t pos;
	struct subscriber *prev, *next;
};

struct cluster_info {
	uv_loop_t *loop;
	struct kube_client *client;
	struct cluster_state *state;
	struct feed feeds[FEED_COUNT];
	struct line *line; /* newest; NULL before cluster_info_ready() */
	struct subscriber *subscribers; /* owns */
	uv_timer_t coalesce;
};

static struct line *line_unref(struct line *line)
{
	if (line && --line->refs == 0) {
		free(line->text);
		free(line);
	}
	return NULL;
}

static struct line *line_ref(struct line *line)
{
	line->refs++;
	return line;
}

bool cluster_info_ready(const struct cluster_info *info)
{
	for (unsigned int i = 0; i < FEED_COUNT; i++) {
		if (info->feeds[i].watch && !info->feeds[i].settled)
			return false;
	}
	return true;
}

static void publish(struct cluster_info *info, char *text)
{
	struct subscriber *subscriber = NULL;

	(void)line_unref(info->line);
	info->line = XNEW(struct line);
	info->line->refs = 1;
	info->line->text = text;
	info->line->len = strlen(text);
	DL_FOREACH (info->subscribers, subscriber)
		h2_stream_resume(subscriber->stream);
}

static void start_feed(struct cluster_info *info, enum feed_id id);

static void on_coalesced(uv_timer_t *timer)
{
	struct cluster_info *info = timer->data;
	char *text;

	if (!cluster_info_ready(info))
		return;
	if (!cluster_state_services_known(info->state))
		start_feed(info, FEED_SERVICES);
	if (!cluster_state_pods_known(info->state))
		start_feed(info, FEED_PODS);
	if (!cluster_info_ready(info))
		return;
	text = cluster_state_format(info->state);
	if (info->line && strcmp(info->line->text, text) == 0)
		free(text);
	else
		publish(info, text);
}

static void changed(struct cluster_info *info, uint64_t delay_ms)
{
	if (!uv_is_active((uv_handle_t *)&info->coalesce))
		(void)uv_timer_start(&info->coalesce, on_coalesced, delay_ms, 0);
}

static void on_event(void *user, enum kube_event event, json_object *object)
{
	struct feed *feed = user;

	feed_kinds[feed->id].apply(feed->info->state, event, object);
	changed(feed->info, INFO_COALESCE_MS);
}

static void on_synced(void *user)
{
	struct feed *feed = user;

	feed->settled = true;
	changed(feed->info, 0);
}

/* An API that does not exist here, or that this service account may not read, is not waited for. It
 * is said once: the watch goes on asking. */
static void on_error(void *user, const struct err *err)
{
	struct feed *feed = user;
	bool refused = err->kind == ERR_NOT_FOUND || err->kind == ERR_PERMISSION;

	if (!refused || !feed->complained)
		log_warn("watch failed", "path=%s error=%s", feed_kinds[feed->id].path, err->msg);
	if (!refused)
		return;
	feed->complained = true;
	feed->settled = true;
	changed(feed->info, 0);
}

static const struct kube_watch_events watch_events = {
	.on_event = on_event,
	.on_synced = on_synced,
	.on_error = on_error,
};

static void start_feed(struct cluster_info *info, enum feed_id id)
{
	struct feed *feed = &info->feeds[id];

	if (feed->watch)
		return;
	feed->id = id;
	feed->info = info;
	feed->watch = kube_watch_start(info->client, feed_kinds[id].path, &watch_events, feed);
}

struct cluster_info *cluster_info_new(
	uv_loop_t *loop, struct kube_client *client, const struct cluster_state_config *config)
{
	struct cluster_info *info = XNEW(struct cluster_info);

	info->loop = loop;
	info->client = client;
	info->state = cluster_state_new(config);
	(void)uv_timer_init(loop, &info->coalesce);
	info->coalesce.data = info;
	start_feed(info, FEED_SERVICE_CIDRS);
	start_feed(info, FEED_NODES);
	start_feed(info, FEED_NAMESPACES);
	start_feed(info, FEED_API_ENDPOINTS);
	return info;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void cluster_info_free(struct cluster_info *info)
{
	if (!info)
		return;
	for (unsigned int i = 0; i < FEED_COUNT; i++)
		kube_watch_stop(info->feeds[i].watch);
	cluster_state_free(info->state);
	(void)line_unref(info->line);
	uv_close((uv_handle_t *)&info->coalesce, on_closed);
}

void cluster_info_set_agent_image(struct cluster_info *info, const char *image)
{
	cluster_state_set_agent_image(info->state, image);
	changed(info, INFO_COALESCE_MS);
}

static void subscriber_on_data(void *user, const uint8_t *data UNUSED, size_t len)
{
	struct subscriber *subscriber = user;

	h2_stream_consumed(subscriber->stream, len);
}

static void subscriber_on_end(void *user UNUSED)
{
}

static ssize_t subscriber_on_read(void *user, uint8_t *out, size_t len)
{
	struct subscriber *subscriber = user;
	struct line *newest = subscriber->info->line;
	size_t count;

	if (!subscriber->line || subscriber->pos == subscriber->line->len) {
		if (!newest || newest == subscriber->line)
			return H2_READ_AGAIN;
		(void)line_unref(subscriber->line);
		subscriber->line = line_ref(newest);
		subscriber->pos = 0;
	}
	count = MIN(len, subscriber->line->len - subscriber->pos);
	memcpy(out, subscriber->line->text + subscriber->pos, count);
	subscriber->pos += count;
	return (ssize_t)count;
}

static void subscriber_on_close(void *user, uint32_t code UNUSED)
{
	struct subscriber *subscriber = user;

	DL_DELETE(subscriber->info->subscribers, subscriber);
	(void)line_unref(subscriber->line);
	free(subscriber);
}

static const struct h2_stream_events subscriber_events = {
	.on_data = subscriber_on_data,
	.on_end = subscriber_on_end,
	.on_read = subscriber_on_read,
	.on_close = subscriber_on_close,
};

void cluster_info_stream(struct cluster_info *info, struct h2_stream *stream)
{
	static const struct h2_header headers[] = {
		{.name = "content-type", .value = "application/x-ndjson"},
	};
	struct subscriber *subscriber = XNEW(struct subscriber);

	subscriber->info = info;
	subscriber->stream = stream;
	DL_APPEND(info->subscribers, subscriber);
	h2_stream_set_events(stream, &subscriber_events, subscriber);
	h2_respond(stream, 200, headers, ARRAY_SIZE(headers), true);
}

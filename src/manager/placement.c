/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/placement.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "core/utc.h"
#include "manager/pods.h"
#include "net/addr.h"

#define RETRY_MS 1000
/* Pulling the image and starting take a new pod less. */
#define YOUNG_S     60
#define ADDRESS_MAX 64

enum fact { FACT_POD, FACT_SERVICE, FACT_COUNT };

struct placement {
	struct placer *placer;
	json_object *pod;
	char *container, *name;
	struct kube_request *request; /* NULL: waits for the placer */
	void (*on_token)(void *user, uint8_t token[static AGENT_TOKEN_BYTES]);
	void (*on_done)(void *user, int r, const struct err *err);
	void *user;
	struct placement *prev, *next;
};

struct placer {
	struct kube_client *client;
	char *namespace, *pod, *pin;
	uint16_t port;
	char *image, *pull_policy; /* NULL: not known yet */
	char manager[ADDRESS_MAX]; /* "" likewise */
	char manager_pod[ADDRESS_MAX]; /* "": not known */
	struct kube_request *facts[FACT_COUNT];
	bool came_back;
	void (*on_image)(void *user, const char *image);
	void *user;
	uv_timer_t timer; /* asks again; starts what waits */
	struct placement *placements; /* own */
};

static bool complete(const struct placer *placer)
{
	return placer->image && placer->manager[0];
}

const char *placer_image(const struct placer *placer)
{
	return placer->image ? placer->image : "";
}

bool placer_came_back(const struct placer *placer)
{
	return placer->came_back;
}

/* A pod that just came has its kubelet's first report or none. */
static bool is_old(json_object *pod)
{
	time_t created = 0;

	return json_int(json_item(pod, "status.containerStatuses", 0), "restartCount", 0) > 0 ||
	       (utc_parse(json_text_or(pod, "metadata.creationTimestamp", ""), &created) == 0 &&
		       time(NULL) - created > YOUNG_S);
}

static void placement_free(struct placement *placement)
{
	DL_DELETE(placement->placer->placements, placement);
	json_object_put(placement->pod);
	free(placement->container);
	free(placement->name);
	free(placement);
}

void placement_cancel(struct placement *placement)
{
	if (!placement)
		return;
	kube_request_cancel(placement->request);
	placement_free(placement);
}

static void on_placed(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct placement *placement = user;
	void (*on_done)(void *, int, const struct err *) = placement->on_done;
	void *owner = placement->user;
	struct err why = ERR_INIT;

	if (r < 0)
		r = placement_refusal(placement->pod, status, body, err, &why);
	if (r == 0 || r == -EEXIST)
		log_info("agent placed", "pod=%s/%s agent=%s",
			json_text_or(placement->pod, "metadata.namespace", ""),
			pod_name(placement->pod), placement->name);
	placement_free(placement);
	on_done(owner, r, &why);
}

static void send_patch(struct placement *placement)
{
	struct placer *placer = placement->placer;
	struct placement_spec spec = {
		.image = placer->image,
		.pull_policy = placer->pull_policy,
		.manager = placer->manager,
		.manager_pod = placer->manager_pod,
		.pin = placer->pin,
		.name = placement->name,
		.container = placement->container,
	};
	auto_free char *pod = kube_path("v1", "pods",
		json_text_or(placement->pod, "metadata.namespace", ""), pod_name(placement->pod));
	auto_free char *path = xasprintf("%s/ephemeralcontainers", pod);
	char *body = NULL;
	struct kube_request_config config = {.method = "PATCH",
		.path = path,
		.content_type = "application/strategic-merge-patch+json"};

	placement->on_token(placement->user, spec.token);
	body = placement_patch(placement->pod, &spec);
	explicit_bzero(spec.token, sizeof(spec.token));
	config.body = body;
	kube_request(placer->client, &config, on_placed, placement, &placement->request);
	explicit_bzero(body, strlen(body));
	free(body);
}

static void ask(struct placer *placer);

static void on_timer(uv_timer_t *timer)
{
	struct placer *placer = timer->data;
	struct placement *placement = NULL, *next = NULL;

	if (!complete(placer)) {
		ask(placer);
		return;
	}
	DL_FOREACH_SAFE (placer->placements, placement, next) {
		if (!placement->request)
			send_patch(placement);
	}
}

static void again(struct placer *placer)
{
	(void)uv_timer_start(&placer->timer, on_timer, complete(placer) ? 0 : RETRY_MS, 0);
}

static void on_pod(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct placer *placer = user;
	json_object *own = json_item(body, "spec.containers", 0);

	placer->facts[FACT_POD] = NULL;
	if (r == 0 && json_text(own, "image")) {
		placer->image = xstrdup(json_text(own, "image"));
		placer->pull_policy = xstrdup(json_text_or(own, "imagePullPolicy", ""));
		placer->came_back = is_old(body);
		if (placer->on_image)
			placer->on_image(placer->user, placer->image);
	} else {
		log_warn("own pod not read", "pod=%s error=%s", placer->pod, err->msg);
	}
	again(placer);
}

static void on_service(
	void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct placer *placer = user;
	struct ip_endpoint endpoint = {.port = placer->port};
	char text[ADDR_TEXT_BYTES];

	placer->facts[FACT_SERVICE] = NULL;
	if (r == 0 && ip_addr_parse(json_text_or(body, "spec.clusterIP", ""), &endpoint.addr) == 0)
		(void)snprintf(placer->manager, sizeof(placer->manager), "%s",
			ip_endpoint_format(&endpoint, text));
	else
		log_warn("own service not read", "error=%s", err->msg);
	again(placer);
}

static void ask(struct placer *placer)
{
	auto_free char *pod = kube_path("v1", "pods", placer->namespace, placer->pod);
	auto_free char *service = kube_path("v1", "services", placer->namespace, "traffic-manager");
	const struct kube_request_config get_pod = {.method = "GET", .path = pod};
	const struct kube_request_config get_service = {.method = "GET", .path = service};

	if (!placer->image && !placer->facts[FACT_POD])
		kube_request(placer->client, &get_pod, on_pod, placer, &placer->facts[FACT_POD]);
	if (!placer->manager[0] && !placer->facts[FACT_SERVICE])
		kube_request(placer->client, &get_service, on_service, placer,
			&placer->facts[FACT_SERVICE]);
}

struct placer *placer_new(
	uv_loop_t *loop, struct kube_client *client, const struct placer_config *config)
{
	struct placer *placer = XNEW(struct placer);
	const struct ip_endpoint own = {.addr = config->own, .port = config->agent_port};
	char text[ADDR_TEXT_BYTES];

	placer->client = client;
	placer->namespace = xstrdup(config->namespace);
	placer->pod = xstrdup(config->pod);
	placer->pin = xstrdup(config->pin);
	placer->port = config->agent_port;
	placer->on_image = config->on_image;
	placer->user = config->user;
	if (own.addr.family)
		(void)snprintf(placer->manager_pod, sizeof(placer->manager_pod), "%s",
			ip_endpoint_format(&own, text));
	(void)uv_timer_init(loop, &placer->timer);
	placer->timer.data = placer;
	(void)uv_timer_start(&placer->timer, on_timer, 0, 0);
	return placer;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void placer_free(struct placer *placer)
{
	if (!placer)
		return;
	/* Each takes itself off the list, which the analyzer does not see. */
	while (placer->placements)
		placement_cancel(placer->placements); /* NOLINT(clang-analyzer-unix.Malloc) */
	for (size_t i = 0; i < FACT_COUNT; i++)
		kube_request_cancel(placer->facts[i]);
	free(placer->namespace);
	free(placer->pod);
	free(placer->pin);
	free(placer->image);
	free(placer->pull_policy);
	uv_close((uv_handle_t *)&placer->timer, on_closed);
}

struct placement *placement_start(struct placer *placer, json_object *pod, const char *container,
	const char *name, void (*on_token)(void *user, uint8_t token[static AGENT_TOKEN_BYTES]),
	void (*on_done)(void *user, int r, const struct err *err), void *user)
{
	struct placement *placement = XNEW(struct placement);

	placement->placer = placer;
	placement->pod = json_object_get(pod);
	placement->container = xstrdup(container);
	placement->name = xstrdup(name);
	placement->on_token = on_token;
	placement->on_done = on_done;
	placement->user = user;
	DL_APPEND(placer->placements, placement);
	if (complete(placer))
		send_patch(placement);
	return placement;
}

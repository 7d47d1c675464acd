/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/lease.h"

#include <errno.h>
#include <string.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"

struct lease {
	uv_loop_t *loop;
	struct kube_client *client;
	char *path, *identity;
	struct kube_request *request; /* one at a time */
	uv_timer_t timer; /* the next look or renewal; while a request is in flight, its deadline */
	json_object *held; /* as last written by us; NULL: read it first */
	struct lease_view view;
	uint64_t renewed_ms; /* when the last claim that was granted was sent */
	uint64_t claimed_ms; /* when the one in flight was sent */
	bool leader, releasing, complained;
	bool unanswered; /* the last request */
	void (*on_change)(void *user, bool is_leader);
	void (*on_released)(void *user);
	void *user, *release_user;
};

static void on_timer(uv_timer_t *timer);
static void on_overdue(uv_timer_t *timer);

static void set_leader(struct lease *lease, bool leader)
{
	if (lease->leader == leader || lease->releasing)
		return;
	lease->leader = leader;
	log_info(leader ? "leading" : "not leading", "identity=%s", lease->identity);
	lease->on_change(lease->user, leader);
}

static void later(struct lease *lease, uint64_t delay_ms)
{
	(void)uv_timer_start(&lease->timer, on_timer, delay_ms, 0);
}

/* Another one may have taken it meanwhile. */
static bool has_run_out(const struct lease *lease)
{
	return uv_now(lease->loop) - lease->renewed_ms >= LEASE_MS;
}

static void failed(struct lease *lease, const struct err *err)
{
	uv_update_time(lease->loop);
	json_object_put(TAKE_PTR(lease->held));
	/* Somebody wrote it: the next look tells who. */
	if (err->code == -EAGAIN) {
		later(lease, 0);
		return;
	}
	if (!lease->complained)
		log_warn("lease not renewed", "error=%s", err->msg);
	lease->complained = lease->unanswered = true;
	if (has_run_out(lease))
		set_leader(lease, false);
	later(lease, LEASE_POLL_MS);
}

/* A request without an answer does not make the Lease last longer. What has just failed is tried on
 * a connection of its own: the one before may be dead without a word. */
static void request(
	struct lease *lease, const struct kube_request_config *config, kube_done_fn on_done)
{
	struct kube_request_config fresh = *config;
	uint64_t age_ms = uv_now(lease->loop) - lease->renewed_ms;

	fresh.fresh = lease->unanswered;
	kube_request(lease->client, &fresh, on_done, lease, &lease->request);
	if (!lease->releasing)
		(void)uv_timer_start(&lease->timer, on_overdue,
			lease->leader && age_ms < LEASE_MS ? LEASE_MS - age_ms : LEASE_MS, 0);
}

static void on_overdue(uv_timer_t *timer)
{
	struct lease *lease = timer->data;
	struct err err = ERR_INIT;

	kube_request_cancel(TAKE_PTR(lease->request));
	(void)err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE, "the API server does not answer");
	failed(lease, &err);
}

static void on_claimed(
	void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct lease *lease = user;

	lease->request = NULL;
	if (r < 0) {
		failed(lease, err);
		return;
	}
	lease->complained = lease->unanswered = false;
	json_object_put(lease->held);
	lease->held = json_object_get(body);
	lease->renewed_ms = lease->claimed_ms;
	later(lease, LEASE_RENEW_MS);
	set_leader(lease, true);
}

static void put(
	struct lease *lease, json_object *object, const char *identity, kube_done_fn on_done)
{
	auto_free char *body = NULL;
	struct kube_request_config config = {.method = "PUT", .path = lease->path};
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	body = lease_claim(object, identity, &now);
	config.body = body;
	lease->claimed_ms = uv_now(lease->loop);
	request(lease, &config, on_done);
}

static void on_read(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct lease *lease = user;

	lease->request = NULL;
	if (r < 0) {
		failed(lease, err);
		return;
	}
	lease->unanswered = false;
	if (lease_available(&lease->view, body, lease->identity, uv_now(lease->loop))) {
		put(lease, body, lease->identity, on_claimed);
	} else {
		set_leader(lease, false);
		later(lease, LEASE_POLL_MS);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct lease *lease = timer->data;
	struct kube_request_config config = {.method = "GET", .path = lease->path};

	/* This process was stopped. */
	if (has_run_out(lease))
		set_leader(lease, false);
	if (lease->held)
		put(lease, lease->held, lease->identity, on_claimed);
	else
		request(lease, &config, on_read);
}

struct lease *lease_new(uv_loop_t *loop, struct kube_client *client, const char *namespace,
	const char *identity, void (*on_change)(void *user, bool is_leader), void *user)
{
	struct lease *lease = XNEW(struct lease);

	lease->loop = loop;
	lease->client = client;
	lease->path = kube_path("coordination.k8s.io/v1", "leases", namespace, "traffic-manager");
	lease->identity = xstrdup(identity);
	lease->on_change = on_change;
	lease->user = user;
	(void)uv_timer_init(loop, &lease->timer);
	lease->timer.data = lease;
	later(lease, 0);
	return lease;
}

bool lease_is_leader(const struct lease *lease)
{
	return lease->leader;
}

static void on_reread(
	void *user, int r, int status UNUSED, json_object *body, const struct err *err UNUSED);

static void on_released(void *user, int r, int status UNUSED, json_object *body UNUSED,
	const struct err *err UNUSED)
{
	struct lease *lease = user;
	struct kube_request_config config = {.method = "GET", .path = lease->path};

	lease->request = NULL;
	if (r == -EAGAIN && lease->held) {
		json_object_put(TAKE_PTR(lease->held));
		request(lease, &config, on_reread);
		return;
	}
	lease->on_released(lease->release_user);
}

/* Somebody wrote it meanwhile; if it is still ours it is given up all the same. */
static void on_reread(
	void *user, int r, int status UNUSED, json_object *body, const struct err *err UNUSED)
{
	struct lease *lease = user;

	lease->request = NULL;
	if (r == 0 && strcmp(json_text_or(body, "spec.holderIdentity", ""), lease->identity) == 0)
		put(lease, body, "", on_released);
	else
		lease->on_released(lease->release_user);
}

static void on_nothing_held(uv_timer_t *timer)
{
	struct lease *lease = timer->data;

	lease->on_released(lease->release_user);
}

/* A claim in flight that is granted after all runs out by itself. */
void lease_release(struct lease *lease, void (*on_done)(void *user), void *user)
{
	lease->releasing = true;
	lease->on_released = on_done;
	lease->release_user = user;
	kube_request_cancel(TAKE_PTR(lease->request));
	(void)uv_timer_stop(&lease->timer);
	if (lease->leader && lease->held)
		put(lease, lease->held, "", on_released);
	else
		(void)uv_timer_start(&lease->timer, on_nothing_held, 0, 0);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void lease_free(struct lease *lease)
{
	if (!lease)
		return;
	kube_request_cancel(lease->request);
	json_object_put(lease->held);
	free(lease->path);
	free(lease->identity);
	uv_close((uv_handle_t *)&lease->timer, on_closed);
}

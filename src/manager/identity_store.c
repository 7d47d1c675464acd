/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/identity_store.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <string.h>

#include "cluster/client.h"
#include "cluster/json.h"
#include "cluster/secret.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "tunnel/identity.h"

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 10000
/* Nobody is there to be asked too often: intercepts are back as soon as the API server is. */
#define RETRY_ABSENT_MS 1000

struct identity_store {
	struct kube_client *client;
	struct kube_request *request; /* in flight, or NULL */
	uv_timer_t timer; /* of the next try, or of on_done */
	char *path;
	struct identity *identity; /* ours until on_done */
	uint64_t retry_ms;
	void (*on_done)(void *user, struct identity *identity);
	void *user;
};

static void load(struct identity_store *store);

static void on_due(uv_timer_t *timer)
{
	struct identity_store *store = timer->data;

	if (store->identity)
		store->on_done(store->user, TAKE_PTR(store->identity));
	else
		load(store);
}

static void finish(struct identity_store *store, struct identity *identity)
{
	char pin[IDENTITY_PIN_TEXT];

	identity_pin_text(identity, pin);
	log_info("identity ready", "pin=%s", pin);
	store->identity = identity;
	(void)uv_timer_start(&store->timer, on_due, 0, 0);
}

/* Doubles up to the maximum; a random half keeps two replicas apart. */
static void retry(struct identity_store *store, const char *what, const struct err *err)
{
	uint16_t random = 0;

	(void)RAND_bytes((unsigned char *)&random, sizeof(random));
	log_warn("identity not ready", "step=%s error=%s", what, err->msg);
	(void)uv_timer_start(
		&store->timer, on_due, store->retry_ms / 2 + random % store->retry_ms, 0);
	store->retry_ms = MIN(
		store->retry_ms * 2, err->kind == ERR_UNREACHABLE ? RETRY_ABSENT_MS : RETRY_MAX_MS);
}

static void on_written(
	void *user, int r, int status UNUSED, json_object *body UNUSED, const struct err *err)
{
	struct identity_store *store = user;
	struct identity *identity = TAKE_PTR(store->identity);

	store->request = NULL;
	if (r >= 0) {
		finish(store, identity);
		return;
	}
	identity_free(identity);
	if (r == -EAGAIN) /* another replica was first: its key is the one */
		load(store);
	else
		retry(store, "write", err);
}

/* resourceVersion makes the API server refuse the patch when somebody wrote since. */
static char *format_patch(const struct identity *identity, const char *version)
{
	char *pem = identity_pem(identity);
	char *encoded = base64_encode(pem, strlen(pem));
	char *patch = xasprintf(
		"{\"metadata\":{\"resourceVersion\":\"%s\"},\"data\":{\"" IDENTITY_SECRET_KEY
		"\":\"%s\"}}",
		version, encoded);

	secret_free(pem);
	secret_free(encoded);
	return patch;
}

static void make(struct identity_store *store, const char *version)
{
	struct kube_request_config config = {.method = "PATCH",
		.path = store->path,
		.content_type = "application/merge-patch+json"};
	struct err err = ERR_INIT;
	char *patch;

	if (identity_new(&store->identity, &err) < 0) {
		retry(store, "make", &err);
		return;
	}
	patch = format_patch(store->identity, version);
	config.body = patch;
	kube_request(store->client, &config, on_written, store, &store->request);
	secret_free(patch);
}

static int parse_key(const char *encoded, struct identity **ret_identity, struct err *err)
{
	char *pem = NULL;
	int r = base64_decode(encoded, &pem);

	if (r < 0)
		return err_set(err, r, ERR_CONFIG, "not base64");
	r = identity_load(pem, strlen(pem), ret_identity, err);
	secret_free(pem);
	return r;
}

/* "[0-9]+" in practice; it goes into JSON as it is. */
static bool version_valid(const char *version)
{
	return version && version[0] && !strpbrk(version, "\"\\") && strlen(version) < 64;
}

static void on_read(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct identity_store *store = user;
	struct identity *identity = NULL;
	struct err own = ERR_INIT;
	const char *encoded = json_text(body, "data." IDENTITY_SECRET_KEY);
	const char *version = json_text(body, "metadata.resourceVersion");

	store->request = NULL;
	if (r < 0) {
		retry(store, "read", err);
	} else if (encoded && encoded[0]) {
		if (parse_key(encoded, &identity, &own) < 0)
			retry(store, "parse", &own);
		else
			finish(store, identity);
	} else if (version_valid(version)) {
		make(store, version);
	} else {
		(void)err_set(&own, -EPROTO, ERR_INTERNAL, "no resourceVersion");
		retry(store, "read", &own);
	}
}

static void load(struct identity_store *store)
{
	const struct kube_request_config config = {.method = "GET", .path = store->path};

	kube_request(store->client, &config, on_read, store, &store->request);
}

struct identity_store *identity_store_load(uv_loop_t *loop, struct kube_client *client,
	const char *namespace, void (*on_done)(void *user, struct identity *identity), void *user)
{
	struct identity_store *store = XNEW(struct identity_store);

	store->client = client;
	store->path = kube_path("v1", "secrets", namespace, IDENTITY_SECRET);
	store->retry_ms = RETRY_MIN_MS;
	store->on_done = on_done;
	store->user = user;
	(void)uv_timer_init(loop, &store->timer);
	store->timer.data = store;
	load(store);
	return store;
}

static void on_closed(uv_handle_t *handle)
{
	struct identity_store *store = handle->data;

	free(store->path);
	free(store);
}

void identity_store_free(struct identity_store *store)
{
	if (!store)
		return;
	if (store->request)
		kube_request_cancel(TAKE_PTR(store->request));
	identity_free(TAKE_PTR(store->identity));
	uv_close((uv_handle_t *)&store->timer, on_closed);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request waits for a credential, runs in libcurl, and ends on client->finished when it never
 * got that far. User callbacks run from on_turn() and on_transfer_done() only, where no libcurl
 * function is on the stack; each may cancel any request and free the client.
 */
#include "cluster/client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cluster/driver.h"
#include "cluster/json.h"
#include "cluster/kubeentry.h"
#include "cluster/request.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"

struct kube_client {
	struct driver *driver;
	struct kube_config config; /* members are copies */
	struct kube_auth *auth;
	struct kube_request **requests; /* owns each */
	size_t count, capacity;
	unsigned int returns;
	bool silent; /* the last that was heard is that somebody got no answer */
};

struct kube_request {
	struct kube_client *client;
	struct kube_auth_wait *wait;
	struct transport transport;
	struct buf body;
	char *method, *path, *content_type, *payload;
	kube_chunk_fn on_chunk;
	kube_done_fn on_done;
	void *user;
	struct err failure; /* of the credential: reported on the next turn */
	bool started; /* the transfer is in the multi */
	bool failed, retried, overflow, fresh_bytes, fresh_connection;
};

static void list_add(struct kube_client *client, struct kube_request *request)
{
	if (client->count == client->capacity) {
		client->capacity = MAX(client->capacity * 2, (size_t)8);
		client->requests =
			xrealloc(client->requests, client->capacity * sizeof(*client->requests));
	}
	client->requests[client->count++] = request;
}

static void list_remove(struct kube_client *client, const struct kube_request *request)
{
	size_t i = 0;

	while (i < client->count && client->requests[i] != request)
		i++;
	assert(i < client->count);
	client->requests[i] = client->requests[--client->count];
}

static void request_free(struct kube_request *request)
{
	struct kube_client *client = request->client;

	list_remove(client, request);
	kube_auth_cancel(client->auth, request->wait);
	if (request->started) {
		driver_remove(client->driver, request->transport.easy);
		transport_done(&request->transport);
	}
	buf_done(&request->body);
	free(request->method);
	free(request->path);
	free(request->content_type);
	free(request->payload);
	free(request);
}

/* Ends the request: the callback is the last thing that happens with it. */
static void complete(struct kube_request *request, int r, int status, const struct err *err)
{
	kube_done_fn on_done = request->on_done;
	void *user = request->user;
	const char *text = (const char *)buf_head(&request->body);
	json_object *body = json_parse(text, buf_len(&request->body));

	request_free(request);
	on_done(user, r, status, body, err);
	json_object_put(body);
}

static size_t on_write(char *data, size_t size, size_t count, void *user)
{
	struct kube_request *request = user;

	if (buf_append(&request->body, data, size * count) < 0) {
		request->overflow = true;
		return 0;
	}
	request->fresh_bytes = true;
	return size * count;
}

static int http_status(const struct kube_request *request)
{
	long status = 0;

	(void)curl_easy_getinfo(request->transport.easy, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

static void setup_method(struct kube_request *request)
{
	CURL *easy = request->transport.easy;
	auto_free char *type = NULL;

	transport_add_header(&request->transport, "Accept: application/json");
	if (strcmp(request->method, "GET") == 0)
		return;
	(void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	if (!request->payload)
		return;
	(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->payload);
	(void)curl_easy_setopt(
		easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(request->payload));
	type = xasprintf("Content-Type: %s", request->content_type);
	transport_add_header(&request->transport, type);
	/* No waiting for 100 Continue: bodies are small. */
	transport_add_header(&request->transport, "Expect:");
}

static void start_transfer(struct kube_request *request, const struct kube_credential *credential)
{
	struct kube_client *client = request->client;
	CURL *easy = NULL;

	transport_init(&request->transport, &client->config, credential, request->path);
	easy = request->transport.easy;
	setup_method(request);
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->transport.headers);
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	(void)curl_easy_setopt(easy, CURLOPT_PIPEWAIT, request->fresh_connection ? 0L : 1L);
	(void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->fresh_connection ? 1L : 0L);
	(void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, request->fresh_connection ? 1L : 0L);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
	if (!request->on_chunk)
		(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)LIMIT_KUBE_REQUEST_MS);
	request->started = true;
	driver_add(client->driver, easy);
}

static void on_credential(
	void *user, int r, const struct kube_credential *credential, const struct err *err)
{
	struct kube_request *request = user;

	request->wait = NULL;
	if (r == 0) {
		start_transfer(request, credential);
		return;
	}
	request->failed = true;
	request->failure = *err;
	driver_kick(request->client->driver);
}

static void begin(struct kube_request *request)
{
	struct kube_auth_wait *wait = NULL;

	kube_auth_get(request->client->auth, on_credential, request, &wait);
	if (wait)
		request->wait = wait;
}

/* A plugin's or a file's credential was refused: once more with a new one. */
static bool retry_refused(struct kube_request *request)
{
	if (request->retried || !kube_auth_refused(request->client->auth))
		return false;
	request->retried = true;
	driver_remove(request->client->driver, request->transport.easy);
	transport_done(&request->transport);
	request->started = false;
	buf_consume(&request->body, buf_len(&request->body));
	begin(request);
	return true;
}

/* Whom it does not know an API server answers and hangs up at once (GOAWAY, Kubernetes 1.28 and
 * later): of that answer the head may be all that comes, and says it all. */
static bool is_answered(const struct kube_config *config, CURLcode code, int status)
{
	return code == CURLE_OK || status == 401 ||
	       (status == 403 && transport_is_anonymous(config));
}

static int judge(struct kube_request *request, CURLcode code, int status, struct err *err)
{
	const struct kube_config *config = &request->client->config;
	json_object *body = NULL;
	auto_free char *what = NULL;
	int r = 0;

	if (request->overflow)
		return err_set(err, -EFBIG, ERR_INTERNAL, "%s answers %s %s with over %d bytes",
			config->server, request->method, request->path, LIMIT_KUBE_BODY_BYTES);
	if (!is_answered(config, code, status))
		return transport_error(&request->transport, code, config, err);
	if (status >= 200 && status < 300)
		return 0;
	body = json_parse((const char *)buf_head(&request->body), buf_len(&request->body));
	what = xasprintf(
		"%s %.*s", request->method, (int)strcspn(request->path, "?"), request->path);
	r = transport_status_error(config, status, body, what, err);
	json_object_put(body);
	return r;
}

static void deliver_chunk(struct kube_request *request)
{
	int status = http_status(request);

	request->fresh_bytes = false;
	kube_client_heard(request->client);
	if (request->on_chunk && status >= 200 && status < 300)
		request->on_chunk(request->user, &request->body);
}

/* One request that is due; a callback may change the whole list, so the search starts anew. */
static struct kube_request *next_due(struct kube_client *client)
{
	for (size_t i = 0; i < client->count; i++) {
		struct kube_request *request = client->requests[i];

		/* The analyzer does not see that list_remove() took out what was freed.
		 * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		if (request->failed || (request->fresh_bytes && request->on_chunk))
			return request;
	}
	return NULL;
}

/* The driver outlives its client by the turn it is in: it says whether the client is gone. */
static void on_turn(void *user)
{
	struct kube_client *client = user;
	struct driver *driver = client->driver;
	struct kube_request *request = NULL;

	while (!driver_freed(driver) && (request = next_due(client))) {
		if (request->failed) {
			struct err failure = request->failure;

			complete(request, failure.code, 0, &failure);
		} else {
			deliver_chunk(request);
		}
	}
}

static void on_transfer_done(void *user, CURL *easy, CURLcode code)
{
	struct kube_request *request = NULL;
	char *private = NULL;
	struct err err = ERR_INIT;
	int status = 0, r = 0;

	(void)user;
	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
	request = (struct kube_request *)(void *)private;
	assert(request);
	status = http_status(request);
	if (is_answered(&request->client->config, code, status))
		kube_client_heard(request->client);
	else
		request->client->silent = true;
	if (status == 401 && retry_refused(request))
		return;
	r = judge(request, code, status, &err);
	complete(request, r, status, &err);
}

int kube_client_new(uv_loop_t *loop, const struct kube_config *config,
	struct kube_client **ret_client, struct err *err)
{
	static const struct driver_events events = {
		.on_done = on_transfer_done, .on_turn = on_turn};
	struct kube_client *client = NULL;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, -ENOMEM, ERR_INTERNAL, "cannot initialise libcurl");
	client = XNEW(struct kube_client);
	kube_config_copy(&client->config, config);
	client->auth = kube_auth_new(loop, &client->config);
	client->driver = driver_new(loop, &events, client);
	*ret_client = client;
	return 0;
}

void kube_client_free(struct kube_client *client)
{
	if (!client)
		return;
	while (client->count > 0)
		request_free(client->requests[client->count - 1]);
	free(client->requests);
	kube_auth_free(client->auth);
	driver_free(client->driver);
	kube_config_done(&client->config);
	free(client);
}

void kube_client_heard(struct kube_client *client)
{
	if (client->silent)
		client->returns++;
	client->silent = false;
}

unsigned int kube_client_returns(const struct kube_client *client)
{
	return client->returns;
}

uv_loop_t *kube_client_loop(const struct kube_client *client)
{
	return driver_loop(client->driver);
}

const struct kube_config *kube_client_config(const struct kube_client *client)
{
	return &client->config;
}

struct kube_auth *kube_client_auth(const struct kube_client *client)
{
	return client->auth;
}

static void start(struct kube_client *client, const struct kube_request_config *config,
	kube_chunk_fn on_chunk, kube_done_fn on_done, void *user, struct kube_request **ret_request)
{
	struct kube_request *request = XNEW(struct kube_request);

	request->client = client;
	request->method = xstrdup(config->method);
	request->path = xstrdup(config->path);
	request->content_type =
		xstrdup(config->content_type ? config->content_type : "application/json");
	request->payload = config->body ? xstrdup(config->body) : NULL;
	request->fresh_connection = config->fresh;
	request->on_chunk = on_chunk;
	request->on_done = on_done;
	request->user = user;
	buf_init(&request->body, LIMIT_KUBE_BODY_BYTES);
	list_add(client, request);
	if (ret_request)
		*ret_request = request;
	begin(request);
}

void kube_request(struct kube_client *client, const struct kube_request_config *config,
	kube_done_fn on_done, void *user, struct kube_request **ret_request)
{
	start(client, config, NULL, on_done, user, ret_request);
}

void kube_stream(struct kube_client *client, const char *path, kube_chunk_fn on_chunk,
	kube_done_fn on_done, void *user, struct kube_request **ret_request)
{
	const struct kube_request_config config = {.method = "GET", .path = path};

	start(client, &config, on_chunk, on_done, user, ret_request);
}

void kube_request_cancel(struct kube_request *request)
{
	if (request)
		request_free(request);
}

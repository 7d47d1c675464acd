/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "client/userd/proto.h"
#include "client/userd/session_priv.h"
#include "client/userd/session_stale.h"
#include "client/userd/session_steps.h"
#include "cluster/client.h"
#include "cluster/install.h"
#include "core/alloc.h"
#include "core/log.h"
#include "tunnel/key.h"

/* generateName adds five characters; a label has 63. */
#define HOST_LABEL_BYTES 48
/* An API server that is only starting says so, and asks to be asked again. */
#define HTTP_UNAVAILABLE 503
/* How long the manager keeps the Session of a laptop that sleeps. */
#define SESSION_TTL_S 900

static void post(struct session *session, const char *path, json_object *body, kube_done_fn on_done)
{
	const struct kube_request_config config = {.method = "POST",
		.path = path,
		.body = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN)};

	kube_request(session->client, &config, on_done, session, &session->request);
	json_object_put(body);
}

static void on_identity(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct session *session = user;
	json_object *info =
		json_get(json_get(body, "status", json_type_object), "userInfo", json_type_object);
	const char *name = json_get_string(info, "username");
	struct err none = ERR_INIT;

	session->request = NULL;
	if (r < 0 && status == HTTP_UNAVAILABLE) {
		session_retry(session, err, NULL);
		return;
	}
	if (r < 0) {
		session_fail(session, err, NULL);
		return;
	}
	if (!name) {
		err_set(&none, -EPROTO, ERR_UNSUPPORTED,
			"%s does not say who you are (SelfSubjectReview; Kubernetes 1.28 or later)",
			session->kube->server);
		session_fail(session, &none, NULL);
		return;
	}
	session->owner = xstrdup(name);
	session_enter(session, SESSION_REGISTER);
}

void session_identify(struct session *session)
{
	json_object *body = json_object_new_object();

	json_put_string(body, "apiVersion", "authentication.k8s.io/v1");
	json_put_string(body, "kind", "SelfSubjectReview");
	session_say(session, "Asking %s who you are", session->kube->server);
	post(session, "/apis/authentication.k8s.io/v1/selfsubjectreviews", body, on_identity);
}

void session_host(char out[static SESSION_HOST_BYTES])
{
	struct utsname uts = {.nodename = ""};

	(void)uname(&uts);
	(void)snprintf(out, SESSION_HOST_BYTES, "%s", uts.nodename);
}

/* The host's name as a part of an object's name (RFC 1123). */
static void host_label(const char *host, char out[static HOST_LABEL_BYTES])
{
	size_t len = 0;

	for (; *host && *host != '.' && len < HOST_LABEL_BYTES - 2; host++) {
		int c = tolower((unsigned char)*host);

		if (isalnum(c) || (c == '-' && len > 0))
			out[len++] = (char)c;
	}
	if (len == 0)
		out[len++] = 'x';
	out[len++] = '-';
	out[len] = '\0';
}

static json_object *session_object(struct session *session)
{
	json_object *object = json_object_new_object(), *meta = json_object_new_object();
	json_object *spec = json_object_new_object(), *client = json_object_new_object();
	uint8_t public_key[SESSION_KEY_BYTES];
	struct utsname uts = {.sysname = ""};
	char label[HOST_LABEL_BYTES], key[45], host[SESSION_HOST_BYTES], place[SESSION_PLACE_BYTES];

	(void)uname(&uts);
	session_host(host);
	host_label(host, label);
	session_key_public(session->key, public_key);
	session_key_encode(public_key, key);
	json_put_string(object, "apiVersion", SESSION_API);
	json_put_string(object, "kind", "Session");
	json_put_string(meta, "generateName", label);
	json_object_object_add(object, "metadata", meta);
	json_put_string(client, "host", host);
	if (session_place(place) == 0)
		json_put_string(client, "place", place);
	json_put_string(client, "version", TP_VERSION);
	json_put_string(client, "os", uts.sysname);
	json_put_string(spec, "owner", session->owner);
	json_put_string(spec, "publicKey", key);
	json_put_string(spec, "namespace", session->kube->namespace);
	json_object_object_add(spec, "ttlSeconds", json_object_new_int(SESSION_TTL_S));
	json_object_object_add(spec, "client", client);
	json_object_object_add(object, "spec", spec);
	return object;
}

static void take_session(struct session *session, json_object *body)
{
	json_object *meta = json_get(body, "metadata", json_type_object);
	const char *name = json_get_string(meta, "name"), *uid = json_get_string(meta, "uid");
	struct err err = ERR_INIT;

	if (!name || !uid) {
		err_set(&err, -EPROTO, ERR_INTERNAL, "the API server's Session has no name or uid");
		session_fail(session, &err, NULL);
		return;
	}
	session->name = xstrdup(name);
	session->uid = xstrdup(uid);
	if (!session->established)
		session_drop_stale(session);
	session_enter(session, SESSION_OPEN);
}

static void on_registered(void *user, int r, int status, json_object *body, const struct err *err)
{
	struct session *session = user;
	char hint[sizeof(session->hint)];

	session->request = NULL;
	if (r == 0) {
		take_session(session, body);
	} else if (r == -ENOENT && !session->installed && !session->established) {
		session_enter(session, SESSION_INSTALL);
	} else if (r == -EPERM) {
		session_fail(session, err, NULL);
	} else if (r == -EACCES) {
		(void)snprintf(hint, sizeof(hint),
			"An administrator can give you the role: kubectl -n %s create rolebinding "
			"NAME --clusterrole=telepresence-user --user=%s",
			session->manager_namespace, session->owner);
		session_fail(session, err, err->kind == ERR_PERMISSION ? hint : NULL);
	} else if (session->installed || session->established || status == HTTP_UNAVAILABLE) {
		/* A new CRD or policy takes a moment to be served; so does an API server. */
		session_retry(session, err, NULL);
	} else {
		session_fail(session, err, NULL);
	}
}

void session_register(struct session *session)
{
	auto_free char *path = kube_path(SESSION_API, "sessions", session->manager_namespace, NULL);

	session_say(session, "Creating a session in namespace %s", session->manager_namespace);
	post(session, path, session_object(session), on_registered);
}

static void on_install_progress(void *user, const char *line)
{
	session_say(user, "%s", line);
}

static void on_install_done(void *user, int r, const struct err *err)
{
	struct session *session = user;
	struct err copy = err ? *err : (struct err)ERR_INIT;
	char hint[sizeof(session->hint)];

	session->install = NULL;
	if (r == 0) {
		session->started_ms = uv_now(session->loop);
		session_enter(session, SESSION_REGISTER);
		return;
	}
	if (copy.kind == ERR_AUTH || (r != -EACCES && r != -EPERM)) {
		err_wrap(&copy, r, "installing the traffic-manager in namespace %s",
			session->manager_namespace);
		session_fail(session, &copy, NULL);
		return;
	}
	err_wrap(&copy, r,
		"the traffic-manager is not installed in namespace %s, and you may not install it",
		session->manager_namespace);
	(void)snprintf(hint, sizeof(hint),
		"Ask an administrator of the cluster to run: telepresence connect "
		"--manager-namespace %s",
		session->manager_namespace);
	session_fail(session, &copy, hint);
}

void session_install(struct session *session)
{
	static const struct kube_install_events events = {
		.on_progress = on_install_progress, .on_done = on_install_done};
	const struct kube_install_config config = {
		.manager_namespace = session->manager_namespace, .image = session->args.image};

	session_say(session, "Installing the traffic-manager in namespace %s",
		session->manager_namespace);
	session->installed = true;
	/* A Session from before, if any, goes with what is missing now. */
	free(TAKE_PTR(session->name));
	free(TAKE_PTR(session->uid));
	session->install = kube_install_start(session->client, &config, &events, session);
}

/* Is the Deployment there at all? Without the right to ask, its failure is all there is to say. */
static void on_deployment(void *user, int r, int status UNUSED, json_object *body UNUSED,
	const struct err *err UNUSED)
{
	struct session *session = user;
	struct err why = session->err;
	char hint[sizeof(session->hint)];

	session->request = NULL;
	if (r == -ENOENT && !session->installed && !session->established) {
		session_enter(session, SESSION_INSTALL);
		return;
	}
	(void)snprintf(hint, sizeof(hint),
		"See why with: kubectl -n %s get pods; kubectl -n %s logs "
		"deployment/traffic-manager",
		session->manager_namespace, session->manager_namespace);
	session_retry(session, &why, hint);
}

/* Is our Session there still? Only a Session that is gone for sure is replaced. */
static void on_session(void *user, int r, int status UNUSED, json_object *body UNUSED,
	const struct err *err UNUSED)
{
	struct session *session = user;
	struct err why = session->err;

	session->request = NULL;
	if (r == -ENOENT) {
		log_info("session object is gone", "name=%s", session->name);
		free(TAKE_PTR(session->name));
		free(TAKE_PTR(session->uid));
	}
	session_retry(session, &why, NULL);
}

void session_check(struct session *session)
{
	bool refused = session->refused && session->uid;
	auto_free char *deployment =
		kube_path("apps/v1", "deployments", session->manager_namespace, "traffic-manager");
	auto_free char *object =
		kube_path(SESSION_API, "sessions", session->manager_namespace, session->name);
	const struct kube_request_config config = {
		.method = "GET", .path = refused ? object : deployment};

	kube_request(session->client, &config, config.path == object ? on_session : on_deployment,
		session, &session->request);
}

static void on_unregistered(
	void *user, int r, int status UNUSED, json_object *body UNUSED, const struct err *err)
{
	struct session *session = user;

	session->request = NULL;
	if (r < 0 && r != -ENOENT)
		log_info("session object is left to its time-out", "error=%s", err->msg);
	session_undone(session);
}

void session_unregister(struct session *session)
{
	auto_free char *path = NULL;
	struct kube_request_config config = {.method = "DELETE"};

	if (!session->name) {
		session_undone_later(session);
		return;
	}
	path = kube_path(SESSION_API, "sessions", session->manager_namespace, session->name);
	config.path = path;
	kube_request(session->client, &config, on_unregistered, session, &session->request);
}

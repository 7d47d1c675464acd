/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that a daemon which was killed has left. The manager keeps one for its TTL, as that of a
 * laptop that sleeps, and what it intercepts with it. Whoever connects again here wants neither, so
 * they are deleted: of this owner and host, and made at this very place, or before the machine was
 * booted and without a tunnel. A place is the machine since its boot, the user and the network
 * namespace: a daemon has its socket there for itself, so every other one of that place is dead,
 * whatever the manager knows.
 * The API server proves the owner again. Nobody waits for it, and a failure changes nothing.
 */
#include "client/userd/session_stale.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/userd/session_priv.h"
#include "client/userd/session_steps.h"
#include "cluster/client.h"
#include "cluster/json.h"
#include "cluster/meta.h"
#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"

#define BOOT_ID_BYTES 36

int session_place(char out[static SESSION_PLACE_BYTES])
{
	char boot[BOOT_ID_BYTES + 1] = "";
	auto_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	struct stat st;

	out[0] = '\0';
	if (fd < 0 || read(fd, boot, BOOT_ID_BYTES) != BOOT_ID_BYTES)
		return -ENOENT;
	if (stat("/proc/self/ns/net", &st) < 0)
		return -errno;
	(void)snprintf(out, SESSION_PLACE_BYTES, "%s:%u:%llu", boot, (unsigned int)getuid(),
		(unsigned long long)st.st_ino);
	return 0;
}

/* Without the condition it was just made: its tunnel may be on its way. */
static bool has_tunnel(json_object *object)
{
	return strcmp(kube_condition_status(object, "Ready"), "False") != 0;
}

static bool same(json_object *object, const char *path, const char *text)
{
	return strcmp(json_text_or(object, path, ""), text) == 0;
}

bool session_is_stale(json_object *object, const struct session_maker *maker)
{
	if (!same(object, "spec.owner", maker->owner) ||
		!same(object, "spec.client.host", maker->host) ||
		same(object, "metadata.uid", maker->uid))
		return false;
	if (maker->place[0] && same(object, "spec.client.place", maker->place))
		return true;
	/* Another user, or another network namespace, of the machine as it runs now. */
	if (strncmp(json_text_or(object, "spec.client.place", ""), maker->place, BOOT_ID_BYTES) ==
		0)
		return false;
	return !has_tunnel(object);
}

static void on_deleted(void *user UNUSED, int r, int status UNUSED, json_object *body UNUSED,
	const struct err *err)
{
	if (r < 0 && r != -ENOENT)
		log_info("a former session is left to its time-out", "error=%s", err->msg);
}

static void on_list(void *user, int r, int status UNUSED, json_object *body, const struct err *err)
{
	struct session *session = user;
	char place[SESSION_PLACE_BYTES], host[SESSION_HOST_BYTES];
	const struct session_maker maker = {
		.owner = session->owner, .host = host, .place = place, .uid = session->uid};

	session_host(host);
	if (session_place(place) < 0)
		log_debug("this place has no name", "action=%s", "telling by the tunnel alone");
	if (r < 0)
		log_info("former sessions are left to their time-out", "error=%s", err->msg);
	if (r < 0 || !session->uid)
		return;
	for (size_t i = 0; i < json_count(body, "items"); i++) {
		json_object *object = json_item(body, "items", i);
		const char *name = json_text(object, "metadata.name");
		auto_free char *path = NULL;
		struct kube_request_config config = {.method = "DELETE"};

		if (!name || !session_is_stale(object, &maker))
			continue;
		log_info("deleting a former session", "name=%s", name);
		path = kube_path(SESSION_API, "sessions", session->manager_namespace, name);
		config.path = path;
		kube_request(session->client, &config, on_deleted, NULL, NULL);
	}
}

void session_drop_stale(struct session *session)
{
	auto_free char *path = kube_path(SESSION_API, "sessions", session->manager_namespace, NULL);
	const struct kube_request_config config = {.method = "GET", .path = path};

	/* Ends with the client, and so before the session. */
	kube_request(session->client, &config, on_list, session, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "client/userd/args.h"
#include "client/userd/proto.h"
#include "client/userd/server.h"
#include "client/userd/session.h"
#include "client/userd/userd_priv.h"
#include "cluster/client.h"
#include "cluster/install.h"
#include "core/alloc.h"
#include "core/err.h"

static void clear(struct userd *userd)
{
	struct uninstall *uninstall = &userd->uninstall;

	kube_client_free(uninstall->client);
	free(uninstall->manager_namespace);
	*uninstall = (struct uninstall){.peer = NULL};
}

static void on_progress(void *user, const char *line)
{
	struct userd *userd = user;

	userd_peer_progress(userd->uninstall.peer, line);
}

static void on_done(void *user, int r, const struct err *err)
{
	struct userd *userd = user;

	userd->uninstall.install = NULL;
	if (r < 0)
		userd_peer_failed(userd->uninstall.peer, err, NULL);
	else
		userd_peer_done(userd->uninstall.peer, NULL);
	clear(userd);
}

void userd_uninstall_go(struct userd *userd)
{
	static const struct kube_install_events events = {
		.on_progress = on_progress, .on_done = on_done};
	const struct kube_install_config config = {
		.manager_namespace = userd->uninstall.manager_namespace};

	userd->uninstall.install =
		kube_uninstall_start(userd->uninstall.client, &config, &events, userd);
}

void userd_uninstall_cancel(struct userd *userd)
{
	if (userd->uninstall.install)
		kube_install_cancel(userd->uninstall.install);
	clear(userd);
}

static int new_client(struct userd *userd, const struct connect_args *args, struct err *err)
{
	const struct kube_overrides overrides = connect_args_overrides(args);
	AUTO(kube_config) kube = NULL;
	int r = kube_config_load(&overrides, &kube, err);

	if (r < 0)
		return r;
	userd->uninstall.manager_namespace = xstrdup(connect_args_manager_namespace(args, kube));
	return kube_client_new(&userd->loop, kube, &userd->uninstall.client, err);
}

/* A connection says which cluster is meant; it is closed first. */
void userd_uninstall(struct userd *userd, struct userd_peer *peer, json_object *request)
{
	struct connect_args args = {0};
	struct err err = ERR_INIT;
	int r;

	if (userd->uninstall.peer) {
		err_set(&err, -EBUSY, ERR_CONFLICT, "another uninstall is under way");
		userd_peer_failed(peer, &err, NULL);
		return;
	}
	r = connect_args_from_json(json_get(request, "args", json_type_object), &args, &err);
	if (r == 0 && !userd->session)
		userd_apply_env(json_get(request, "env", json_type_object));
	if (r == 0)
		r = new_client(userd, userd->session ? session_args(userd->session) : &args, &err);
	connect_args_done(&args);
	if (r < 0) {
		clear(userd);
		userd_peer_failed(peer, &err, NULL);
		return;
	}
	userd->uninstall.peer = peer;
	if (userd->session)
		userd_disconnect(userd);
	else
		userd_uninstall_go(userd);
}

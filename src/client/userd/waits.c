/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/waits.h"

#include <errno.h>
#include <utlist.h>

#include "client/userd/server.h"
#include "client/userd/userd_priv.h"
#include "core/alloc.h"
#include "core/err.h"

struct userd_wait *userd_wait_new(
	struct userd *userd, struct userd_peer *peer, void (*cancel)(struct userd_wait *wait))
{
	struct userd_wait *wait = XNEW(struct userd_wait);

	wait->userd = userd;
	wait->peer = peer;
	wait->cancel = cancel;
	DL_APPEND(userd->waits, wait);
	return wait;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle);
}

static void free_wait(struct userd_wait *wait)
{
	DL_DELETE(wait->userd->waits, wait);
	if (wait->timer)
		uv_close((uv_handle_t *)wait->timer, on_timer_closed);
	free(wait->namespace);
	free(wait);
}

void userd_wait_done(struct userd_wait *wait, json_object *result)
{
	userd_peer_done(wait->peer, result);
	free_wait(wait);
}

void userd_wait_failed(struct userd_wait *wait, const struct err *err, const char *hint)
{
	userd_peer_failed(wait->peer, err, hint && *hint ? hint : NULL);
	free_wait(wait);
}

void userd_waits_gone(struct userd *userd, const struct userd_peer *peer)
{
	struct userd_wait *wait = NULL, *next = NULL;

	DL_FOREACH_SAFE (userd->waits, wait, next) {
		if (wait->peer != peer)
			continue;
		wait->cancel(wait);
		free_wait(wait);
	}
}

void userd_waits_end(struct userd *userd)
{
	struct userd_wait *wait = NULL, *next = NULL;
	struct err err = ERR_INIT;

	err_set(&err, -ECANCELED, ERR_CONFLICT, "telepresence has disconnected meanwhile");
	DL_FOREACH_SAFE (userd->waits, wait, next) {
		wait->cancel(wait);
		userd_wait_failed(wait, &err, NULL);
	}
}

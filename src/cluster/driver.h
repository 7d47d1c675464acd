/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/driver.h - one libcurl multi handle on the libuv loop
 *
 * Internal to the folder. No event runs within a libcurl function, so events may add, remove and
 * free whatever they like, the driver included. libcurl's own callbacks (write, socket options)
 * must only store.
 */
#ifndef CLUSTER_DRIVER_H
#define CLUSTER_DRIVER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <uv.h>

#include "core/attr.h"

struct driver;

struct driver_events {
	/* A transfer is over; the easy handle still belongs to the multi. */
	void (*on_done)(void *user, CURL *easy, CURLcode code);
	/* After every turn of libcurl, and after driver_kick(). May be NULL. */
	void (*on_turn)(void *user);
};

struct driver *driver_new(uv_loop_t *loop, const struct driver_events *events, void *user);
uv_loop_t *driver_loop(const struct driver *driver);
void driver_add(struct driver *driver, CURL *easy);
void driver_remove(struct driver *driver, CURL *easy);
/* on_turn soon, from the loop. */
void driver_kick(struct driver *driver);
/* Within an event: whether one has freed the driver meanwhile. */
bool driver_freed(const struct driver *driver);
/* All handles have been removed. NULL-safe; memory goes when the loop's handles are closed. */
void driver_free(struct driver *driver);

#endif /* CLUSTER_DRIVER_H */

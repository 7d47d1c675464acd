/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/driver.h"

#include <assert.h>

#include "core/alloc.h"

struct driver {
	uv_loop_t *loop;
	CURLM *multi;
	/* libcurl's time-out. It is set by libcurl alone, which tells a time only once. */
	uv_timer_t timer;
	uv_timer_t kick;
	unsigned int handles;
	struct driver_events events;
	void *user;
	bool turning, freed;
};

/* One socket that libcurl waits for. Freed in its own close callback. */
struct driver_socket {
	uv_poll_t poll;
	struct driver *driver;
	curl_socket_t fd;
};

static void on_handle_closed(uv_handle_t *handle)
{
	struct driver *driver = handle->data;

	if (--driver->handles == 0)
		free(driver);
}

static void destroy(struct driver *driver)
{
	curl_multi_cleanup(driver->multi);
	driver->multi = NULL;
	uv_close((uv_handle_t *)&driver->timer, on_handle_closed);
	uv_close((uv_handle_t *)&driver->kick, on_handle_closed);
}

static void report_done(struct driver *driver)
{
	CURLMsg *msg = NULL;
	int left = 0;

	while (!driver->freed && (msg = curl_multi_info_read(driver->multi, &left))) {
		/* The message dies with its handle, which on_done() may remove. */
		CURL *easy = msg->easy_handle;
		CURLcode code = msg->data.result;

		if (msg->msg == CURLMSG_DONE)
			driver->events.on_done(driver->user, easy, code);
	}
}

static void turn(struct driver *driver, curl_socket_t fd, int flags)
{
	int running = 0;

	driver->turning = true;
	(void)curl_multi_socket_action(driver->multi, fd, flags, &running);
	if (driver->events.on_turn)
		driver->events.on_turn(driver->user);
	report_done(driver);
	driver->turning = false;
	if (driver->freed)
		destroy(driver);
}

static void on_timer(uv_timer_t *timer)
{
	turn(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user)
{
	struct driver *driver = user;

	(void)multi;
	if (timeout_ms < 0)
		uv_timer_stop(&driver->timer);
	else
		uv_timer_start(&driver->timer, on_timer, (uint64_t)timeout_ms, 0);
	return 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct driver_socket *sock = container_of(poll, struct driver_socket, poll);
	int flags = 0;

	if (status < 0)
		flags = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	turn(sock->driver, sock->fd, flags);
}

static void on_socket_closed(uv_handle_t *handle)
{
	free(container_of((uv_poll_t *)handle, struct driver_socket, poll));
}

static struct driver_socket *socket_new(struct driver *driver, curl_socket_t fd)
{
	struct driver_socket *sock = XNEW(struct driver_socket);

	sock->driver = driver;
	sock->fd = fd;
	if (uv_poll_init_socket(driver->loop, &sock->poll, fd) < 0) {
		free(sock);
		return NULL;
	}
	curl_multi_assign(driver->multi, fd, sock);
	return sock;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
	struct driver *driver = user;
	struct driver_socket *sock = socket_user;
	int events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (sock) {
			/* At once: libcurl closes the fd next and its number may be reused. */
			uv_poll_stop(&sock->poll);
			uv_close((uv_handle_t *)&sock->poll, on_socket_closed);
			curl_multi_assign(driver->multi, fd, NULL);
		}
		return 0;
	}
	if (!sock)
		sock = socket_new(driver, fd);
	if (!sock)
		return -1;
	if (what != CURL_POLL_OUT)
		events |= UV_READABLE;
	if (what != CURL_POLL_IN)
		events |= UV_WRITABLE;
	return uv_poll_start(&sock->poll, events, on_poll) < 0 ? -1 : 0;
}

struct driver *driver_new(uv_loop_t *loop, const struct driver_events *events, void *user)
{
	struct driver *driver = XNEW(struct driver);

	driver->loop = loop;
	driver->events = *events;
	driver->user = user;
	uv_timer_init(loop, &driver->timer);
	uv_timer_init(loop, &driver->kick);
	driver->timer.data = driver->kick.data = driver;
	driver->handles = 2;
	driver->multi = curl_multi_init();
	assert(driver->multi);
	curl_multi_setopt(driver->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(driver->multi, CURLMOPT_SOCKETDATA, driver);
	curl_multi_setopt(driver->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(driver->multi, CURLMOPT_TIMERDATA, driver);
	return driver;
}

uv_loop_t *driver_loop(const struct driver *driver)
{
	return driver->loop;
}

void driver_add(struct driver *driver, CURL *easy)
{
	(void)curl_multi_add_handle(driver->multi, easy);
}

void driver_remove(struct driver *driver, CURL *easy)
{
	(void)curl_multi_remove_handle(driver->multi, easy);
}

void driver_kick(struct driver *driver)
{
	uv_timer_start(&driver->kick, on_timer, 0, 0);
}

bool driver_freed(const struct driver *driver)
{
	return driver->freed;
}

void driver_free(struct driver *driver)
{
	if (!driver || driver->freed)
		return;
	driver->freed = true;
	if (!driver->turning)
		destroy(driver);
}

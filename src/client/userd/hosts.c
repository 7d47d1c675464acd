/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/hosts.h"

#include <stdbool.h>
#include <string.h>

#include "core/alloc.h"

#define HOSTS_URLS 4

struct hosts_lookup {
	uv_getaddrinfo_t request;
	uv_timer_t done;
	char *names[HOSTS_URLS];
	size_t name_count, next;
	struct ip_addr addrs[HOSTS_ADDRESSES];
	size_t count;
	hosts_fn on_done; /* NULL: cancelled */
	void *user;
};

char *hosts_of_url(const char *url)
{
	const char *start = url ? strstr(url, "://") : NULL;
	const char *user, *end;
	size_t len;

	if (!start)
		return NULL;
	start += 3;
	user = start + strcspn(start, "@/");
	if (*user == '@')
		start = user + 1;
	if (*start == '[') {
		end = strchr(++start, ']');
		return end ? xstrndup(start, (size_t)(end - start)) : NULL;
	}
	len = strcspn(start, ":/?#");
	return len ? xstrndup(start, len) : NULL;
}

static void start_next(struct hosts_lookup *lookup, uv_loop_t *loop);

static void on_closed(uv_handle_t *handle)
{
	struct hosts_lookup *lookup = container_of(handle, struct hosts_lookup, done);

	for (size_t i = 0; i < lookup->name_count; i++)
		free(lookup->names[i]);
	free(lookup);
}

static void on_done_timer(uv_timer_t *timer)
{
	struct hosts_lookup *lookup = container_of(timer, struct hosts_lookup, done);

	uv_close((uv_handle_t *)timer, on_closed);
	if (lookup->on_done)
		lookup->on_done(lookup->user, lookup->addrs, lookup->count);
}

static void on_resolved(uv_getaddrinfo_t *request, int status UNUSED, struct addrinfo *list)
{
	struct hosts_lookup *lookup = container_of(request, struct hosts_lookup, request);

	for (struct addrinfo *item = list; item; item = item->ai_next) {
		struct ip_endpoint endpoint;

		if (lookup->count < HOSTS_ADDRESSES &&
			ip_endpoint_from_sockaddr(item->ai_addr, &endpoint) == 0)
			lookup->addrs[lookup->count++] = endpoint.addr;
	}
	uv_freeaddrinfo(list);
	start_next(lookup, request->loop);
}

/* An address literal takes the same way: getaddrinfo(3) answers it without a query. */
static void start_next(struct hosts_lookup *lookup, uv_loop_t *loop)
{
	static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

	while (lookup->on_done && lookup->next < lookup->name_count) {
		const char *name = lookup->names[lookup->next++];

		if (uv_getaddrinfo(loop, &lookup->request, on_resolved, name, NULL, &hints) == 0)
			return;
	}
	/* By a timer: nobody is called from within hosts_resolve(), however early this is. */
	(void)uv_timer_start(&lookup->done, on_done_timer, 0, 0);
}

struct hosts_lookup *hosts_resolve(
	uv_loop_t *loop, const char *const *urls, size_t count, hosts_fn on_done, void *user)
{
	struct hosts_lookup *lookup = XNEW(struct hosts_lookup);

	lookup->on_done = on_done;
	lookup->user = user;
	for (size_t i = 0; i < count && lookup->name_count < HOSTS_URLS; i++) {
		char *name = hosts_of_url(urls[i]);

		if (name)
			lookup->names[lookup->name_count++] = name;
	}
	(void)uv_timer_init(loop, &lookup->done);
	start_next(lookup, loop);
	return lookup;
}

void hosts_cancel(struct hosts_lookup *lookup)
{
	if (!lookup)
		return;
	lookup->on_done = NULL;
	(void)uv_cancel((uv_req_t *)&lookup->request);
}

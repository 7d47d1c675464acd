/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/names_watch.h"

#include <stdbool.h>
#include <string.h>

#include "client/userd/changes.h"
#include "client/userd/intercepts.h"
#include "core/alloc.h"
#include "core/limits.h"

struct names_watch {
	struct h2_session *h2; /* borrowed */
	const struct names_events *events;
	void *user;
	struct changes *list[1 + INTERCEPTS_MAX]; /* the connection's first */
	size_t count;
};

struct set {
	const char *services[LIMIT_DNS_HEADLESS];
	size_t count;
};

static void on_change(void *user, const char *service)
{
	const struct names_watch *watch = user;

	watch->events->on_change(watch->user, service);
}

/* Each stream tells the changes of all namespaces; once is enough. */
static void on_change_again(void *user UNUSED, const char *service UNUSED)
{
}

static bool has(const struct set *set, const char *service)
{
	for (size_t i = 0; i < set->count; i++) {
		if (strcmp(set->services[i], service) == 0)
			return true;
	}
	return false;
}

static bool add_all(struct set *set, const struct changes *changes)
{
	const char *services[LIMIT_DNS_HEADLESS];
	int count = changes_headless(changes, services, ARRAY_SIZE(services));

	for (int i = 0; i < count && set->count < ARRAY_SIZE(set->services); i++) {
		if (!has(set, services[i]))
			set->services[set->count++] = services[i];
	}
	return count >= 0;
}

static void on_headless(void *user)
{
	names_watch_tell(user);
}

void names_watch_tell(struct names_watch *watch)
{
	struct set set = {.count = 0};

	for (size_t i = 0; watch && i < watch->count; i++) {
		if (!add_all(&set, watch->list[i]))
			return;
	}
	if (watch)
		watch->events->on_headless(watch->user, set.services, set.count);
}

struct names_watch *names_watch_start(
	struct h2_session *h2, const char *namespace, const struct names_events *events, void *user)
{
	static const struct changes_events changes_events = {
		.on_change = on_change, .on_headless = on_headless};
	struct names_watch *watch = XNEW(struct names_watch);

	watch->h2 = h2;
	watch->events = events;
	watch->user = user;
	watch->list[0] = changes_start(h2, namespace, &changes_events, watch);
	if (watch->list[0]) {
		watch->count = 1;
		return watch;
	}
	free(watch);
	return NULL;
}

/* The stream of that namespace out of a list, or NULL. */
static struct changes *take(struct changes **list, size_t count, const char *namespace)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] && strcmp(changes_namespace(list[i]), namespace) == 0)
			return TAKE_PTR(list[i]);
	}
	return NULL;
}

void names_watch_further(struct names_watch *watch, const char *const *namespaces, size_t count)
{
	static const struct changes_events changes_events = {
		.on_change = on_change_again, .on_headless = on_headless};
	struct changes *before[INTERCEPTS_MAX];
	size_t before_count = watch->count - 1;

	memcpy(before, watch->list + 1, before_count * sizeof(struct changes *));
	watch->count = 1;
	for (size_t i = 0; i < count && watch->count < ARRAY_SIZE(watch->list); i++) {
		struct changes *changes = take(before, before_count, namespaces[i]);

		if (!changes)
			changes = changes_start(watch->h2, namespaces[i], &changes_events, watch);
		if (changes)
			watch->list[watch->count++] = changes;
	}
	for (size_t i = 0; i < before_count; i++)
		changes_stop(before[i]);
	names_watch_tell(watch);
}

void names_watch_stop(struct names_watch *watch)
{
	if (!watch)
		return;
	for (size_t i = 0; i < watch->count; i++)
		changes_stop(watch->list[i]);
	free(watch);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/leaving.h"

#include <string.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "tunnel/agent_link.h"

/* Managers that end one after the other within the seconds that each has. */
#define LEAVING_LINKS 4

struct entry {
	struct leaving *leaving;
	struct agent_link *link;
};

struct leaving {
	struct entry *entries[LEAVING_LINKS]; /* oldest first */
	size_t count;
};

static void drop(struct leaving *leaving, size_t i)
{
	struct entry *entry = leaving->entries[i];

	leaving->count--;
	memmove(&leaving->entries[i], &leaving->entries[i + 1],
		(leaving->count - i) * sizeof(*leaving->entries));
	agent_link_free(entry->link);
	free(entry);
}

static void on_closed(void *user, const struct err *err)
{
	struct entry *entry = user;
	struct leaving *leaving = entry->leaving;
	size_t i = 0;

	log_info("the former link is closed", "why=\"%s\"", err->msg);
	while (leaving->entries[i] != entry)
		i++;
	drop(leaving, i);
}

void leaving_add(struct leaving *leaving, struct agent_link *link)
{
	/* A manager that ends opens no more streams. */
	static const struct agent_link_events events = {.on_closed = on_closed};
	struct entry *entry = XNEW(struct entry);

	if (leaving->count == LEAVING_LINKS)
		drop(leaving, 0);
	entry->leaving = leaving;
	entry->link = link;
	leaving->entries[leaving->count++] = entry;
	agent_link_set_events(link, &events, entry);
}

void leaving_clear(struct leaving *leaving)
{
	while (leaving->count > 0)
		drop(leaving, leaving->count - 1);
}

struct leaving *leaving_new(void)
{
	return XNEW(struct leaving);
}

void leaving_free(struct leaving *leaving)
{
	if (!leaving)
		return;
	leaving_clear(leaving);
	free(leaving);
}

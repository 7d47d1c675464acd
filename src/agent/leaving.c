/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/leaving.h"

#include <stddef.h>
#include <utlist.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/log.h"
#include "tunnel/agent_link.h"
#include "tunnel/reply.h"

/* Managers that end one after the other within the seconds that each has. */
#define LEAVING_LINKS 4

struct entry {
	struct leaving *leaving;
	struct agent_link *link;
	struct entry *prev, *next;
};

struct leaving {
	struct entry *entries; /* oldest first; owns */
	size_t count;
};

static void drop(struct entry *entry)
{
	DL_DELETE(entry->leaving->entries, entry);
	entry->leaving->count--;
	agent_link_free(entry->link);
	free(entry);
}

/* Asked for while the word of its end was on the way; its successor is there in a moment. */
static void on_stream(
	void *user UNUSED, struct h2_stream *stream, const struct h2_head *head UNUSED)
{
	reply_reason(stream, REASON_NO_CLIENT);
}

static void on_closed(void *user, const struct err *err)
{
	log_info("the former link is closed", "why=\"%s\"", err->msg);
	drop(user);
}

void leaving_add(struct leaving *leaving, struct agent_link *link)
{
	static const struct agent_link_events events = {
		.on_stream = on_stream, .on_closed = on_closed};
	struct entry *entry = XNEW(struct entry);

	entry->leaving = leaving;
	entry->link = link;
	agent_link_set_events(link, &events, entry);
	DL_APPEND(leaving->entries, entry);
	if (++leaving->count > LEAVING_LINKS)
		drop(leaving->entries);
}

void leaving_clear(struct leaving *leaving)
{
	/* Each takes itself off the list, which the analyzer does not see. */
	while (leaving->entries)
		drop(leaving->entries); /* NOLINT(clang-analyzer-unix.Malloc) */
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

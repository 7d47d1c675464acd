/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/intercept_reader.h"

#include <errno.h>
#include <string.h>

#include "core/alloc.h"
#include "manager/agents_env.h"
#include "manager/intercept_seat.h"
#include "manager/pods.h"

/* One that was placed has so long to come; why one was refused is as long repeated. */
#define START_MS   10000
#define REFUSED_MS 5000

struct reader {
	struct seat *seat;
	char *container;
	unsigned int number; /* of the last one that was asked for */
	uint64_t until_ms; /* before this none is placed again */
	struct placement *placement; /* NULL: none is under way */
	struct err problem; /* of the last one */
	struct reader *prev, *next;
};

static struct reader *get_reader(struct seat *seat, const char *container)
{
	struct reader *reader = NULL;

	DL_FOREACH (seat->readers, reader) {
		if (strcmp(reader->container, container) == 0)
			return reader;
	}
	reader = XNEW(struct reader);
	reader->seat = seat;
	reader->container = xstrdup(container);
	DL_APPEND(seat->readers, reader);
	return reader;
}

void readers_drop(struct seat *seat)
{
	struct reader *reader = NULL, *next = NULL;

	DL_FOREACH_SAFE (seat->readers, reader, next) {
		DL_DELETE(seat->readers, reader);
		placement_cancel(reader->placement);
		free(reader->container);
		free(reader);
	}
}

static void on_token(void *user, uint8_t token[static AGENT_TOKEN_BYTES])
{
	const struct reader *reader = user;

	agents_token(reader->seat->set->agents, reader->seat->uid, token);
}

/* Whether it is there after all is of no matter: the next one has another name. */
static bool is_to_be_asked_again(int r, const struct err *err)
{
	return r == -EAGAIN || r == -EEXIST || err->kind == ERR_UNREACHABLE;
}

static void on_placed(void *user, int r, const struct err *err)
{
	struct reader *reader = user;
	uint64_t now = intercepts_now(reader->seat->set);

	reader->placement = NULL;
	if (r == 0) {
		reader->until_ms = now + START_MS;
	} else if (!is_to_be_asked_again(r, err)) {
		reader->problem = *err;
		reader->until_ms = now + REFUSED_MS;
	}
}

static void place(struct reader *reader, unsigned int seen)
{
	struct seat *seat = reader->seat;
	struct reader *each = NULL;
	auto_free char *name = NULL;

	reader->number = seen;
	DL_FOREACH (seat->readers, each)
		reader->number = MAX(reader->number, each->number);
	name = xasprintf("%s%u", POD_READER_PREFIX, ++reader->number);
	reader->problem = (struct err)ERR_INIT;
	reader->placement = placement_start(
		seat->set->placer, seat->pod, reader->container, name, on_token, on_placed, reader);
}

int reader_want(struct seat *seat, const char *container, struct err *err)
{
	struct reader *reader = NULL;
	struct pod_agent newest;

	if (agents_has_env(seat->set->agents, seat->uid, container))
		return 0;
	if (!seat->set->leader || !seat->set->placer)
		return -EAGAIN;
	reader = get_reader(seat, container);
	if (reader->placement)
		return 0;
	pod_agent(seat->pod, POD_READER_PREFIX, &newest);
	if (intercepts_now(seat->set) >= reader->until_ms) {
		place(reader, newest.number);
		return 0;
	}
	if (reader->problem.code < 0) {
		*err = reader->problem;
		return -EBUSY;
	}
	return newest.number == reader->number && placement_cause(seat->pod, &newest, err) < 0
		       ? -EBUSY
		       : 0;
}

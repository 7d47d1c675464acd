/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/intercept_asked.h"

#include <errno.h>
#include <string.h>

#include "core/attr.h"
#include "core/err.h"

/* What is refused may be allowed later; soon, if the API server was only starting. */
#define REFUSED_FIRST_MS 1000U
#define REFUSED_LAST_MS  10000U

unsigned int asked_next(struct asked *asked, unsigned int seen)
{
	if (!asked->unanswered)
		asked->number = MAX(asked->confirmed, seen) + 1;
	return asked->number;
}

void asked_forget(struct asked *asked)
{
	asked->unanswered = false;
	explicit_bzero(asked->token, sizeof(asked->token));
	asked->token_until_ms = 0;
}

static void confirm(struct asked *asked)
{
	asked->confirmed = MAX(asked->confirmed, asked->number);
	asked->refusals = 0;
	asked_forget(asked);
}

enum asked_answer asked_answered(struct asked *asked, int r, const struct err *err)
{
	bool again = asked->unanswered;

	if (r == 0 || r == -EEXIST) {
		confirm(asked);
		return r == 0 || again ? ASKED_OURS : ASKED_FOREIGN;
	}
	if (r == -EAGAIN || err->kind == ERR_UNREACHABLE) {
		asked->unanswered = true;
		return ASKED_LOST;
	}
	/* A refusal of the second question says nothing of the first one. */
	if (!again)
		asked_forget(asked);
	asked->refusals++;
	return ASKED_REFUSED;
}

bool asked_seen(struct asked *asked, unsigned int seen)
{
	if (!asked->unanswered || seen < asked->number)
		return false;
	confirm(asked);
	return true;
}

unsigned int asked_pause_ms(const struct asked *asked)
{
	unsigned int before = asked->refusals > 0 ? asked->refusals - 1 : 0;

	return MIN(REFUSED_FIRST_MS << MIN(before, 4U), REFUSED_LAST_MS);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/intercept_asked.h - which agent of a pod was asked for, and what is known of it
 *
 * An agent's name is a number that is used once in a pod, and it is chosen before the API server is
 * asked. When the answer is lost nobody knows whether the agent is there, so the same name is asked
 * for again, with the same token while it is good: the API server finds that it has it, or takes
 * it. There never are two agents for want of an answer.
 *
 * No I/O; times are of the loop's clock.
 */
#ifndef MANAGER_INTERCEPT_ASKED_H
#define MANAGER_INTERCEPT_ASKED_H

#include <stdbool.h>
#include <stdint.h>

#include "tunnel/agent_server.h"

struct err;

struct asked {
	unsigned int number; /* the last one that was asked for; 0: none */
	unsigned int confirmed; /* the newest that is there for certain; 0: none */
	unsigned int refusals; /* in a row */
	bool unanswered; /* whether `number` is there */
	uint8_t token[AGENT_TOKEN_BYTES]; /* of `number`, while it is unanswered */
	uint64_t token_until_ms; /* 0: none */
};

enum asked_answer {
	ASKED_OURS, /* it is there, placed by us */
	ASKED_FOREIGN, /* it is there, placed by another manager */
	ASKED_LOST, /* to be asked again soon */
	ASKED_REFUSED /* to be asked again after asked_pause_ms() */
};

/* The number to ask for; seen: the newest that the pod's spec has, 0: none. */
unsigned int asked_next(struct asked *asked, unsigned int seen);
enum asked_answer asked_answered(struct asked *asked, int r, const struct err *err);
/* Whether the pod's spec answers what the API server did not. */
bool asked_seen(struct asked *asked, unsigned int seen);
unsigned int asked_pause_ms(const struct asked *asked);
/* Nobody waits for the answer any more. */
void asked_forget(struct asked *asked);

#endif /* MANAGER_INTERCEPT_ASKED_H */

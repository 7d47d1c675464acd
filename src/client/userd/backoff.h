/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/backoff.h - pauses before what was lost is opened again
 *
 * Doubled each time up to a second (an intercept has to be back within three of the last restart),
 * a quarter of it at random so that the laptops of a whole team do not come back at the same
 * moment.
 */
#ifndef CLIENT_USERD_BACKOFF_H
#define CLIENT_USERD_BACKOFF_H

#include <sys/random.h>

#include "core/attr.h"

#define BACKOFF_MIN_MS 100U
#define BACKOFF_MAX_MS 1000U

/* attempt: 0 for the first. */
static inline unsigned int backoff_ms(unsigned int attempt)
{
	unsigned int pause_ms = MIN(BACKOFF_MIN_MS << MIN(attempt, 6U), BACKOFF_MAX_MS);
	unsigned int random = 0;

	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	return pause_ms + random % (pause_ms / 4);
}

#endif /* CLIENT_USERD_BACKOFF_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/intercept_follow.h - where the Services of an intercept lead, as it changes
 *
 * Internal to intercepts.h. Owned by the intercept; no callback after follow_stop().
 */
#ifndef MANAGER_INTERCEPT_FOLLOW_H
#define MANAGER_INTERCEPT_FOLLOW_H

#include "manager/intercept_impl.h"

void follow_start(struct intercept *intercept);
void follow_stop(struct intercept *intercept);
/* Whether each Service was looked at, or cannot be. */
bool follow_known(const struct intercept *intercept);
/* What came by a Service and does so no more. False: nothing. */
bool follow_left(const struct intercept *intercept, struct err *why);

#endif /* MANAGER_INTERCEPT_FOLLOW_H */

/* SPDX-License-Identifier: Apache-2.0 */
/* client/userd/intercept_follow.h - the state FOLLOW: an intercept's object is there and watched */
#ifndef CLIENT_USERD_INTERCEPT_FOLLOW_H
#define CLIENT_USERD_INTERCEPT_FOLLOW_H

#include <json-c/json.h>

struct intercept;

/* The object exists now. */
void intercept_follow(struct intercept *intercept, json_object *object);
/* Answers whoever asked if everything is there by now. */
void intercept_check_ready(struct intercept *intercept);

#endif /* CLIENT_USERD_INTERCEPT_FOLLOW_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/intercept_absent.h - why no pod of a workload is ready
 *
 * Internal to intercepts.h. Only looks.
 */
#ifndef MANAGER_INTERCEPT_ABSENT_H
#define MANAGER_INTERCEPT_ABSENT_H

#include <stdbool.h>

struct err;
struct intercept;

/* Fills *why. True: no pod comes by itself; somebody has to change the workload. */
bool intercept_absent(const struct intercept *intercept, struct err *why);

#endif /* MANAGER_INTERCEPT_ABSENT_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/alloc.h - allocation that ends the process instead of failing
 *
 * For small objects and for sizes that were bounded first. A size that a peer controls is checked
 * against core/limits.h before it comes here.
 */
#ifndef CORE_ALLOC_H
#define CORE_ALLOC_H

#include "core/attr.h"

NODISCARD void *xcalloc(size_t count, size_t size);
NODISCARD void *xrealloc(void *ptr, size_t size);
NODISCARD char *xstrdup(const char *text);
NODISCARD char *xstrndup(const char *text, size_t len);
NODISCARD char *xasprintf(const char *fmt, ...) PRINTF(1, 2);

#define XNEW(type) ((type *)xcalloc(1, sizeof(type)))

#endif /* CORE_ALLOC_H */

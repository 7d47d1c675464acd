/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/secret.h - texts that must not linger in memory, and base64 around them
 *
 * Internal to the folder.
 */
#ifndef CLUSTER_SECRET_H
#define CLUSTER_SECRET_H

#include "core/attr.h"

/* RFC 4648. decode: -EINVAL also for text with NUL bytes inside. */
NODISCARD char *base64_encode(const void *data, size_t len);
NODISCARD int base64_decode(const char *text, char **ret_text);
/* Text of a secret: wiped before it is freed. */
void secret_free(char *text);
void strings_free(char **list); /* NULL-terminated, owned */

#endif /* CLUSTER_SECRET_H */

/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: tunnel */
/*
 * The head of the one HTTP request that the tunnel's port reads: what is taken from it is bounded
 * and in order, and bytes behind the head change nothing.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/upgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct upgrade_request *request)
{
	size_t path = strnlen(request->path, sizeof(request->path));
	size_t key = strnlen(request->key, sizeof(request->key));

	assert(path > 0 && path < sizeof(request->path) && request->path[0] == '/');
	assert(!strpbrk(request->path, "? \t\r\n"));
	assert(key == 0 || key == sizeof(request->key) - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct upgrade_request request;
	size_t len = upgrade_head_len((const char *)data, size);
	char *head;
	int r;

	assert(len <= size && (len == 0 || len >= 4));
	if (len == 0)
		len = size; /* never given to the parser by the port, but it must hold */
	head = malloc(len + !len);
	assert(head);
	memcpy(head, data, len);
	r = upgrade_parse(head, len, &request);
	if (r == 0)
		check(&request);
	free(head);
	return 0;
}

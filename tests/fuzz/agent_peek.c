/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: agent */
/*
 * The first bytes of a connection from the node: what is said of them holds when more come, and
 * only what has the kubelet's name is a probe.
 */
#include <assert.h>
#include <string.h>

#include "agent/peek.h"

#define PROBE "kube-probe/"
#define HOOK  "kube-lifecycle/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum peek_result last = PEEK_MORE;

	for (size_t len = 0; len <= size; len++) {
		enum peek_result result = peek_first_bytes(data, len);

		assert(last == PEEK_MORE || result == last);
		last = result;
	}
	if (last == PEEK_PROBE)
		assert(memmem(data, size, PROBE, sizeof(PROBE) - 1) ||
			memmem(data, size, HOOK, sizeof(HOOK) - 1));
	return 0;
}

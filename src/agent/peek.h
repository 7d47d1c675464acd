/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent/peek.h - whether the first bytes of a connection are a kubelet's httpGet: a probe, or a
 * hook
 */
#ifndef AGENT_PEEK_H
#define AGENT_PEEK_H

#include <stddef.h>
#include <stdint.h>

#include "core/attr.h"

enum peek_result {
	PEEK_MORE, /* not decided by these bytes */
	PEEK_PROBE,
	PEEK_OTHER,
};

/* An HTTP/1 request with "User-Agent: kube-probe/..." or "kube-lifecycle/..." (the kubelet's,
 * unless the pod's spec sets another). */
enum peek_result peek_first_bytes(const uint8_t *bytes, size_t len);

#endif /* AGENT_PEEK_H */

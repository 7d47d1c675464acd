/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/peek.h"

#include <string.h>
#include <strings.h>

#define FIELD "user-agent:"

/* Of probes, and of the hooks postStart and preStop. */
static const char *const agents[] = {"kube-probe/", "kube-lifecycle/"};

/* The kubelet's httpGet is a GET and nothing else. */
#define METHOD "GET "

static enum peek_result judge_field(const char *line, size_t len)
{
	size_t at = sizeof(FIELD) - 1;

	if (len < at || strncasecmp(line, FIELD, at) != 0)
		return PEEK_MORE;
	while (at < len && (line[at] == ' ' || line[at] == '\t'))
		at++;
	for (size_t i = 0; i < ARRAY_SIZE(agents); i++) {
		size_t agent_len = strlen(agents[i]);

		if (len - at >= agent_len && memcmp(line + at, agents[i], agent_len) == 0)
			return PEEK_PROBE;
	}
	return PEEK_OTHER;
}

enum peek_result peek_first_bytes(const uint8_t *bytes, size_t len)
{
	const char *line = (const char *)bytes, *end = line + len, *newline;
	size_t common = MIN(len, sizeof(METHOD) - 1);

	if (memcmp(bytes, METHOD, common) != 0)
		return PEEK_OTHER;
	while ((newline = memchr(line, '\n', (size_t)(end - line)))) {
		size_t line_len = (size_t)(newline - line);
		enum peek_result result;

		if (line_len > 0 && line[line_len - 1] == '\r')
			line_len--;
		if (line_len == 0)
			return PEEK_OTHER; /* the head is over */
		result = judge_field(line, line_len);
		if (result != PEEK_MORE)
			return result;
		line = newline + 1;
	}
	return PEEK_MORE;
}

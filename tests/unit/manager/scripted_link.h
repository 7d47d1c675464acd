/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/manager/scripted_link.h - a scripted agent: its link, and the lines that it says and hears
 */
#ifndef UNIT_MANAGER_SCRIPTED_LINK_H
#define UNIT_MANAGER_SCRIPTED_LINK_H

#include "core/buf.h"
#include "manager/agent_rig.h"
#include "tunnel/agent_link.h"

#define LINES_MAX 32

struct scripted {
	struct rig *rig;
	struct agent_credentials *credentials;
	struct agent_link *link;
	struct h2_stream *control;
	struct buf in, out;
	char *lines[LINES_MAX]; /* heard */
	int line_count, ready, closed, control_closed;
	void (*on_line)(struct scripted *agent, const char *line); /* or NULL */
	enum err_kind closed_kind;
};

static void scripted_on_data(void *user, const uint8_t *data, size_t len)
{
	struct scripted *agent = user;
	const uint8_t *end;

	h2_stream_consumed(agent->control, len);
	assert_int_equal(buf_append(&agent->in, data, len), 0);
	while (buf_len(&agent->in) > 0 &&
		(end = memchr(buf_head(&agent->in), '\n', buf_len(&agent->in)))) {
		size_t count = (size_t)(end - buf_head(&agent->in));
		char *line = xstrndup((const char *)buf_head(&agent->in), count);

		buf_consume(&agent->in, count + 1);
		assert_true(agent->line_count < LINES_MAX);
		agent->lines[agent->line_count++] = line;
		if (agent->on_line)
			agent->on_line(agent, line);
	}
}

static ssize_t scripted_on_read(void *user, uint8_t *out, size_t len)
{
	struct scripted *agent = user;
	size_t take = MIN(len, buf_len(&agent->out));

	if (take == 0)
		return H2_READ_AGAIN;
	memcpy(out, buf_head(&agent->out), take);
	buf_consume(&agent->out, take);
	return (ssize_t)take;
}

static void scripted_on_head(void *user, const struct h2_head *head)
{
	(void)user;
	assert_int_equal(head->status, 200);
}

static void scripted_on_close(void *user, uint32_t code)
{
	struct scripted *agent = user;

	(void)code;
	agent->control = NULL;
	agent->control_closed++;
}

static inline void say(struct scripted *agent, const char *line)
{
	assert_non_null(agent->control);
	assert_int_equal(buf_printf(&agent->out, "%s\n", line), 0);
	h2_stream_resume(agent->control);
}

static void scripted_on_ready(void *user)
{
	static const struct h2_stream_events events = {
		.on_head = scripted_on_head,
		.on_data = scripted_on_data,
		.on_read = scripted_on_read,
		.on_close = scripted_on_close,
	};
	const struct h2_head head = {.method = "POST", .path = "/v1/agent"};
	struct scripted *agent = user;

	agent->ready++;
	assert_int_equal(
		h2_request(agent_link_h2(agent->link), &head, &events, agent, &agent->control), 0);
}

static void scripted_on_closed(void *user, const struct err *err)
{
	struct scripted *agent = user;

	agent->closed++;
	agent->closed_kind = err->kind;
}

#endif /* UNIT_MANAGER_SCRIPTED_LINK_H */

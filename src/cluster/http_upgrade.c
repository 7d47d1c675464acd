/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/http_upgrade.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "cluster/secret.h"
#include "cluster/spdy.h"
#include "core/alloc.h"
#include "tunnel/ws.h"

static int put_websocket(
	struct buf *out, const char *protocol, char ret_key[static HTTP_UPGRADE_KEY_BYTES])
{
	auto_free char *key = NULL;
	uint8_t nonce[16];

	if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
		return -EIO;
	key = base64_encode(nonce, sizeof(nonce));
	(void)snprintf(ret_key, HTTP_UPGRADE_KEY_BYTES, "%s", key);
	return buf_printf(out,
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
		"Sec-WebSocket-Protocol: %s\r\n\r\n",
		ret_key, protocol);
}

int http_upgrade_request(struct buf *out, const struct transport *transport, const char *server,
	const struct http_upgrade *upgrade, char ret_key[static HTTP_UPGRADE_KEY_BYTES])
{
	auto_free char *host = transport_host(server);
	bool own_host = false;
	int r = 0;

	ret_key[0] = 0;
	r = buf_printf(out, "%s %s%s HTTP/1.1\r\n", upgrade->method, transport_base_path(server),
		upgrade->path);
	for (const struct curl_slist *line = transport->headers; r == 0 && line;
		line = line->next) {
		own_host |= strncasecmp(line->data, "Host:", 5) == 0;
		r = buf_printf(out, "%s\r\n", line->data);
	}
	if (r == 0 && !own_host)
		r = buf_printf(out, "Host: %s\r\n", host);
	if (r == 0)
		r = buf_printf(out,
			"User-Agent: telepresence/" TP_VERSION "\r\n"
			"Connection: Upgrade\r\n%s",
			strcmp(upgrade->method, "POST") == 0 ? "Content-Length: 0\r\n" : "");
	if (r == 0 && upgrade->to == HTTP_UPGRADE_WEBSOCKET)
		r = put_websocket(out, upgrade->protocol, ret_key);
	else if (r == 0)
		r = buf_printf(out,
			"Upgrade: " SPDY_PROTOCOL "\r\nX-Stream-Protocol-Version: %s\r\n\r\n",
			upgrade->protocol);
	return r;
}

/* The value of a header in a NUL-terminated head, without the space around it. */
static bool header_value(const char *head, const char *name, char *out, size_t size)
{
	size_t name_len = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		size_t len = 0;

		line += 2;
		if (strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
			continue;
		line += name_len + 1;
		line += strspn(line, " \t");
		len = strcspn(line, "\r\n");
		while (len > 0 && isblank((unsigned char)line[len - 1]))
			len--;
		if (len >= size)
			return false;
		memcpy(out, line, len);
		out[len] = 0;
		return true;
	}
	return false;
}

static int parse_status(const char *head)
{
	static const char start[] = "HTTP/1.1 ";
	const char *at = head + sizeof(start) - 1;

	if (strncmp(head, start, sizeof(start) - 1) != 0 || !isdigit((unsigned char)at[0]) ||
		!isdigit((unsigned char)at[1]) || !isdigit((unsigned char)at[2]) ||
		isdigit((unsigned char)at[3]))
		return -EPROTO;
	return (at[0] - '0') * 100 + (at[1] - '0') * 10 + (at[2] - '0');
}

static int check_switch(const char *head, const struct http_upgrade *upgrade, const char *key)
{
	char accept[WS_ACCEPT_BYTES], value[128];

	if (upgrade->to == HTTP_UPGRADE_SPDY)
		return header_value(head, "Upgrade", value, sizeof(value)) &&
				       strcasecmp(value, SPDY_PROTOCOL) == 0
			       ? 1
			       : -EPROTO;
	ws_accept(key, accept);
	if (!header_value(head, "Sec-WebSocket-Accept", value, sizeof(value)) ||
		strcmp(value, accept) != 0)
		return -EPROTO;
	if (!header_value(head, "Sec-WebSocket-Protocol", value, sizeof(value)) ||
		strcmp(value, upgrade->protocol) != 0)
		return -EPROTO;
	return 1;
}

/* Whether the refusal's body is there as far as it will come. */
static bool body_complete(const char *head, size_t have, bool at_end)
{
	char value[24];
	size_t want = 0;

	if (at_end)
		return true;
	if (!header_value(head, "Content-Length", value, sizeof(value)) || !*value)
		return false;
	for (const char *c = value; *c; c++) {
		if (!isdigit((unsigned char)*c) || want > SIZE_MAX / 10 - 10)
			return true; /* nonsense: what is there has to do */
		want = want * 10 + (size_t)(*c - '0');
	}
	return have >= want;
}

int http_upgrade_parse(struct buf *in, bool at_end, const struct http_upgrade *upgrade,
	const char *key, struct http_upgrade_answer *ret_answer)
{
	const char *text = buf_cstr(in);
	const char *end = text ? strstr(text, "\r\n\r\n") : NULL;
	size_t head_len = 0;
	auto_free char *head = NULL;
	struct http_upgrade_answer answer = {0};

	if (!end)
		return at_end || buf_room(in) <= 1 ? -EPROTO : 0;
	head_len = (size_t)(end - text) + 4;
	head = xstrndup(text, head_len);
	answer.status = parse_status(head);
	if (answer.status < 0)
		return answer.status;
	if (answer.status == 101) {
		int r = check_switch(head, upgrade, key);

		if (r < 0)
			return r;
		buf_consume(in, head_len);
	} else {
		answer.body = text + head_len;
		answer.body_len = buf_len(in) - head_len;
		if (!body_complete(head, answer.body_len, at_end || buf_room(in) <= 1))
			return 0;
	}
	*ret_answer = answer;
	return 1;
}

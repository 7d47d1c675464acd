/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/upgrade.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "tunnel/carrier.h"

/* Fields of a head: the API server adds a handful of X-Forwarded ones. */
#define FIELDS_MAX    64
#define WS_KEY_LENGTH 24

struct span {
	const char *data;
	size_t len;
};

size_t upgrade_head_len(const char *data, size_t len)
{
	const char *end = memmem(data, len, "\r\n\r\n", 4);

	return end ? (size_t)(end - data) + 4 : 0;
}

static bool span_is(struct span span, const char *text)
{
	return span.len == strlen(text) && strncasecmp(span.data, text, span.len) == 0;
}

static struct span trim(struct span span)
{
	while (span.len > 0 && (span.data[0] == ' ' || span.data[0] == '\t')) {
		span.data++;
		span.len--;
	}
	while (span.len > 0 && (span.data[span.len - 1] == ' ' || span.data[span.len - 1] == '\t'))
		span.len--;
	return span;
}

/* Cuts what is before `separator` off the front; false when nothing is left. */
static bool cut(struct span *rest, const char *separator, struct span *ret_part)
{
	size_t separator_len = strlen(separator);
	const char *end;

	if (!rest->data)
		return false;
	end = memmem(rest->data, rest->len, separator, separator_len);
	if (!end) {
		*ret_part = *rest;
		*rest = (struct span){NULL, 0};
		return true;
	}
	*ret_part = (struct span){rest->data, (size_t)(end - rest->data)};
	rest->len -= ret_part->len + separator_len;
	rest->data = end + separator_len;
	return true;
}

static bool list_has(struct span list, const char *token)
{
	struct span part;

	while (cut(&list, ",", &part))
		if (span_is(trim(part), token))
			return true;
	return false;
}

/* RFC 9110 5.6.2. */
static bool is_token(struct span span)
{
	for (size_t i = 0; i < span.len; i++) {
		char c = span.data[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			!(c && strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return span.len > 0;
}

/* Visible characters, space and tab: no line folding, no bare CR or LF, no NUL. */
static bool is_text(struct span span, bool space)
{
	for (size_t i = 0; i < span.len; i++) {
		unsigned char c = (unsigned char)span.data[i];

		if (c == 0x7f || c < ' ' || (!space && c == ' '))
			if (!space || c != '\t')
				return false;
	}
	return true;
}

static int take_request_line(struct span line, struct upgrade_request *request)
{
	struct span method, target, query;

	if (!cut(&line, " ", &method) || !cut(&line, " ", &target) || !line.data ||
		!is_token(method) || !is_text(target, false))
		return -EPROTO;
	if (line.len != 8 || memcmp(line.data, "HTTP/1.1", 8) != 0)
		return -EPROTO;
	if (method.len != 3 || memcmp(method.data, "GET", 3) != 0)
		return -EOPNOTSUPP;
	query = target;
	if (!cut(&query, "?", &target) || target.len == 0 || target.data[0] != '/' ||
		target.len >= sizeof(request->path))
		return -EPROTO;
	memcpy(request->path, target.data, target.len);
	request->path[target.len] = '\0';
	return 0;
}

static int take_key(struct span value, struct upgrade_request *request)
{
	if (value.len != WS_KEY_LENGTH || request->key[0] ||
		memcmp(value.data + WS_KEY_LENGTH - 2, "==", 2) != 0)
		return -EPROTO;
	memcpy(request->key, value.data, WS_KEY_LENGTH);
	request->key[WS_KEY_LENGTH] = '\0';
	return 0;
}

static int take_field(struct span line, struct upgrade_request *request, bool *connection)
{
	struct span name, value;

	if (!cut(&line, ":", &name) || !line.data || !is_token(name) || !is_text(line, true))
		return -EPROTO;
	value = trim(line);
	if (span_is(name, "upgrade"))
		request->websocket = list_has(value, "websocket");
	else if (span_is(name, "connection"))
		*connection = *connection || list_has(value, "upgrade");
	else if (span_is(name, "sec-websocket-version"))
		request->version_13 = span_is(value, "13");
	else if (span_is(name, "sec-websocket-protocol"))
		request->subprotocol = request->subprotocol || list_has(value, TUNNEL_SUBPROTOCOL);
	else if (span_is(name, "sec-websocket-key"))
		return take_key(value, request);
	else if (span_is(name, "transfer-encoding"))
		return -EPROTO;
	else if (span_is(name, "content-length") && !span_is(value, "0"))
		return -EPROTO;
	return 0;
}

int upgrade_parse(const char *head, size_t len, struct upgrade_request *ret_request)
{
	struct upgrade_request request = {0};
	struct span rest = {head, len}, line;
	bool connection = false;
	int r;

	if (len < 4 || !cut(&rest, "\r\n", &line))
		return -EPROTO;
	r = take_request_line(line, &request);
	if (r < 0)
		return r;
	for (int fields = 0; cut(&rest, "\r\n", &line) && line.len > 0; fields++) {
		r = fields < FIELDS_MAX ? take_field(line, &request, &connection) : -EPROTO;
		if (r < 0)
			return r;
	}
	request.websocket = request.websocket && connection;
	*ret_request = request;
	return 0;
}

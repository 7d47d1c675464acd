/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/capsule.h"

#include <errno.h>
#include <string.h>

#define CAPSULE_DATAGRAM 0x00
#define CONTEXT_UDP      0x00
/* The context id is one byte as long as it is 0; others are skipped unread. */
#define VALUE_MAX_BYTES (1 + CAPSULE_PAYLOAD_MAX_BYTES)

/* A variable-length integer of RFC 9000 16: its length, or 0 when there are too few bytes. */
static size_t get_varint(const uint8_t *data, size_t len, uint64_t *ret_value)
{
	size_t size = len > 0 ? (size_t)1 << (data[0] >> 6) : 1;
	uint64_t value;

	if (len < size)
		return 0;
	value = data[0] & 0x3f;
	for (size_t i = 1; i < size; i++)
		value = value << 8 | data[i];
	*ret_value = value;
	return size;
}

static size_t put_varint(uint8_t *out, uint64_t value)
{
	size_t size = value < 0x40 ? 1 : value < 0x4000 ? 2 : 4;

	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
	out[0] |= (uint8_t)(size == 1 ? 0x00 : size == 2 ? 0x40 : 0x80);
	return size;
}

void capsule_parser_init(struct capsule_parser *parser)
{
	*parser = (struct capsule_parser){.header_len = 0};
	buf_init(&parser->value, VALUE_MAX_BYTES);
}

void capsule_parser_done(struct capsule_parser *parser)
{
	buf_done(&parser->value);
}

/* Adds one byte to the header; true once type and length are known. */
static bool header_complete(struct capsule_parser *parser, uint8_t byte)
{
	uint64_t type = 0, length = 0;
	size_t type_len;

	parser->header[parser->header_len++] = byte;
	type_len = get_varint(parser->header, parser->header_len, &type);
	if (type_len == 0 ||
		get_varint(parser->header + type_len, parser->header_len - type_len, &length) == 0)
		return false;
	parser->header_len = 0;
	parser->value_left = length;
	parser->skip = type != CAPSULE_DATAGRAM;
	parser->in_value = true;
	return true;
}

static void deliver(struct capsule_parser *parser, capsule_fn on_datagram, void *user)
{
	size_t len = buf_len(&parser->value);
	const uint8_t *value;

	parser->in_value = false;
	if (len == 0) /* skipped, or without a context */
		return;
	value = buf_head(&parser->value);
	if (value[0] == CONTEXT_UDP)
		on_datagram(user, value + 1, len - 1);
	buf_consume(&parser->value, len);
}

int capsule_parse(struct capsule_parser *parser, const uint8_t *data, size_t len,
	capsule_fn on_datagram, void *user)
{
	while (len > 0) {
		size_t take;

		if (!parser->in_value) {
			bool complete = header_complete(parser, *data++);

			len--;
			if (!complete)
				continue;
			if (!parser->skip && parser->value_left > VALUE_MAX_BYTES)
				return -EPROTO;
		}
		take = (size_t)MIN((uint64_t)len, parser->value_left);
		if (!parser->skip && take > 0 && buf_append(&parser->value, data, take) < 0)
			return -EPROTO;
		data += take;
		len -= take;
		parser->value_left -= take;
		if (parser->value_left == 0)
			deliver(parser, on_datagram, user);
	}
	return 0;
}

size_t capsule_header(uint8_t out[static CAPSULE_HEADER_MAX_BYTES], size_t len)
{
	size_t used = put_varint(out, CAPSULE_DATAGRAM);

	used += put_varint(out + used, 1 + (uint64_t)len);
	out[used++] = CONTEXT_UDP;
	return used;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/ws.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#include "core/wire.h"

#define WS_OP_CONTINUATION 0x0
#define WS_FIN             0x80
#define WS_RSV             0x70
#define WS_MASKED          0x80
#define WS_CONTROL_MAX     125
/* RFC 6455 7.4.1: the code to report when the frame carries none. */
#define WS_CODE_NONE 1005
/* RFC 6455 1.3. */
#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

void ws_mask(
	uint8_t *out, const uint8_t *in, size_t len, const uint8_t mask[static 4], uint64_t pos)
{
	uint8_t turned[8];
	uint64_t word, key;
	size_t i;

	for (i = 0; i < sizeof(turned); i++)
		turned[i] = mask[(pos + i) & 3];
	memcpy(&key, turned, sizeof(key));
	for (i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, in + i, sizeof(word));
		word ^= key;
		memcpy(out + i, &word, sizeof(word));
	}
	for (; i < len; i++)
		out[i] = in[i] ^ turned[i & 7];
}

/* How many bytes the header has, as far as its first two bytes say. */
static size_t header_need(const struct ws_parser *parser)
{
	size_t need = 2;

	if (parser->header_len < 2)
		return need;
	if ((parser->header[1] & 0x7f) == 126)
		need += 2;
	else if ((parser->header[1] & 0x7f) == 127)
		need += 8;
	if (parser->header[1] & WS_MASKED)
		need += 4;
	return need;
}

static bool is_control(uint8_t opcode)
{
	return opcode & 0x8;
}

/* Opcode, FIN and RSV bits against what may come now. */
static int check_opcode(struct ws_parser *parser, uint8_t first)
{
	bool fin = first & WS_FIN;

	if (first & WS_RSV)
		return -EPROTO;
	switch (parser->opcode) {
	case WS_OP_CLOSE:
	case WS_OP_PING:
	case WS_OP_PONG:
		return fin ? 0 : -EPROTO;
	case WS_OP_BINARY:
		if (parser->in_message)
			return -EPROTO;
		break;
	case WS_OP_CONTINUATION:
		if (!parser->in_message)
			return -EPROTO;
		break;
	default:
		return -EPROTO;
	}
	parser->in_message = !fin;
	return 0;
}

static int take_header(struct ws_parser *parser)
{
	struct wire wire = wire_reader(parser->header, parser->header_len);
	uint8_t first = wire_get_u8(&wire), second = wire_get_u8(&wire);
	uint64_t len = second & 0x7f;

	parser->opcode = first & 0x0f;
	/* 5.1: a client masks every frame, a server none. */
	if (!(second & WS_MASKED) == (parser->role == WS_SERVER))
		return -EPROTO;
	if (len == 126) {
		len = wire_get_u16(&wire);
		if (len < 126)
			return -EPROTO;
	} else if (len == 127) {
		len = wire_get_u64(&wire);
		if (len <= UINT16_MAX || len > INT64_MAX)
			return -EPROTO;
	}
	if (is_control(parser->opcode) && len > WS_CONTROL_MAX)
		return -EPROTO;
	memset(parser->mask, 0, sizeof(parser->mask));
	if (second & WS_MASKED)
		wire_get(&wire, parser->mask, sizeof(parser->mask));
	parser->payload_left = len;
	parser->payload_pos = 0;
	parser->control_len = 0;
	parser->in_payload = true;
	return check_opcode(parser, first);
}

static int end_control(struct ws_parser *parser, const struct ws_events *events, void *user)
{
	uint16_t code = WS_CODE_NONE;

	if (parser->opcode == WS_OP_PING && events->on_ping)
		events->on_ping(user, parser->control, parser->control_len);
	if (parser->opcode != WS_OP_CLOSE)
		return 0;
	if (parser->control_len == 1)
		return -EPROTO;
	if (parser->control_len >= 2)
		code = (uint16_t)(parser->control[0] << 8 | parser->control[1]);
	parser->closed = true;
	if (events->on_close)
		events->on_close(user, code);
	return 0;
}

static int end_frame(struct ws_parser *parser, const struct ws_events *events, void *user)
{
	parser->in_payload = false;
	parser->header_len = 0;
	if (is_control(parser->opcode))
		return end_control(parser, events, user);
	if (!parser->in_message && events->on_message_end)
		events->on_message_end(user);
	return 0;
}

/* Takes the payload bytes that are there of the current frame; returns how many. */
static size_t take_payload(struct ws_parser *parser, uint8_t *data, size_t len,
	const struct ws_events *events, void *user)
{
	size_t take = len < parser->payload_left ? len : (size_t)parser->payload_left;

	if (take == 0)
		return 0;
	if (parser->role == WS_SERVER)
		ws_mask(data, data, take, parser->mask, parser->payload_pos);
	parser->payload_pos += take;
	parser->payload_left -= take;
	if (is_control(parser->opcode)) {
		memcpy(parser->control + parser->control_len, data, take);
		parser->control_len += take;
	} else {
		events->on_payload(user, data, take);
	}
	return take;
}

int ws_parse(struct ws_parser *parser, uint8_t *data, size_t len, const struct ws_events *events,
	void *user)
{
	size_t take;
	int r;

	while (len > 0 && !parser->closed) {
		if (!parser->in_payload) {
			take = MIN(len, header_need(parser) - parser->header_len);
			memcpy(parser->header + parser->header_len, data, take);
			parser->header_len += take;
			data += take;
			len -= take;
			if (parser->header_len < header_need(parser))
				continue;
			r = take_header(parser);
			if (r < 0)
				return r;
		}
		take = take_payload(parser, data, len, events, user);
		data += take;
		len -= take;
		if (parser->payload_left > 0)
			break;
		r = end_frame(parser, events, user);
		if (r < 0)
			return r;
	}
	return 0;
}

size_t ws_frame_header(
	uint8_t out[static WS_HEADER_MAX_BYTES], uint8_t opcode, uint64_t len, const uint8_t *mask)
{
	struct wire wire = wire_writer(out, WS_HEADER_MAX_BYTES);
	uint8_t masked = mask ? WS_MASKED : 0;

	wire_put_u8(&wire, WS_FIN | opcode);
	if (len < 126) {
		wire_put_u8(&wire, (uint8_t)(masked | len));
	} else if (len <= UINT16_MAX) {
		wire_put_u8(&wire, masked | 126);
		wire_put_u16(&wire, (uint16_t)len);
	} else {
		wire_put_u8(&wire, masked | 127);
		wire_put_u64(&wire, len);
	}
	if (mask)
		wire_put(&wire, mask, 4);
	return wire.pos;
}

void ws_accept(const char *key, char ret_accept[static WS_ACCEPT_BYTES])
{
	uint8_t digest[SHA_DIGEST_LENGTH] = {0};
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	/* A failure leaves a digest that no client accepts. */
	if (ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
		EVP_DigestUpdate(ctx, key, strlen(key)) == 1 &&
		EVP_DigestUpdate(ctx, WS_GUID, sizeof(WS_GUID) - 1) == 1)
		(void)EVP_DigestFinal_ex(ctx, digest, NULL);
	EVP_MD_CTX_free(ctx);
	(void)EVP_EncodeBlock((uint8_t *)ret_accept, digest, sizeof(digest));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire.h"

#include <string.h>

struct wire wire_writer(void *data, size_t len)
{
	return (struct wire){.data = data, .len = len};
}

struct wire wire_reader(const void *data, size_t len)
{
	union {
		const void *in;
		void *out;
	} unconst = {.in = data};

	return (struct wire){.data = unconst.out, .len = len};
}

void wire_put(struct wire *wire, const void *data, size_t len)
{
	if (wire->failed || len > wire->len - wire->pos) {
		wire->failed = true;
		return;
	}
	if (len > 0)
		memcpy(wire->data + wire->pos, data, len);
	wire->pos += len;
}

void wire_get(struct wire *wire, void *ret_data, size_t len)
{
	if (wire->failed || len > wire->len - wire->pos) {
		wire->failed = true;
		memset(ret_data, 0, len);
		return;
	}
	if (len > 0)
		memcpy(ret_data, wire->data + wire->pos, len);
	wire->pos += len;
}

static void put_be(struct wire *wire, uint64_t value, unsigned int bytes)
{
	uint8_t out[8];

	for (unsigned int i = 0; i < bytes; i++)
		out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
	wire_put(wire, out, bytes);
}

static uint64_t get_be(struct wire *wire, unsigned int bytes)
{
	uint8_t in[8];
	uint64_t value = 0;

	wire_get(wire, in, bytes);
	for (unsigned int i = 0; i < bytes; i++)
		value = value << 8 | in[i];
	return value;
}

void wire_put_u8(struct wire *wire, uint8_t value)
{
	put_be(wire, value, 1);
}

void wire_put_u16(struct wire *wire, uint16_t value)
{
	put_be(wire, value, 2);
}

void wire_put_u32(struct wire *wire, uint32_t value)
{
	put_be(wire, value, 4);
}

void wire_put_u64(struct wire *wire, uint64_t value)
{
	put_be(wire, value, 8);
}

uint8_t wire_get_u8(struct wire *wire)
{
	return (uint8_t)get_be(wire, 1);
}

uint16_t wire_get_u16(struct wire *wire)
{
	return (uint16_t)get_be(wire, 2);
}

uint32_t wire_get_u32(struct wire *wire)
{
	return (uint32_t)get_be(wire, 4);
}

uint64_t wire_get_u64(struct wire *wire)
{
	return get_be(wire, 8);
}

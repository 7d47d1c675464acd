/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/wire.h - a cursor over bytes with a sticky error (as Knot DNS's wire_ctx)
 *
 * Reads past the end return 0 and set the error; writes past the end are dropped and set it. A
 * parser reads all its fields and asks wire_ok() once. Integers are big-endian.
 */
#ifndef CORE_WIRE_H
#define CORE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

struct wire {
	uint8_t *data;
	size_t len, pos;
	bool failed;
};

struct wire wire_writer(void *data, size_t len);
struct wire wire_reader(const void *data, size_t len); /* must not be written to */

static inline bool wire_ok(const struct wire *wire)
{
	return !wire->failed;
}

static inline size_t wire_left(const struct wire *wire)
{
	return wire->failed ? 0 : wire->len - wire->pos;
}

void wire_put_u8(struct wire *wire, uint8_t value);
void wire_put_u16(struct wire *wire, uint16_t value);
void wire_put_u32(struct wire *wire, uint32_t value);
void wire_put_u64(struct wire *wire, uint64_t value);
void wire_put(struct wire *wire, const void *data, size_t len);
uint8_t wire_get_u8(struct wire *wire);
uint16_t wire_get_u16(struct wire *wire);
uint32_t wire_get_u32(struct wire *wire);
uint64_t wire_get_u64(struct wire *wire);
/* Copies len bytes out; zeroes when there are fewer. */
void wire_get(struct wire *wire, void *ret_data, size_t len);

#endif /* CORE_WIRE_H */

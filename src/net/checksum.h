/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/checksum.h - the Internet checksum (RFC 1071) and its incremental update (RFC 1624)
 *
 * Sums are kept as the 16-bit words lie in memory: the ones' complement sum does not depend on the
 * byte order (RFC 1071 section 2 B), so nothing here is ever swapped. A "sum" is not complemented;
 * a "checksum" is its complement, as headers carry it.
 */
#ifndef NET_CHECKSUM_H
#define NET_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Adds len bytes; an odd last byte is padded with zero, so only the last piece may be odd. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len);

static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffffU) + (sum >> 32);
	sum = (sum & 0xffffffffU) + (sum >> 32);
	sum = (sum & 0xffffU) + (sum >> 16);
	sum = (sum & 0xffffU) + (sum >> 16);
	return (uint16_t)((sum & 0xffffU) + (sum >> 16));
}

static inline uint16_t checksum_finish(uint64_t sum)
{
	return (uint16_t)~checksum_fold(sum);
}

/* What replacing bytes summing to old_sum by bytes summing to new_sum adds to a sum. */
static inline uint16_t checksum_delta(uint16_t old_sum, uint16_t new_sum)
{
	return checksum_fold((uint64_t)new_sum + (uint16_t)~old_sum);
}

static inline uint16_t checksum_sum_adjust(uint16_t sum, uint16_t delta)
{
	return checksum_fold((uint64_t)sum + delta);
}

/* RFC 1624 equation 3. */
static inline uint16_t checksum_adjust(uint16_t checksum, uint16_t delta)
{
	return (uint16_t)~checksum_fold((uint64_t)(uint16_t)~checksum + delta);
}

#endif /* NET_CHECKSUM_H */

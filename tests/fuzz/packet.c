/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: net */
/* Every accessor of an accepted packet stays within its bytes (ASan), and offsets are in order. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	struct packet_view view;
	struct ip_addr src, dst;
	uint32_t used = 0;

	if (!copy)
		abort();
	memcpy(copy, data, size);
	if (packet_parse(copy, size, &view) == PACKET_OK) {
		if (view.len > size || view.transport > view.payload || view.payload > view.len)
			abort();
		src = packet_src(&view);
		dst = packet_dst(&view);
		used += src.bytes[0] + dst.bytes[15];
		if (view.protocol == IPPROTO_TCP)
			used += packet_tcp_end(&view) + packet_tcp_ack(&view);
		if (view.protocol == IPPROTO_TCP || view.protocol == IPPROTO_UDP)
			used += packet_src_port(&view) + packet_dst_port(&view);
		for (size_t i = view.payload; i < view.len; i++)
			used += view.ip[i];
	}
	free(copy);
	return used == UINT32_MAX; /* 0 or 1: libFuzzer keeps neither apart, but the reads stay */
}

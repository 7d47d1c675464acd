/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: resolv */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "resolv/resolvconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct resolv_conf conf;

	resolv_conf_parse((const char *)data, size, &conf);
	if (conf.nameserver_count < 1 || conf.nameserver_count > RESOLV_NAMESERVERS ||
		conf.search_count > RESOLV_SEARCH || conf.ndots > 15)
		abort();
	for (unsigned int i = 0; i < conf.search_count; i++) {
		size_t len = strnlen(conf.search[i], sizeof(conf.search[i]));

		if (len == 0 || len == sizeof(conf.search[i]))
			abort();
	}
	return 0;
}

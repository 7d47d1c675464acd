/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/routes.h"

#include <errno.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>

#include "client/userd/subnets.h"
#include "core/alloc.h"
#include "core/err.h"

/* As printed by the kernel, with room to spare. */
#define LINE_BYTES 512

static struct ip_addr addr4(unsigned int network_order)
{
	uint32_t value = network_order;

	return ip_addr_from_bytes(AF_INET, &value);
}

static bool hex_addr6(const char *text, struct ip_addr *ret_addr)
{
	uint8_t bytes[16];

	if (strlen(text) != 32)
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		unsigned int value = 0;

		if (sscanf(text + 2 * i, "%2x", &value) != 1)
			return false;
		bytes[i] = (uint8_t)value;
	}
	*ret_addr = ip_addr_from_bytes(AF_INET6, bytes);
	return true;
}

bool routes_parse4(const char *line, struct route *ret_route)
{
	unsigned int destination = 0, gateway = 0, flags = 0, mask = 0;
	struct route route = {0};

	_Static_assert(sizeof(route.device) == 16, "the width in the format below");
	if (sscanf(line, "%15s %8x %8x %x %*s %*s %*s %8x", route.device, &destination, &gateway,
		    &flags, &mask) != 5)
		return false;
	route.prefix.addr = addr4(destination);
	route.prefix.len = (uint8_t)__builtin_popcount(mask);
	if (flags & RTF_GATEWAY)
		route.gateway = addr4(gateway);
	if (!(flags & RTF_UP) || strcmp(route.device, "lo") == 0 ||
		!ip_prefix_valid(&route.prefix) || route.prefix.addr.bytes[0] >= 224)
		return false;
	*ret_route = route;
	return true;
}

bool routes_parse6(const char *line, struct route *ret_route)
{
	char destination[33], gateway[33];
	unsigned int len = 0, flags = 0;
	struct route route = {0};

	if (sscanf(line, "%32s %x %*s %*s %32s %*s %*s %*s %x %15s", destination, &len, gateway,
		    &flags, route.device) != 5 ||
		len > 128 || !hex_addr6(destination, &route.prefix.addr))
		return false;
	route.prefix.len = (uint8_t)len;
	if ((flags & RTF_GATEWAY) && !hex_addr6(gateway, &route.gateway))
		return false;
	if (!(flags & RTF_UP) || strcmp(route.device, "lo") == 0 ||
		!ip_prefix_valid(&route.prefix) || route.prefix.addr.bytes[0] == 0xff ||
		(route.prefix.addr.bytes[0] == 0xfe && (route.prefix.addr.bytes[1] & 0xc0) == 0x80))
		return false;
	*ret_route = route;
	return true;
}

static int read_file(const char *path, bool (*parse)(const char *, struct route *),
	struct route_list *list, struct err *err)
{
	FILE *file = fopen(path, "re");
	char line[LINE_BYTES];

	/* No file: this kernel has no such family. */
	if (!file && errno == ENOENT)
		return 0;
	if (!file)
		return err_set_errno(err, -errno, "%s", path);
	while (list->count < ROUTES_MAX && fgets(line, sizeof(line), file)) {
		if (parse(line, &list->items[list->count]))
			list->count++;
	}
	(void)fclose(file);
	return 0;
}

int routes_read(struct route_list *ret_list, struct err *err)
{
	struct route_list list = {.items = xcalloc(ROUTES_MAX, sizeof(struct route))};
	int r = read_file("/proc/net/route", routes_parse4, &list, err);

	if (r == 0)
		r = read_file("/proc/net/ipv6_route", routes_parse6, &list, err);
	if (r < 0) {
		routes_done(&list);
		return r;
	}
	*ret_list = list;
	return 0;
}

void routes_done(struct route_list *list)
{
	free(list->items);
	memset(list, 0, sizeof(*list));
}

bool route_is_default(const struct route *route)
{
	return route->prefix.len <= 1;
}

const struct route *routes_conflict(const struct route_list *list, const struct prefix_set *set,
	const char *own_device, struct ip_prefix *ret_prefix)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct route *route = &list->items[i];
		const struct ip_prefix *overlap;

		if (route_is_default(route) || strcmp(route->device, own_device) == 0)
			continue;
		overlap = prefix_set_overlap(set, &route->prefix);
		if (overlap) {
			*ret_prefix = *overlap;
			return route;
		}
	}
	return NULL;
}

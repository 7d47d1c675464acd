/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/routes.h"

#include <errno.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"

/* As printed by the kernel, with room to spare. */
#define LINE_BYTES 512

/* Both files have their fields in fixed order, separated by blanks. */
#define FIELDS_MAX 16

struct fields {
	char line[LINE_BYTES];
	const char *items[FIELDS_MAX];
	size_t count;
};

static void split(const char *line, struct fields *fields)
{
	char *cursor = fields->line, *field;

	fields->count = 0;
	(void)snprintf(fields->line, sizeof(fields->line), "%s", line);
	while (fields->count < FIELDS_MAX && (field = strsep(&cursor, " \t\n"))) {
		if (*field)
			fields->items[fields->count++] = field;
	}
}

/* A hexadecimal number of at most `digits` digits and nothing else. */
static bool parse_hex(const char *text, size_t digits, uint32_t *ret_value)
{
	static const char alphabet[] = "0123456789abcdef";
	uint32_t value = 0;

	if (!*text || strlen(text) > digits)
		return false;
	for (; *text; text++) {
		const char *at = strchr(alphabet, *text | ((*text >= 'A') << 5));

		if (!at)
			return false;
		value = value << 4 | (uint32_t)(at - alphabet);
	}
	*ret_value = value;
	return true;
}

/* The kernel prints the address as the number it is in memory. */
static bool parse_addr4(const char *text, struct ip_addr *ret_addr)
{
	uint32_t value;

	if (!parse_hex(text, 8, &value))
		return false;
	*ret_addr = ip_addr_from_bytes(AF_INET, &value);
	return true;
}

static bool parse_addr6(const char *text, struct ip_addr *ret_addr)
{
	uint8_t bytes[16];

	if (strlen(text) != 2 * sizeof(bytes))
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		const char pair[] = {text[2 * i], text[2 * i + 1], '\0'};
		uint32_t value;

		if (!parse_hex(pair, 2, &value))
			return false;
		bytes[i] = (uint8_t)value;
	}
	*ret_addr = ip_addr_from_bytes(AF_INET6, bytes);
	return true;
}

static bool set_device(struct route *route, const char *name)
{
	if (strlen(name) >= sizeof(route->device) || strcmp(name, "lo") == 0)
		return false;
	(void)snprintf(route->device, sizeof(route->device), "%s", name);
	return true;
}

/* Iface Destination Gateway Flags RefCnt Use Metric Mask ... */
bool routes_parse4(const char *line, struct route *ret_route)
{
	struct route route = {0};
	struct fields fields = {.count = 0};
	uint32_t flags, mask;

	split(line, &fields);
	if (fields.count < 8 || !set_device(&route, fields.items[0]) ||
		!parse_addr4(fields.items[1], &route.prefix.addr) ||
		!parse_addr4(fields.items[2], &route.gateway) ||
		!parse_hex(fields.items[3], 8, &flags) || !parse_hex(fields.items[7], 8, &mask))
		return false;
	route.prefix.len = (uint8_t)__builtin_popcount(mask);
	if (!(flags & RTF_GATEWAY))
		route.gateway = (struct ip_addr){0};
	if (!(flags & RTF_UP) || !ip_prefix_valid(&route.prefix) ||
		route.prefix.addr.bytes[0] >= 224)
		return false;
	*ret_route = route;
	return true;
}

/* ff00::/8 and fe80::/10 */
static bool is_special6(const struct ip_addr *addr)
{
	return addr->bytes[0] == 0xff ||
	       (addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80);
}

/* destination length source length next-hop metric refcnt use flags device */
bool routes_parse6(const char *line, struct route *ret_route)
{
	struct route route = {0};
	struct fields fields = {.count = 0};
	uint32_t len, flags;

	split(line, &fields);
	if (fields.count < 10 || !set_device(&route, fields.items[9]) ||
		!parse_addr6(fields.items[0], &route.prefix.addr) ||
		!parse_hex(fields.items[1], 2, &len) || len > 128 ||
		!parse_addr6(fields.items[4], &route.gateway) ||
		!parse_hex(fields.items[8], 8, &flags))
		return false;
	route.prefix.len = (uint8_t)len;
	if (!(flags & RTF_GATEWAY))
		route.gateway = (struct ip_addr){0};
	if (!(flags & RTF_UP) || !ip_prefix_valid(&route.prefix) || is_special6(&route.prefix.addr))
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "tun/policy.h"

#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "core/err.h"
#include "tun/device.h"

#define MTU_MIN 1280 /* of IPv6, RFC 8200 5 */
#define MTU_MAX 65535
/* RFC 1035 2.3.4 */
#define LABEL_MAX      63
#define NAME_MAX_CHARS 253

enum special_use {
	SPECIAL_LOOPBACK, /* the only one that a nameserver may have */
	SPECIAL_OTHER
};

static const struct {
	struct ip_prefix prefix;
	enum special_use use;
	const char *what;
} specials[] = {
	{{{AF_INET, {0}}, 8}, SPECIAL_OTHER, "this network"},
	{{{AF_INET, {127}}, 8}, SPECIAL_LOOPBACK, "loopback"},
	{{{AF_INET, {169, 254}}, 16}, SPECIAL_OTHER, "link-local"},
	{{{AF_INET, {224}}, 4}, SPECIAL_OTHER, "multicast"},
	{{{AF_INET, {240}}, 4}, SPECIAL_OTHER, "reserved"},
	{{{AF_INET6, {0}}, 128}, SPECIAL_OTHER, "unspecified"},
	{{{AF_INET6, {[15] = 1}}, 128}, SPECIAL_LOOPBACK, "loopback"},
	{{{AF_INET6, {[10] = 0xff, 0xff}}, 96}, SPECIAL_OTHER, "IPv4-mapped"},
	{{{AF_INET6, {0xfe, 0x80}}, 10}, SPECIAL_OTHER, "link-local"},
	{{{AF_INET6, {0xff}}, 8}, SPECIAL_OTHER, "multicast"},
};

/* Refuses a prefix that touches special space. */
static int check_special(const struct ip_prefix *prefix, bool loopback_allowed, struct err *err)
{
	char text[ADDR_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(specials); i++) {
		if (loopback_allowed && specials[i].use == SPECIAL_LOOPBACK)
			continue;
		if (ip_prefix_overlaps(prefix, &specials[i].prefix))
			return err_set(err, -EPERM, ERR_PERMISSION, "%s touches %s addresses",
				ip_prefix_format(prefix, text), specials[i].what);
	}
	return 0;
}

/* The kernel's own rule (dev_valid_name) and our prefix, so that no name of the system's is taken.
 */
static int check_name(const char name[static IFNAMSIZ], struct err *err)
{
	size_t len = strnlen(name, IFNAMSIZ);

	if (len == 0)
		return 0;
	if (len == IFNAMSIZ || strncmp(name, "tel", 3) != 0)
		return err_set(err, -EINVAL, ERR_USAGE, "a device name begins with \"tel\"");
	for (size_t i = 0; i < len; i++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", name[i]))
			return err_set(err, -EINVAL, ERR_USAGE,
				"a device name has lower case, digits, - and _ only");
	}
	return 0;
}

static int check_own(const struct ip_prefix *own, uint8_t family, uint8_t min_len, struct err *err)
{
	struct ip_prefix host = {.addr = own->addr, .len = (uint8_t)(8 * ip_addr_len(&own->addr))};
	char text[ADDR_TEXT_BYTES];

	if (own->addr.family == 0)
		return 0;
	if (own->addr.family != family || own->len > host.len)
		return err_set(err, -EINVAL, ERR_INTERNAL, "an address of the wrong family");
	if (own->len < min_len)
		return err_set(err, -EPERM, ERR_PERMISSION,
			"%s: a device's subnet is /%u or longer", ip_prefix_format(own, text),
			min_len);
	return check_special(&host, false, err);
}

int policy_check_device(const struct tun_config *config, struct err *err)
{
	int r = check_name(config->name, err);

	if (r < 0)
		return r;
	if (config->mtu < MTU_MIN || config->mtu > MTU_MAX)
		return err_set(err, -EINVAL, ERR_USAGE, "MTU %u is not in %d..%d", config->mtu,
			MTU_MIN, MTU_MAX);
	r = check_own(&config->addr4, AF_INET, POLICY_OWN_MIN_LEN4, err);
	return r < 0 ? r : check_own(&config->addr6, AF_INET6, POLICY_OWN_MIN_LEN6, err);
}

/* The on-link subnet of an address: its prefix without host bits. */
static struct ip_prefix subnet_of(const struct ip_prefix *own)
{
	struct ip_prefix subnet = *own;

	for (unsigned int bit = own->len; bit < 8 * sizeof(subnet.addr.bytes); bit++)
		subnet.addr.bytes[bit / 8] &= (uint8_t)~(0x80U >> (bit % 8));
	return subnet;
}

static int check_route(
	const struct ip_prefix *prefix, const struct tun_config *device, struct err *err)
{
	const struct ip_prefix *own =
		prefix->addr.family == AF_INET ? &device->addr4 : &device->addr6;
	uint8_t min_len = prefix->addr.family == AF_INET ? POLICY_MIN_LEN4 : POLICY_MIN_LEN6;
	char text[ADDR_TEXT_BYTES];
	struct ip_prefix subnet;

	if (!ip_prefix_valid(prefix))
		return err_set(err, -EINVAL, ERR_INTERNAL, "%s is no prefix",
			ip_prefix_format(prefix, text));
	if (prefix->len < min_len)
		return err_set(err, -EPERM, ERR_PERMISSION, "%s: routes are /%u or longer",
			ip_prefix_format(prefix, text), min_len);
	if (own->addr.family) {
		subnet = subnet_of(own);
		if (ip_prefix_overlaps(prefix, &subnet))
			return err_set(err, -EPERM, ERR_PERMISSION,
				"%s overlaps the device's own subnet",
				ip_prefix_format(prefix, text));
	}
	return check_special(prefix, false, err);
}

int policy_check_routes(const struct ip_prefix *prefixes, size_t count,
	const struct tun_config *device, struct err *err)
{
	uint64_t addresses4 = 0;

	for (size_t i = 0; i < count; i++) {
		int r = check_route(&prefixes[i], device, err);

		if (r < 0)
			return r;
		if (prefixes[i].addr.family == AF_INET)
			addresses4 += UINT64_C(1) << (32 - prefixes[i].len);
	}
	if (addresses4 > POLICY_MAX_ADDRESSES4)
		return err_set(err, -EPERM, ERR_PERMISSION,
			"routes for %llu addresses, at most %llu", (unsigned long long)addresses4,
			(unsigned long long)POLICY_MAX_ADDRESSES4);
	return 0;
}

int policy_check_nameserver(const struct ip_addr *addr, struct err *err)
{
	struct ip_prefix host = {.addr = *addr};

	if (addr->family != AF_INET && addr->family != AF_INET6)
		return err_set(err, -EINVAL, ERR_INTERNAL, "a nameserver of no family");
	host.len = (uint8_t)(8 * ip_addr_len(addr));
	/* Clouds have theirs at 169.254.169.254: link-local IPv4 is fine here. */
	if (addr->family == AF_INET && addr->bytes[0] == 169 && addr->bytes[1] == 254)
		return 0;
	return check_special(&host, true, err);
}

/* Labels of 1 to 63 letters, digits, '-' and '_', 253 characters in all: a NUL ends it. */
static bool is_host_name(const char *name)
{
	size_t label = 0, len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		bool dot = name[i] == '.';

		if (dot ? label == 0 : !isalnum((unsigned char)name[i]) && !strchr("-_", name[i]))
			return false;
		label = dot ? 0 : label + 1;
		if (label > LABEL_MAX)
			return false;
	}
	return label > 0 && len <= NAME_MAX_CHARS;
}

int policy_check_domains(const char *domains, size_t bytes, struct err *err)
{
	size_t count = 0;

	for (size_t at = 0; at < bytes; at += strlen(domains + at) + 1) {
		const char *name = domains + at + (domains[at] == '~');

		if (!is_host_name(name))
			return err_set(err, -EINVAL, ERR_INTERNAL, "\"%.64s\" is no domain", name);
		if (++count > POLICY_DOMAINS)
			return err_set(
				err, -E2BIG, ERR_INTERNAL, "more than %d domains", POLICY_DOMAINS);
	}
	return 0;
}

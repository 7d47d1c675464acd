/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/root_proto.h"

#include <errno.h>
#include <string.h>

#include "core/wire.h"

#define ROOT_MAGIC 0x54

/* A row's functions read or write the payload; a decoder says false for a value without meaning,
 * the cursor remembers a short payload by itself. */
struct root_codec {
	void (*put)(struct wire *wire, const struct root_message *msg);
	bool (*get)(struct wire *wire, struct root_message *msg);
};

static uint8_t family_to_wire(uint8_t family)
{
	return family == AF_INET ? 4 : family == AF_INET6 ? 6 : 0;
}

/* An unknown one becomes a family that nobody has, not 0, which means "none". */
static bool family_from_wire(uint8_t wire_family, uint8_t *ret_family)
{
	switch (wire_family) {
	case 0:
		*ret_family = 0;
		return false;
	case 4:
		*ret_family = AF_INET;
		return true;
	case 6:
		*ret_family = AF_INET6;
		return true;
	default:
		*ret_family = UINT8_MAX;
		return false;
	}
}

/* Family, then 16 bytes; an IPv4 address's last twelve are zero, so each value has one form. */
static void put_addr(struct wire *wire, const struct ip_addr *addr)
{
	wire_put_u8(wire, family_to_wire(addr->family));
	wire_put(wire, addr->bytes, sizeof(addr->bytes));
}

static bool zero_from(const struct ip_addr *addr, size_t from)
{
	for (size_t i = from; i < sizeof(addr->bytes); i++) {
		if (addr->bytes[i])
			return false;
	}
	return true;
}

static bool get_addr(struct wire *wire, struct ip_addr *addr)
{
	bool known = family_from_wire(wire_get_u8(wire), &addr->family);

	wire_get(wire, addr->bytes, sizeof(addr->bytes));
	return known && (addr->family == AF_INET6 || zero_from(addr, 4));
}

static void put_prefix(struct wire *wire, const struct ip_prefix *prefix)
{
	put_addr(wire, &prefix->addr);
	wire_put_u8(wire, prefix->len);
}

/* Host bits may be set: a TUN's own address comes as a prefix too. */
static bool get_prefix(struct wire *wire, struct ip_prefix *prefix)
{
	bool known = get_addr(wire, &prefix->addr);

	prefix->len = wire_get_u8(wire);
	return known && prefix->len <= 8 * ip_addr_len(&prefix->addr);
}

/* Family 0 with nothing else set: none. */
static bool get_optional_prefix(struct wire *wire, struct ip_prefix *prefix)
{
	if (get_prefix(wire, prefix))
		return true;
	return prefix->addr.family == 0 && prefix->len == 0 && zero_from(&prefix->addr, 0);
}

/* A fixed field of printable ASCII, padded with NUL, at least one of them. */
static bool get_text(struct wire *wire, char *text, size_t size)
{
	size_t len;

	wire_get(wire, text, size);
	len = strnlen(text, size);
	for (size_t i = 0; i < size; i++) {
		if (i < len ? text[i] <= ' ' || text[i] > '~' : text[i] != '\0')
			return false;
	}
	return len < size;
}

static void put_hello(struct wire *wire, const struct root_message *msg)
{
	wire_put_u16(wire, msg->hello.protocol);
	wire_put(wire, msg->hello.version, sizeof(msg->hello.version));
}

static bool get_hello(struct wire *wire, struct root_message *msg)
{
	msg->hello.protocol = wire_get_u16(wire);
	return get_text(wire, msg->hello.version, sizeof(msg->hello.version));
}

static void put_tun(struct wire *wire, const struct root_message *msg)
{
	wire_put(wire, msg->tun.name, sizeof(msg->tun.name));
	wire_put_u32(wire, msg->tun.mtu);
	put_prefix(wire, &msg->tun.addr4);
	put_prefix(wire, &msg->tun.addr6);
}

static bool get_tun(struct wire *wire, struct root_message *msg)
{
	bool ok = get_text(wire, msg->tun.name, sizeof(msg->tun.name));

	msg->tun.mtu = wire_get_u32(wire);
	ok = get_optional_prefix(wire, &msg->tun.addr4) && ok;
	return get_optional_prefix(wire, &msg->tun.addr6) && ok;
}

static void put_tun_reply(struct wire *wire, const struct root_message *msg)
{
	wire_put_u32(wire, msg->tun_reply.ifindex);
	wire_put(wire, msg->tun_reply.name, sizeof(msg->tun_reply.name));
	wire_put_u8(wire, msg->tun_reply.ipv6);
}

static bool get_tun_reply(struct wire *wire, struct root_message *msg)
{
	bool ok;
	uint8_t ipv6;

	msg->tun_reply.ifindex = wire_get_u32(wire);
	ok = get_text(wire, msg->tun_reply.name, sizeof(msg->tun_reply.name));
	ipv6 = wire_get_u8(wire);
	msg->tun_reply.ipv6 = ipv6 == 1;
	return ok && ipv6 <= 1;
}

static void put_routes(struct wire *wire, const struct root_message *msg)
{
	wire_put_u16(wire, msg->routes.count);
	for (unsigned int i = 0; i < MIN(msg->routes.count, LIMIT_ROOT_PREFIXES); i++)
		put_prefix(wire, &msg->routes.prefixes[i]);
}

static bool get_routes(struct wire *wire, struct root_message *msg)
{
	bool ok = true;

	msg->routes.count = wire_get_u16(wire);
	if (msg->routes.count > LIMIT_ROOT_PREFIXES)
		return false;
	for (unsigned int i = 0; ok && i < msg->routes.count; i++)
		ok = get_prefix(wire, &msg->routes.prefixes[i]);
	return ok;
}

static void put_dns(struct wire *wire, const struct root_message *msg)
{
	wire_put_u16(wire, msg->dns.port);
	wire_put_u8(wire, msg->dns.count);
	for (unsigned int i = 0; i < MIN(msg->dns.count, LIMIT_ROOT_NAMESERVERS); i++)
		put_addr(wire, &msg->dns.nameservers[i]);
}

static bool get_dns(struct wire *wire, struct root_message *msg)
{
	bool ok = true;

	msg->dns.port = wire_get_u16(wire);
	msg->dns.count = wire_get_u8(wire);
	if (msg->dns.count > LIMIT_ROOT_NAMESERVERS)
		return false;
	for (unsigned int i = 0; ok && i < msg->dns.count; i++)
		ok = get_addr(wire, &msg->dns.nameservers[i]);
	return ok;
}

static void put_resolved(struct wire *wire, const struct root_message *msg)
{
	wire_put_u16(wire, msg->resolved.port);
	wire_put_u16(wire, msg->resolved.bytes);
	wire_put(wire, msg->resolved.domains, MIN(msg->resolved.bytes, LIMIT_ROOT_DOMAIN_BYTES));
}

/* Names of at least one character, printable ASCII, the last with its NUL too. */
static bool get_resolved(struct wire *wire, struct root_message *msg)
{
	char *domains = msg->resolved.domains;
	uint16_t bytes;

	msg->resolved.port = wire_get_u16(wire);
	bytes = wire_get_u16(wire);
	if (bytes > sizeof(msg->resolved.domains))
		return false;
	msg->resolved.bytes = bytes;
	wire_get(wire, domains, bytes);
	for (size_t i = 0; i < bytes; i++) {
		if (domains[i] ? domains[i] <= ' ' || domains[i] > '~' : i == 0 || !domains[i - 1])
			return false;
	}
	return bytes == 0 || domains[bytes - 1] == '\0';
}

static void put_socket(struct wire *wire, const struct root_message *msg)
{
	wire_put_u8(wire, family_to_wire((uint8_t)msg->socket.family));
	wire_put_u8(wire, msg->socket.type == SOCK_STREAM ? 1 : 2);
}

static bool get_socket(struct wire *wire, struct root_message *msg)
{
	uint8_t family, type;
	bool known = family_from_wire(wire_get_u8(wire), &family);

	type = wire_get_u8(wire);
	msg->socket.family = family;
	msg->socket.type = type == 1 ? SOCK_STREAM : SOCK_DGRAM;
	return known && (type == 1 || type == 2);
}

static void put_nothing(struct wire *wire, const struct root_message *msg)
{
	(void)wire;
	(void)msg;
}

static bool get_nothing(struct wire *wire, struct root_message *msg)
{
	(void)wire;
	(void)msg;
	return true;
}

static void put_error(struct wire *wire, const struct root_message *msg)
{
	size_t len = strnlen(msg->error.msg, sizeof(msg->error.msg) - 1);

	wire_put_u32(wire, (uint32_t)-msg->error.code);
	wire_put_u8(wire, (uint8_t)msg->error.kind);
	wire_put_u16(wire, (uint16_t)len);
	wire_put(wire, msg->error.msg, len);
}

static bool get_error(struct wire *wire, struct root_message *msg)
{
	uint32_t code = wire_get_u32(wire);
	uint8_t kind = wire_get_u8(wire);
	uint16_t len = wire_get_u16(wire);

	if (code == 0 || code > 4095 || kind >= ERR_KIND_COUNT || len >= sizeof(msg->error.msg))
		return false;
	msg->error.code = -(int)code;
	msg->error.kind = (enum err_kind)kind;
	wire_get(wire, msg->error.msg, len);
	return !memchr(msg->error.msg, '\0', len);
}

static const struct root_codec codecs[] = {
	[ROOT_HELLO] = {put_hello, get_hello},
	[ROOT_TUN] = {put_tun, get_tun},
	[ROOT_ROUTES] = {put_routes, get_routes},
	[ROOT_DNS] = {put_dns, get_dns},
	[ROOT_SOCKET] = {put_socket, get_socket},
	[ROOT_RESOLVED] = {put_resolved, get_resolved},
	[ROOT_SHORTCUT] = {put_nothing, get_nothing},
	[ROOT_HELLO | ROOT_REPLY] = {put_hello, get_hello},
	[ROOT_TUN | ROOT_REPLY] = {put_tun_reply, get_tun_reply},
	[ROOT_ROUTES | ROOT_REPLY] = {put_nothing, get_nothing},
	[ROOT_DNS | ROOT_REPLY] = {put_nothing, get_nothing},
	[ROOT_SOCKET | ROOT_REPLY] = {put_nothing, get_nothing},
	[ROOT_RESOLVED | ROOT_REPLY] = {put_nothing, get_nothing},
	[ROOT_SHORTCUT | ROOT_REPLY] = {put_nothing, get_nothing},
	[ROOT_ERROR] = {put_error, get_error},
};
_Static_assert(ARRAY_SIZE(codecs) == UINT8_MAX + 1, "indexed by the type's byte");

int root_message_encode(const struct root_message *msg, void *out, size_t cap)
{
	struct wire wire = wire_writer(out, cap);

	if (!codecs[msg->type].put)
		return -EINVAL;
	wire_put_u8(&wire, ROOT_MAGIC);
	wire_put_u8(&wire, msg->type);
	wire_put_u16(&wire, 0);
	wire_put_u32(&wire, msg->id);
	codecs[msg->type].put(&wire, msg);
	return wire_ok(&wire) ? (int)wire.pos : -EINVAL;
}

int root_message_decode(const void *data, size_t len, struct root_message *ret_msg, struct err *err)
{
	struct wire wire = wire_reader(data, len);
	uint8_t magic = wire_get_u8(&wire);
	uint8_t type = wire_get_u8(&wire);
	uint16_t reserved = wire_get_u16(&wire);
	uint32_t id = wire_get_u32(&wire);

	if (!wire_ok(&wire) || magic != ROOT_MAGIC || reserved != 0)
		return err_set(err, -EPROTO, ERR_INTERNAL, "%zu bytes that are no message", len);
	if (!codecs[type].get)
		return err_set(err, -EPROTO, ERR_INTERNAL, "message of unknown type %u", type);
	memset(ret_msg, 0, sizeof(*ret_msg));
	ret_msg->type = type;
	ret_msg->id = id;
	if (!codecs[type].get(&wire, ret_msg) || !wire_ok(&wire) || wire_left(&wire) > 0)
		return err_set(err, -EPROTO, ERR_INTERNAL,
			"malformed message of type %u, %zu bytes", type, len);
	return 0;
}

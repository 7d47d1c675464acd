/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/service_answer.h"

#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/wire.h"
#include "dns/arpa.h"

#define TYPE_SOA 6
#define TYPE_OPT 41
#define CLASS_IN 1
/* CoreDNS's, whose plugin kubernetes has "ttl 5" unless told otherwise; the SOA's too. */
#define TTL_S       5
#define SOA_REFRESH 7200
#define SOA_RETRY   1800
#define SOA_EXPIRE  86400
/* Bits of the header's second 16 (RFC 1035 4.1.1). */
#define FLAGS_QR  0x8000
#define FLAGS_AA  0x0400
#define FLAGS_RD  0x0100
#define POINTER   0xc000 /* RFC 1035 4.1.4 */
#define DNSSEC_OK 0x8000 /* RFC 3225: of the OPT's TTL field, lower half */
#define OPT_BYTES 11
#define SVC       "svc."
#define SOA_BYTES 64
/* A record whose owner is a pointer, and an IPv6 address. */
#define RECORD_BYTES  12
#define ADDRESS_BYTES (RECORD_BYTES + 16)

/* The records behind the question: none, or one OPT of version 0 without options. */
static bool read_opt(const uint8_t *msg, size_t len, struct dns_service_question *question)
{
	struct wire wire = wire_reader(msg, len);
	uint16_t answers, authorities, additional;
	uint32_t flags;

	wire.pos = 6;
	answers = wire_get_u16(&wire);
	authorities = wire_get_u16(&wire);
	additional = wire_get_u16(&wire);
	if (answers || authorities || additional > 1)
		return false;
	if (additional == 0)
		return true;
	wire.pos = question->end;
	if (wire_left(&wire) != OPT_BYTES || wire_get_u8(&wire) != 0 ||
		wire_get_u16(&wire) != TYPE_OPT)
		return false;
	question->udp_bytes = wire_get_u16(&wire);
	flags = wire_get_u32(&wire);
	question->edns = true;
	question->dnssec_ok = flags & DNSSEC_OK;
	return (flags >> 16) == 0 && wire_get_u16(&wire) == 0;
}

/* "NAME.NAMESPACE.svc.DOMAIN" */
static bool read_name(const char *name, const char *domain, struct dns_service_question *question)
{
	const char *dot = strchr(name, '.');
	const char *rest = dot ? strchr(dot + 1, '.') : NULL;

	if (!rest || strncmp(rest + 1, SVC, strlen(SVC)) != 0 ||
		strcmp(rest + 1 + strlen(SVC), domain) != 0)
		return false;
	memcpy(question->name, name, (size_t)(rest - name));
	/* On the wire each label has its length where the name has a dot before it. */
	question->domain_at = DNS_HEADER_BYTES + (size_t)(rest + 1 - name) + strlen(SVC);
	return true;
}

bool dns_service_question_parse(const uint8_t *msg, size_t len, const char *domain,
	struct dns_service_question *ret_question)
{
	struct dns_service_question service = {.udp_bytes = DNS_UDP_BYTES};
	struct dns_question question;
	bool known = false;

	if (dns_question_parse(msg, len, &question) < 0 || !question.plain)
		return false;
	if (question.type == DNS_TYPE_A || question.type == DNS_TYPE_AAAA)
		known = read_name(question.name, domain, &service);
	else if (question.type == DNS_TYPE_PTR)
		known = dns_arpa_parse(question.name, &service.addr);
	service.type = question.type;
	service.end = question.end;
	if (!known || !read_opt(msg, len, &service))
		return false;
	*ret_question = service;
	return true;
}

static void put_label(struct wire *wire, const char *label)
{
	wire_put_u8(wire, (uint8_t)strlen(label));
	wire_put(wire, label, strlen(label));
}

/* DOMAIN. 5 IN SOA ns.dns.DOMAIN. hostmaster.DOMAIN. SERIAL ... */
static void put_soa(struct wire *wire, uint16_t domain, uint32_t serial)
{
	size_t length_at, end;

	wire_put_u16(wire, domain);
	wire_put_u16(wire, TYPE_SOA);
	wire_put_u16(wire, CLASS_IN);
	wire_put_u32(wire, TTL_S);
	length_at = wire->pos;
	wire_put_u16(wire, 0);
	put_label(wire, "ns");
	put_label(wire, "dns");
	wire_put_u16(wire, domain);
	put_label(wire, "hostmaster");
	wire_put_u16(wire, domain);
	wire_put_u32(wire, serial);
	wire_put_u32(wire, SOA_REFRESH);
	wire_put_u32(wire, SOA_RETRY);
	wire_put_u32(wire, SOA_EXPIRE);
	wire_put_u32(wire, TTL_S);
	end = wire->pos;
	wire->pos = length_at;
	wire_put_u16(wire, (uint16_t)(end - length_at - sizeof(uint16_t)));
	wire->pos = end;
}

/* The head of a record about what was asked for. */
static void put_record(struct wire *wire, const struct dns_service_question *question, size_t len)
{
	wire_put_u16(wire, POINTER | DNS_HEADER_BYTES);
	wire_put_u16(wire, question->type);
	wire_put_u16(wire, CLASS_IN);
	wire_put_u32(wire, TTL_S);
	wire_put_u16(wire, (uint16_t)len);
}

static void put_opt(struct wire *wire, const struct dns_service_question *question)
{
	wire_put_u8(wire, 0);
	wire_put_u16(wire, TYPE_OPT);
	wire_put_u16(wire, question->udp_bytes);
	wire_put_u32(wire, question->dnssec_ok ? DNSSEC_OK : 0);
	wire_put_u16(wire, 0);
}

/* Header and question of the answer, which has `found` records and, without any, a SOA. */
static void put_head(struct wire *wire, const uint8_t *msg,
	const struct dns_service_question *question, uint16_t found)
{
	wire_put(wire, msg, 2);
	wire_put_u16(wire, (uint16_t)(FLAGS_QR | FLAGS_AA | (msg[2] & 1 ? FLAGS_RD : 0)));
	wire_put_u16(wire, 1);
	wire_put_u16(wire, found);
	wire_put_u16(wire, found == 0);
	wire_put_u16(wire, question->edns);
	wire_put(wire, msg + DNS_HEADER_BYTES, question->end - DNS_HEADER_BYTES);
}

uint8_t *dns_service_answer(const uint8_t *msg, const struct dns_service_question *question,
	const struct ip_addr *addrs, size_t count, uint32_t serial, size_t *ret_len)
{
	uint8_t family = question->type == DNS_TYPE_A ? AF_INET : AF_INET6;
	size_t cap = question->end + DNS_SERVICE_ADDRESSES * ADDRESS_BYTES + SOA_BYTES + OPT_BYTES;
	uint8_t *answer = xcalloc(1, cap);
	struct wire wire = wire_writer(answer, cap);
	uint16_t found = 0;

	for (size_t i = 0; i < MIN(count, DNS_SERVICE_ADDRESSES); i++)
		found = (uint16_t)(found + (addrs[i].family == family));
	put_head(&wire, msg, question, found);
	for (size_t i = 0; i < MIN(count, DNS_SERVICE_ADDRESSES); i++) {
		if (addrs[i].family != family)
			continue;
		put_record(&wire, question, ip_addr_len(&addrs[i]));
		wire_put(&wire, addrs[i].bytes, ip_addr_len(&addrs[i]));
	}
	if (found == 0)
		put_soa(&wire, (uint16_t)(POINTER | question->domain_at), serial);
	if (question->edns)
		put_opt(&wire, question);
	assert(wire_ok(&wire));
	*ret_len = wire.pos;
	return answer;
}

/* The labels of "a.b.c", without the root. */
static void put_labels(struct wire *wire, const char *name)
{
	while (*name) {
		size_t len = strcspn(name, ".");

		wire_put_u8(wire, (uint8_t)len);
		wire_put(wire, name, len);
		name += len + (name[len] == '.');
	}
}

uint8_t *dns_service_pointer(const uint8_t *msg, const struct dns_service_question *question,
	const char *service, const char *domain, size_t *ret_len)
{
	/* Each dot is a label's length; one more for the first, and the root. */
	size_t name_len = 1 + strlen(service) + strlen("." SVC) + strlen(domain) + 1;
	size_t cap = question->end + RECORD_BYTES + name_len + OPT_BYTES;
	uint8_t *answer = xcalloc(1, cap);
	struct wire wire = wire_writer(answer, cap);

	put_head(&wire, msg, question, 1);
	put_record(&wire, question, name_len);
	put_labels(&wire, service);
	put_labels(&wire, SVC);
	put_labels(&wire, domain);
	wire_put_u8(&wire, 0);
	if (question->edns)
		put_opt(&wire, question);
	assert(wire_ok(&wire));
	*ret_len = wire.pos;
	return answer;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/message.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "core/alloc.h"
#include "core/wire.h"

#define LABEL_BYTES 63
#define CLASS_IN    1

/* Bytes 2 and 3 of the header (RFC 1035 4.1.1). */
#define FLAG_QR     0x80
#define OPCODE_MASK 0x78
#define FLAG_TC     0x02
#define FLAG_RD     0x01
#define FLAG_RA     0x80
#define RCODE_MASK  0x0f

/* An OPT record without options, and DNSSEC OK among its flags (RFC 3225). */
#define TYPE_OPT  41
#define OPT_BYTES 11
#define OPT_DO    0x80

bool dns_is_query(const uint8_t *msg, size_t len)
{
	return len >= DNS_HEADER_BYTES && !(msg[2] & FLAG_QR);
}

enum dns_rcode dns_rcode_of(const uint8_t *answer, size_t len)
{
	return len >= DNS_HEADER_BYTES ? (enum dns_rcode)(answer[3] & RCODE_MASK) : DNS_SERVFAIL;
}

static bool is_plain(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* Reads an uncompressed name (a question's is never compressed). */
static int read_name(struct wire *wire, struct dns_question *question)
{
	size_t used = 0;
	uint8_t len;

	while ((len = wire_get_u8(wire)) > 0) {
		char label[LABEL_BYTES];

		if (len > LABEL_BYTES || used + len + 1 >= sizeof(question->name))
			return -EBADMSG;
		wire_get(wire, label, len);
		if (used > 0)
			question->name[used++] = '.';
		for (uint8_t i = 0; i < len; i++) {
			question->plain = question->plain && is_plain(label[i]);
			question->name[used++] = (char)tolower((unsigned char)label[i]);
		}
	}
	question->name[used] = '\0';
	return wire_ok(wire) ? 0 : -EBADMSG;
}

int dns_question_parse(const uint8_t *msg, size_t len, struct dns_question *ret_question)
{
	struct dns_question question = {.plain = true};
	struct wire wire = wire_reader(msg, len);
	uint16_t counts[4];
	int r;

	if (!dns_is_query(msg, len))
		return -EINVAL;
	if (msg[2] & OPCODE_MASK)
		return -EOPNOTSUPP;
	(void)wire_get_u32(&wire);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		counts[i] = wire_get_u16(&wire);
	if (counts[0] != 1)
		return -EBADMSG;
	r = read_name(&wire, &question);
	if (r < 0)
		return r;
	question.type = wire_get_u16(&wire);
	question.class = wire_get_u16(&wire);
	if (!wire_ok(&wire))
		return -EBADMSG;
	question.plain = question.plain && question.class == CLASS_IN;
	question.end = wire.pos;
	*ret_question = question;
	return 0;
}

static uint16_t message_id(const uint8_t *msg)
{
	return (uint16_t)(msg[0] << 8 | msg[1]);
}

static uint16_t question_count(const uint8_t *msg)
{
	return (uint16_t)(msg[4] << 8 | msg[5]);
}

/* Case is not compared: there are servers that fold it, and a direct query takes their answer. */
static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (tolower(a[i]) != tolower(b[i]))
			return false;
	}
	return true;
}

bool dns_answer_matches(
	const uint8_t *query, size_t query_len, uint16_t id, const uint8_t *answer, size_t len)
{
	struct dns_question question;

	if (len < DNS_HEADER_BYTES || !(answer[2] & FLAG_QR) || message_id(answer) != id)
		return false;
	if ((answer[2] & OPCODE_MASK) != (query[2] & OPCODE_MASK))
		return false;
	/* Without a question that we can read the id is all there is. */
	if (dns_question_parse(query, query_len, &question) < 0)
		return true;
	if (question_count(answer) == 0)
		return (answer[3] & RCODE_MASK) != DNS_NOERROR;
	return question_count(answer) == 1 && len >= question.end &&
	       same_bytes(query + DNS_HEADER_BYTES, answer + DNS_HEADER_BYTES,
		       question.end - DNS_HEADER_BYTES);
}

bool dns_is_truncated(const uint8_t *msg, size_t len)
{
	return len >= DNS_HEADER_BYTES && (msg[2] & FLAG_TC);
}

/* Whether an OPT record (RFC 6891) is what follows the question. */
static bool read_opt(const uint8_t *query, size_t len, size_t end, uint8_t *ret_flags)
{
	const uint8_t *opt = query + end;

	/* No answers and authorities, so what follows is the first additional record. */
	if (memcmp(query + 6, (const uint8_t[4]){0}, 4) != 0 || (query[10] | query[11]) == 0 ||
		len - end < OPT_BYTES || opt[0] != 0 || opt[1] != 0 || opt[2] != TYPE_OPT)
		return false;
	*ret_flags = opt[7] & OPT_DO;
	return true;
}

static void put_opt(uint8_t *out, uint8_t flags)
{
	struct wire wire = wire_writer(out, OPT_BYTES);

	wire_put_u8(&wire, 0);
	wire_put_u16(&wire, TYPE_OPT);
	wire_put_u16(&wire, DNS_EDNS_BYTES);
	wire_put_u32(&wire, (uint32_t)flags << 8);
	wire_put_u16(&wire, 0);
}

uint8_t *dns_error_reply(const uint8_t *query, size_t len, enum dns_rcode rcode, size_t *ret_len)
{
	struct dns_question question = {.end = DNS_HEADER_BYTES};
	uint8_t *reply, flags = 0;
	bool opt = false;

	if (len < DNS_HEADER_BYTES)
		return NULL;
	if (dns_question_parse(query, len, &question) < 0)
		question.end = DNS_HEADER_BYTES;
	else
		opt = read_opt(query, len, question.end, &flags);
	reply = xcalloc(1, question.end + OPT_BYTES);
	memcpy(reply, query, question.end);
	reply[2] = (uint8_t)(FLAG_QR | (query[2] & (OPCODE_MASK | FLAG_RD)));
	reply[3] = (uint8_t)(FLAG_RA | (unsigned int)rcode);
	memset(reply + 4, 0, DNS_HEADER_BYTES - 4);
	reply[5] = question.end > DNS_HEADER_BYTES;
	reply[11] = opt;
	if (opt)
		put_opt(reply + question.end, flags);
	*ret_len = question.end + (opt ? OPT_BYTES : 0);
	return reply;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/reason.h"

#include <assert.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

/* Where RFC 9113 has no code: of this protocol, "tp" and the reason. */
#define RESET_CODES 0x74700000U

struct reason_row {
	const char *name;
	int status;
	uint32_t reset; /* 0: none */
};

static const struct reason_row rows[] = {
	[REASON_NONE] = {"none", 200, 0},
	[REASON_REFUSED] = {"refused", 502, NGHTTP2_CONNECT_ERROR},
	[REASON_HOST_UNREACHABLE] = {"host-unreachable", 502, RESET_CODES + 1},
	[REASON_NET_UNREACHABLE] = {"net-unreachable", 502, RESET_CODES + 2},
	[REASON_TIMED_OUT] = {"timed-out", 504, 0},
	[REASON_NAME_NOT_FOUND] = {"name-not-found", 502, 0},
	[REASON_FORBIDDEN] = {"forbidden", 403, RESET_CODES + 3},
	[REASON_OVERLOADED] = {"overloaded", 503, 0},
	[REASON_INTERNAL] = {"internal", 500, 0},
	[REASON_NO_CLIENT] = {"no-client", 503, 0},
};
static_assert(ARRAY_SIZE(rows) == REASON_COUNT, "a row for each reason");

const char *reason_name(enum reason reason)
{
	return reason < REASON_COUNT ? rows[reason].name : rows[REASON_INTERNAL].name;
}

enum reason reason_parse(const char *name)
{
	/* A failure that calls itself none is still one. */
	for (unsigned int i = REASON_NONE + 1; name && i < REASON_COUNT; i++)
		if (strcmp(name, rows[i].name) == 0)
			return (enum reason)i;
	return REASON_INTERNAL;
}

enum reason reason_from_errno(int code)
{
	switch (code < 0 ? -code : code) {
	case 0:
		return REASON_NONE;
	case ECONNREFUSED:
	case ECONNRESET: /* the target answered the SYN and reset: to the caller much the same */
		return REASON_REFUSED;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENONET: /* ICMP host isolated */
	case EOPNOTSUPP: /* ICMP source route failed */
	case ENOPROTOOPT: /* ICMP protocol unreachable */
		return REASON_HOST_UNREACHABLE;
	case ENETUNREACH:
	case ENETDOWN:
	case EADDRNOTAVAIL: /* no source address of that family */
	case EAFNOSUPPORT:
		return REASON_NET_UNREACHABLE;
	case ETIMEDOUT:
		return REASON_TIMED_OUT;
	case ENOENT:
		return REASON_NAME_NOT_FOUND;
	case EACCES:
	case EPERM: /* a local packet filter said no */
		return REASON_FORBIDDEN;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EAGAIN: /* no free port */
		return REASON_OVERLOADED;
	default:
		return REASON_INTERNAL;
	}
}

int reason_status(enum reason reason)
{
	return reason < REASON_COUNT ? rows[reason].status : rows[REASON_INTERNAL].status;
}

uint32_t reason_reset(enum reason reason)
{
	uint32_t code = reason < REASON_COUNT ? rows[reason].reset : 0;

	return code ? code : NGHTTP2_CONNECT_ERROR;
}

enum reason reason_of_reset(uint32_t code)
{
	for (unsigned int i = 0; code != 0 && i < REASON_COUNT; i++)
		if (rows[i].reset == code)
			return (enum reason)i;
	return REASON_NONE;
}

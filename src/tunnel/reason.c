/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/reason.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct reason_row {
	const char *name;
	int status;
};

static const struct reason_row rows[] = {
	[REASON_NONE] = {"none", 200},
	[REASON_REFUSED] = {"refused", 502},
	[REASON_HOST_UNREACHABLE] = {"host-unreachable", 502},
	[REASON_NET_UNREACHABLE] = {"net-unreachable", 502},
	[REASON_TIMED_OUT] = {"timed-out", 504},
	[REASON_NAME_NOT_FOUND] = {"name-not-found", 502},
	[REASON_FORBIDDEN] = {"forbidden", 403},
	[REASON_OVERLOADED] = {"overloaded", 503},
	[REASON_INTERNAL] = {"internal", 500},
	[REASON_NO_CLIENT] = {"no-client", 503},
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

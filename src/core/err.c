/* SPDX-License-Identifier: Apache-2.0 */
#include "core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = {
	[ERR_NONE] = "none",
	[ERR_USAGE] = "usage",
	[ERR_CONFIG] = "config",
	[ERR_AUTH] = "auth",
	[ERR_NOT_FOUND] = "not_found",
	[ERR_CONFLICT] = "conflict",
	[ERR_UNREACHABLE] = "unreachable",
	[ERR_PERMISSION] = "permission",
	[ERR_UNSUPPORTED] = "unsupported",
	[ERR_INTERNAL] = "internal",
};
_Static_assert(ARRAY_SIZE(kind_names) == ERR_KIND_COUNT, "a name for every kind");

enum err_kind err_kind_from_errno(int code)
{
	switch (-code) {
	case EPERM:
	case EACCES:
		return ERR_PERMISSION;
	case ENOENT:
	case ESRCH:
		return ERR_NOT_FOUND;
	case EEXIST:
	case EBUSY:
	case EADDRINUSE:
		return ERR_CONFLICT;
	case ECONNREFUSED:
	case ECONNRESET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ETIMEDOUT:
	case EPIPE:
		return ERR_UNREACHABLE;
	case EOPNOTSUPP:
	case ENOSYS:
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
		return ERR_UNSUPPORTED;
	default:
		return ERR_INTERNAL;
	}
}

int err_set(struct err *err, int code, enum err_kind kind, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	err->kind = kind;
	va_start(args, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	va_end(args);
	return code;
}

int err_set_errno(struct err *err, int code, const char *fmt, ...)
{
	va_list args;
	int len;

	if (!err)
		return code;
	err->code = code;
	err->kind = err_kind_from_errno(code);
	va_start(args, fmt);
	len = vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	va_end(args);
	if (len >= 0 && (size_t)len < sizeof(err->msg))
		(void)snprintf(
			err->msg + len, sizeof(err->msg) - (size_t)len, ": %s", strerror(-code));
	return code;
}

int err_wrap(struct err *err, int code, const char *fmt, ...)
{
	char inner[ERR_MSG_BYTES];
	va_list args;
	int len;

	if (!err)
		return code;
	if (err->kind == ERR_NONE)
		err->kind = err_kind_from_errno(code);
	err->code = code;
	memcpy(inner, err->msg, sizeof(inner));
	va_start(args, fmt);
	len = vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	va_end(args);
	if (len >= 0 && (size_t)len < sizeof(err->msg) && inner[0])
		(void)snprintf(err->msg + len, sizeof(err->msg) - (size_t)len, ": %s", inner);
	return code;
}

const char *err_kind_name(enum err_kind kind)
{
	return (unsigned int)kind < ERR_KIND_COUNT ? kind_names[kind] : kind_names[ERR_INTERNAL];
}

enum err_kind err_kind_parse(const char *name)
{
	for (unsigned int i = 0; i < ERR_KIND_COUNT; i++) {
		if (strcmp(kind_names[i], name) == 0)
			return (enum err_kind)i;
	}
	return ERR_INTERNAL;
}

int err_exit_code(enum err_kind kind)
{
	static const int codes[ERR_KIND_COUNT] = {
		[ERR_NONE] = 0,
		[ERR_INTERNAL] = 1,
		[ERR_USAGE] = 2,
		[ERR_CONFIG] = 3,
		[ERR_AUTH] = 4,
		[ERR_NOT_FOUND] = 5,
		[ERR_CONFLICT] = 6,
		[ERR_UNREACHABLE] = 7,
		[ERR_PERMISSION] = 8,
		[ERR_UNSUPPORTED] = 9,
	};

	return (unsigned int)kind < ERR_KIND_COUNT ? codes[kind] : 1;
}

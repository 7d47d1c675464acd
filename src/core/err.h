/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/err.h - what went wrong, in caller storage
 *
 * Every fallible function returns 0 (or > 0) or -errno; the message travels in *err, which the
 * caller owns and may leave NULL. err_set() at the origin, err_wrap() while unwinding. The kind is
 * what a person can act on: it picks the exit code and the hint.
 */
#ifndef CORE_ERR_H
#define CORE_ERR_H

#include "core/attr.h"

#define ERR_MSG_BYTES 512

enum err_kind {
	ERR_NONE,
	ERR_USAGE, /* the command line is off */
	ERR_CONFIG, /* a configuration or kubeconfig file is off */
	ERR_AUTH, /* credentials are refused */
	ERR_NOT_FOUND,
	ERR_CONFLICT,
	ERR_UNREACHABLE, /* nobody answers, or not in time */
	ERR_PERMISSION, /* RBAC or the operating system forbids it */
	ERR_UNSUPPORTED, /* this kernel or cluster cannot do it */
	ERR_INTERNAL,
	ERR_KIND_COUNT
};

struct err {
	int code; /* -errno */
	enum err_kind kind;
	char msg[ERR_MSG_BYTES];
};

#define ERR_INIT {.code = 0, .kind = ERR_NONE, .msg = ""}

/* Both return `code`, a negative errno, so that `return err_set(...)` reads well. */
int err_set(struct err *err, int code, enum err_kind kind, const char *fmt, ...) PRINTF(4, 5);
/* As err_set() with ": strerror(-code)" appended and the kind that the errno suggests. */
int err_set_errno(struct err *err, int code, const char *fmt, ...) PRINTF(3, 4);
/* Puts "<fmt>: " before the message that is there; keeps its kind. Returns `code`. */
int err_wrap(struct err *err, int code, const char *fmt, ...) PRINTF(3, 4);

enum err_kind err_kind_from_errno(int code);
const char *err_kind_name(enum err_kind kind);
/* Inverse of err_kind_name(); ERR_INTERNAL for a name it does not know. */
enum err_kind err_kind_parse(const char *name);
/* Exit status of a command that failed so: documented in telepresence --help. 1..9. */
int err_exit_code(enum err_kind kind);

#endif /* CORE_ERR_H */

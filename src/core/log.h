/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/log.h - one sink per process: a constant message and key=value fields
 *
 * log_info("tunnel up", "carrier=%s rtt_ms=%u", name, rtt); the second argument is a printf format
 * for the fields ("" for none). Bytes outside printable ASCII are escaped (\xNN), so peer-derived
 * strings may be passed. Arguments of a suppressed level are not evaluated.
 * Threading: loop thread only.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>

#include "core/attr.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_COUNT
};
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Writes to fd (borrowed) from now on. `program` is kept, not copied. */
void log_init(const char *program, int fd, enum log_format format, enum log_level level);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
/* 0, or -EINVAL for a name that is not error, warning, info or debug. */
NODISCARD int log_level_parse(const char *name, enum log_level *ret_level);

void log_write(enum log_level level, const char *msg, const char *fields_fmt, ...) PRINTF(3, 4);

#define LOG_AT(level, ...) \
	do { \
		if (log_enabled(level)) \
			log_write(level, __VA_ARGS__); \
	} while (0)
#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif /* CORE_LOG_H */

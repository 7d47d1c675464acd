/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A line is one write(2), so that several processes may share a file opened with O_APPEND. */
#define LOG_LINE_BYTES   2048
#define LOG_FIELDS_BYTES 1024

static struct {
	const char *program;
	int fd;
	enum log_format format;
	enum log_level level;
} sink = {.program = "telepresence", .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO};

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};
_Static_assert(ARRAY_SIZE(level_names) == LOG_LEVEL_COUNT, "a name for every level");

void log_init(const char *program, int fd, enum log_format format, enum log_level level)
{
	sink.program = program;
	sink.fd = fd;
	sink.format = format;
	sink.level = level;
	/* gmtime_r() opens /etc/localtime the first time, which a sandbox may forbid later. */
	tzset();
}

void log_set_level(enum log_level level)
{
	sink.level = level;
}

bool log_enabled(enum log_level level)
{
	return level <= sink.level;
}

int log_level_parse(const char *name, enum log_level *ret_level)
{
	for (unsigned int i = 0; i < LOG_LEVEL_COUNT; i++) {
		if (strcmp(level_names[i], name) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Appends src to line from *pos; quotes and backslashes are escaped too when json. */
static void append_escaped(char *line, size_t *pos, const char *src, bool json)
{
	/* Room for the longest escape and the end of a JSON line. */
	for (; *src && *pos + 8 < LOG_LINE_BYTES; src++) {
		unsigned char c = (unsigned char)*src;

		if (json && (c == '"' || c == '\\'))
			*pos += (size_t)snprintf(line + *pos, 8, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			*pos += (size_t)snprintf(line + *pos, 8, json ? "\\u%04x" : "\\x%02x", c);
		else
			line[(*pos)++] = (char)c;
	}
}

static void append(char *line, size_t *pos, const char *text)
{
	size_t len = strlen(text);

	if (*pos + len > LOG_LINE_BYTES)
		return;
	memcpy(line + *pos, text, len);
	*pos += len;
}

static void format_line(
	char *line, size_t *pos, enum log_level level, const char *msg, const char *fields)
{
	bool json = sink.format == LOG_FORMAT_JSON;
	char stamp[40];
	struct timespec now;
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(stamp + len, sizeof(stamp) - len, ".%03ldZ", now.tv_nsec / 1000000);

	append(line, pos, json ? "{\"time\":\"" : "");
	append(line, pos, stamp);
	append(line, pos, json ? "\",\"level\":\"" : " ");
	append(line, pos, level_names[level]);
	append(line, pos, json ? "\",\"program\":\"" : " ");
	append(line, pos, sink.program);
	append(line, pos, json ? "\",\"msg\":\"" : ": ");
	append_escaped(line, pos, msg, json);
	if (*fields) {
		append(line, pos, json ? "\",\"fields\":\"" : " ");
		append_escaped(line, pos, fields, json);
	}
	append(line, pos, json ? "\"}\n" : "\n");
}

void log_write(enum log_level level, const char *msg, const char *fields_fmt, ...)
{
	char fields[LOG_FIELDS_BYTES] = "";
	char line[LOG_LINE_BYTES];
	size_t pos = 0;
	va_list args;
	int saved_errno = errno;

	va_start(args, fields_fmt);
	(void)vsnprintf(fields, sizeof(fields), fields_fmt, args);
	va_end(args);
	format_line(line, &pos, level, msg, fields);
	/* A log that cannot be written has nobody to be reported to. */
	if (write(sink.fd, line, pos) < 0)
		errno = 0;
	errno = saved_errno;
}

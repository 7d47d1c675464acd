/* SPDX-License-Identifier: Apache-2.0 */
#include "core/utc.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

const char *utc_format(time_t when, char out[static UTC_TEXT_BYTES])
{
	struct tm tm;

	out[0] = '\0';
	if (gmtime_r(&when, &tm))
		(void)strftime(out, UTC_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return out;
}

/* Two digits, or -1. */
static int two_digits(const char *text)
{
	if (!isdigit((unsigned char)text[0]) || !isdigit((unsigned char)text[1]))
		return -1;
	return (text[0] - '0') * 10 + (text[1] - '0');
}

/* "Z" or "+02:00", and nothing after it: how far ahead of UTC. */
static int parse_offset(const char *text, long *ret_ahead_s)
{
	int hours, minutes;

	if (strcasecmp(text, "Z") == 0) {
		*ret_ahead_s = 0;
		return 0;
	}
	if (strlen(text) != strlen("+00:00") || (text[0] != '+' && text[0] != '-') ||
		text[3] != ':')
		return -EINVAL;
	hours = two_digits(text + 1);
	minutes = two_digits(text + 4);
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return -EINVAL;
	*ret_ahead_s = (text[0] == '-' ? -60L : 60L) * (hours * 60 + minutes);
	return 0;
}

int utc_parse(const char *text, time_t *ret_when)
{
	static const char digits[] = "0123456789";
	struct tm tm = {.tm_isdst = 0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	long ahead_s = 0;

	if (rest && *rest == '.' && isdigit((unsigned char)rest[1]))
		rest += 1 + strspn(rest + 1, digits);
	if (!rest || parse_offset(rest, &ahead_s) < 0)
		return -EINVAL;
	*ret_when = timegm(&tm) - ahead_s;
	return 0;
}

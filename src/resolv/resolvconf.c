/* SPDX-License-Identifier: Apache-2.0 */
#include "resolv/resolvconf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>

#include "core/alloc.h"
#include "core/err.h"

#define NSSWITCH_PATH "/etc/nsswitch.conf"
#define NDOTS_MAX     15 /* RES_MAXNDOTS */

/* A piece of a line, not NUL-terminated. */
struct word {
	const char *text;
	size_t len;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Takes the next word off the line; its length is 0 at the line's end. */
static struct word next_word(struct word *line)
{
	struct word word;

	while (line->len > 0 && is_blank(*line->text)) {
		line->text++;
		line->len--;
	}
	word = (struct word){.text = line->text};
	while (line->len > 0 && !is_blank(*line->text)) {
		line->text++;
		line->len--;
		word.len++;
	}
	return word;
}

static bool word_is(struct word word, const char *text)
{
	return word.len == strlen(text) && memcmp(word.text, text, word.len) == 0;
}

/* False when it does not fit or holds a NUL. */
static bool word_copy(struct word word, char *out, size_t size)
{
	if (word.len >= size || memchr(word.text, '\0', word.len))
		return false;
	memcpy(out, word.text, word.len);
	out[word.len] = '\0';
	return true;
}

/* Where the kernel sends what goes to the address (ip(7), ipv6(7)). */
static struct ip_addr reached_by(const struct ip_addr *addr)
{
	static const struct {
		struct ip_addr any, here;
	} own[] = {
		{{AF_INET, {0}}, {AF_INET, {127, 0, 0, 1}}},
		{{AF_INET6, {0}}, {AF_INET6, {[15] = 1}}},
	};
	static const uint8_t mapped[12] = {[10] = 0xff, 0xff};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (ip_addr_equal(addr, &own[i].any))
			return own[i].here;
	}
	if (addr->family == AF_INET6 && memcmp(addr->bytes, mapped, sizeof(mapped)) == 0)
		return ip_addr_from_bytes(AF_INET, addr->bytes + sizeof(mapped));
	return *addr;
}

/* Nobody can send there: a link-local address of IPv6 without its zone, or a multicast one. */
static bool is_unusable(const struct ip_addr *addr)
{
	const uint8_t *bytes = addr->bytes;

	if (addr->family == AF_INET)
		return bytes[0] >= 224;
	return bytes[0] == 0xff || (bytes[0] == 0xfe && bytes[1] >> 6 == 2);
}

/* As inet_aton(3), which resolvers read IPv4 addresses with: "10.1" is 10.0.0.1. */
static bool parse_addr(const char *text, struct ip_addr *ret_addr)
{
	struct in_addr addr4;

	if (ip_addr_parse(text, ret_addr) == 0)
		return true;
	if (strchr(text, ':') || inet_aton(text, &addr4) == 0)
		return false;
	*ret_addr = ip_addr_from_bytes(AF_INET, &addr4);
	return true;
}

static void parse_nameserver(struct word line, struct resolv_conf *conf)
{
	char text[INET6_ADDRSTRLEN + IFNAMSIZ];
	struct ip_addr addr;
	char *zone;

	if (conf->nameserver_count == RESOLV_NAMESERVERS ||
		!word_copy(next_word(&line), text, sizeof(text)))
		return;
	zone = strchr(text, '%');
	if (zone)
		*zone = '\0';
	if (!parse_addr(text, &addr))
		return;
	addr = reached_by(&addr);
	conf->zoned = conf->zoned || zone;
	conf->unusable = conf->unusable || (!zone && is_unusable(&addr));
	if (!zone && !is_unusable(&addr))
		conf->nameservers[conf->nameserver_count++] = addr;
}

static void parse_search(struct word line, unsigned int max, struct resolv_conf *conf)
{
	conf->search_count = 0;
	while (conf->search_count < max) {
		char *out = conf->search[conf->search_count];
		struct word word = next_word(&line);

		if (word.len == 0)
			break;
		/* "." is the root: nothing to append. */
		if (!word_is(word, ".") && word_copy(word, out, sizeof(conf->search[0])))
			conf->search_count++;
	}
}

static void parse_options(struct word line, struct resolv_conf *conf)
{
	static const char ndots[] = "ndots:";
	struct word word;

	for (word = next_word(&line); word.len > 0; word = next_word(&line)) {
		unsigned int value = 0;

		if (word.len < sizeof(ndots) || memcmp(word.text, ndots, sizeof(ndots) - 1) != 0)
			continue;
		for (size_t i = sizeof(ndots) - 1; i < word.len; i++) {
			if (word.text[i] < '0' || word.text[i] > '9')
				break;
			value = MIN(value * 10 + (unsigned int)(word.text[i] - '0'), NDOTS_MAX);
		}
		conf->ndots = value;
	}
}

static void parse_line(struct word line, struct resolv_conf *conf)
{
	struct word keyword;

	/* As glibc: comments begin in the first column, keywords too. */
	if (line.len == 0 || *line.text == '#' || *line.text == ';' || is_blank(*line.text))
		return;
	keyword = next_word(&line);
	if (word_is(keyword, "nameserver"))
		parse_nameserver(line, conf);
	else if (word_is(keyword, "search"))
		parse_search(line, RESOLV_SEARCH, conf);
	else if (word_is(keyword, "domain"))
		parse_search(line, 1, conf);
	else if (word_is(keyword, "options"))
		parse_options(line, conf);
}

void resolv_conf_parse(const char *text, size_t len, struct resolv_conf *ret_conf)
{
	struct resolv_conf conf = {.ndots = 1};

	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t line = end ? (size_t)(end - text) : len;

		parse_line((struct word){.text = text, .len = line}, &conf);
		text += end ? line + 1 : line;
		len -= end ? line + 1 : line;
	}
	if (conf.nameserver_count == 0) {
		conf.nameservers[0] = (struct ip_addr){.family = AF_INET, .bytes = {127, 0, 0, 1}};
		conf.nameserver_count = 1;
	}
	*ret_conf = conf;
}

/* The file's text, malloc'ed; a missing file is an empty one. */
static int read_file(const char *path, char **ret_text, size_t *ret_len, struct err *err)
{
	auto_free char *text = NULL;
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = 0;

	if (fd < 0 && errno != ENOENT)
		return err_set_errno(err, -errno, "%s", path);
	text = xcalloc(1, RESOLV_FILE_BYTES);
	while (fd >= 0 && len < RESOLV_FILE_BYTES) {
		ssize_t n = read(fd, text + len, RESOLV_FILE_BYTES - len);

		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return err_set_errno(err, -errno, "%s", path);
		len += n > 0 ? (size_t)n : 0;
	}
	if (len == RESOLV_FILE_BYTES)
		return err_set(err, -EFBIG, ERR_CONFIG, "%s: more than %zu bytes", path,
			RESOLV_FILE_BYTES);
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

int resolv_conf_read(const char *path, struct resolv_conf *ret_conf, struct err *err)
{
	auto_free char *text = NULL;
	size_t len = 0;
	int r = read_file(path ? path : RESOLV_CONF, &text, &len, err);

	if (r == 0)
		resolv_conf_parse(text, len, ret_conf);
	return r;
}

bool resolv_conf_is_stub(const struct resolv_conf *conf)
{
	static const uint8_t stub[] = {127, 0, 0, 53}, proxy[] = {127, 0, 0, 54};
	const struct ip_addr *first = &conf->nameservers[0];

	return first->family == AF_INET && (memcmp(first->bytes, stub, sizeof(stub)) == 0 ||
						   memcmp(first->bytes, proxy, sizeof(proxy)) == 0);
}

/* Whether the line is "hosts: ... resolve ...". */
static bool names_resolve(struct word line)
{
	struct word word = next_word(&line);

	if (!word_is(word, "hosts:"))
		return false;
	for (word = next_word(&line); word.len > 0 && *word.text != '#'; word = next_word(&line)) {
		if (word_is(word, "resolve"))
			return true;
	}
	return false;
}

bool resolv_is_resolved(const struct resolv_conf *conf, const char *nsswitch_path)
{
	const char *path = nsswitch_path ? nsswitch_path : NSSWITCH_PATH;
	auto_free char *text = NULL;
	size_t len = 0;
	bool found = false;

	if (resolv_conf_is_stub(conf))
		return true;
	if (read_file(path, &text, &len, NULL) < 0)
		return false;
	for (const char *at = text; !found && at < text + len;) {
		const char *end = memchr(at, '\n', (size_t)(text + len - at));
		size_t line = end ? (size_t)(end - at) : (size_t)(text + len - at);

		found = names_resolve((struct word){.text = at, .len = line});
		at += line + 1;
	}
	return found;
}

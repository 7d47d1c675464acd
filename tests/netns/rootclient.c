/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootclient UID - a root daemon's client driven line by line on standard input
 *
 *   tun NAME|- MTU ADDR4/LEN|- ADDR6/LEN|-     routes PREFIX...     dns PORT ADDR...
 *   socket 4|6 udp|tcp       (the last socket is kept)
 *   ask ADDR TEXT            sends TEXT by that socket to port 53, prints what comes back
 *   packet (prints header, family and length of the next packet that the TUN delivers)
 *   closetun    hangup (closes the connection only)    wait (until the server has gone)
 * Each is answered by one line: "ok ..." or "error CODE KIND MESSAGE". End of input ends it.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/err.h"
#include "core/limits.h"
#include "ipc/root_client.h"

#define WAIT_MS 5000

static struct root_client *client;
static struct root_tun tun = {.fd = -1};
static int sock = -1;

static void answer(int r, const struct err *err)
{
	if (r < 0)
		printf("error %d %s %s\n", r, err_kind_name(err->kind), err->msg);
	else
		printf("ok\n");
	fflush(stdout);
}

/* An address with host bits set is one here. */
static struct ip_prefix parse_prefix(const char *text)
{
	struct ip_prefix prefix = {.len = 0};
	char addr[64];
	unsigned int len = 0;

	if (sscanf(text, "%63[^/]/%u", addr, &len) != 2 || ip_addr_parse(addr, &prefix.addr) < 0)
		memset(&prefix, 0, sizeof(prefix));
	prefix.len = (uint8_t)len;
	return prefix;
}

static void do_tun(char **words, size_t count)
{
	struct root_tun_request request = {.mtu = 0};
	struct err err = ERR_INIT;
	int r = -EINVAL;

	if (count == 5) {
		if (strcmp(words[1], "-") != 0)
			(void)snprintf(request.name, sizeof(request.name), "%s", words[1]);
		request.mtu = (uint32_t)atoi(words[2]);
		request.addr4 = parse_prefix(words[3]);
		request.addr6 = parse_prefix(words[4]);
		r = root_client_tun(client, &request, &tun, &err);
	}
	if (r < 0) {
		answer(r, &err);
		return;
	}
	printf("ok %s %u %d\n", tun.name, tun.ifindex, tun.ipv6);
	fflush(stdout);
}

static void do_routes(char **words, size_t count)
{
	struct ip_prefix prefixes[LIMIT_ROOT_PREFIXES];
	struct err err = ERR_INIT;
	size_t n = 0;

	for (size_t i = 1; i < count && n < LIMIT_ROOT_PREFIXES; i++)
		prefixes[n++] = parse_prefix(words[i]);
	answer(root_client_routes(client, prefixes, n, &err), &err);
}

static void do_dns(char **words, size_t count)
{
	struct ip_addr addrs[LIMIT_ROOT_NAMESERVERS];
	struct err err = ERR_INIT;
	size_t n = 0;

	for (size_t i = 2; i < count && n < LIMIT_ROOT_NAMESERVERS; i++)
		n += ip_addr_parse(words[i], &addrs[n]) == 0;
	answer(root_client_dns(client, addrs, n, (uint16_t)(count > 1 ? atoi(words[1]) : 0), &err),
		&err);
}

static void do_socket(char **words, size_t count)
{
	struct err err = ERR_INIT;
	int r = -EINVAL;

	if (sock >= 0)
		close(sock);
	if (count == 3)
		r = root_client_socket(client, words[1][0] == '6' ? AF_INET6 : AF_INET,
			words[2][0] == 't' ? SOCK_STREAM : SOCK_DGRAM, &err);
	sock = r;
	answer(r, &err);
}

static bool readable(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	return poll(&wait, 1, WAIT_MS) > 0;
}

static void do_ask(char **words, size_t count)
{
	struct ip_endpoint to = {.port = 53};
	struct sockaddr_storage sa;
	char bytes[512];
	socklen_t len;
	ssize_t n = -1;

	if (count == 3 && ip_addr_parse(words[1], &to.addr) == 0) {
		len = ip_endpoint_to_sockaddr(&to, &sa);
		n = sendto(sock, words[2], strlen(words[2]), 0, (struct sockaddr *)&sa, len);
	}
	if (n >= 0 && readable(sock))
		n = recv(sock, bytes, sizeof(bytes), 0);
	printf("%s %.*s\n", n > 0 ? "ok" : "error", n > 0 ? (int)n : 0, bytes);
	fflush(stdout);
}

/* virtio_net_hdr is 10 bytes long; its gso_type is the second. */
static void print_packet(void)
{
	static uint8_t bytes[LIMIT_TUN_PACKET_BYTES];
	ssize_t n = readable(tun.fd) ? read(tun.fd, bytes, sizeof(bytes)) : -1;

	if (n < 11)
		printf("error %zd\n", n);
	else
		printf("ok gso=%u version=%u bytes=%zd\n", bytes[1], bytes[10] >> 4, n - 10);
	fflush(stdout);
}

static void do_word(const char *word)
{
	struct err err = ERR_INIT;

	if (strcmp(word, "packet") == 0) {
		print_packet();
		return;
	}
	if (strcmp(word, "closetun") == 0) {
		close(tun.fd);
		tun.fd = -1;
		answer(0, &err);
	} else if (strcmp(word, "hangup") == 0) {
		root_client_free(client);
		client = NULL;
		answer(0, &err);
	} else if (strcmp(word, "wait") == 0) {
		answer(readable(root_client_fd(client))
				? 0
				: err_set(&err, -ETIMEDOUT, ERR_INTERNAL, "still there"),
			&err);
	} else {
		answer(err_set(&err, -EINVAL, ERR_USAGE, "%s", word), &err);
	}
}

static void run_line(char *line)
{
	static const struct {
		const char *name;
		void (*fn)(char **words, size_t count);
	} commands[] = {{"tun", do_tun}, {"routes", do_routes}, {"dns", do_dns},
		{"socket", do_socket}, {"ask", do_ask}};
	char *words[LIMIT_ROOT_PREFIXES + 8];
	size_t count = 0;
	char *rest = NULL;

	for (char *word = strtok_r(line, " \n", &rest); word && count < ARRAY_SIZE(words);
		word = strtok_r(NULL, " \n", &rest))
		words[count++] = word;
	for (size_t i = 0; count > 0 && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(words[0], commands[i].name) == 0) {
			commands[i].fn(words, count);
			return;
		}
	}
	do_word(count > 0 ? words[0] : "");
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	char *line = NULL;
	size_t size = 0;
	int r;

	if (argc != 2)
		return EXIT_FAILURE;
	r = root_client_connect((uid_t)atoi(argv[1]), &client, &err);
	if (r < 0) {
		answer(r, &err);
		return EXIT_FAILURE;
	}
	printf("ok %s\n", root_client_version(client));
	fflush(stdout);
	while (getline(&line, &size, stdin) > 0)
		run_line(line);
	free(line);
	root_client_free(client);
	return EXIT_SUCCESS;
}

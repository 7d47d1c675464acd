/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/netns/dnsdriver.c - runs the resolver with a nameserver in the place of the tunnel
 *
 * dnsdriver NAMESERVER CLUSTER_NAMESERVER NAMESPACE KNOWN_NAMESPACE... (addresses; port 53), with
 * the settings below. Prints
 * "port N", then obeys lines on stdin: "down" (the tunnel refuses), "mute" (it never answers),
 * "up", "probe" (checks for a loop), "counters" (prints them). Ends in order at the end of stdin.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "core/alloc.h"
#include "core/err.h"
#include "dns/forward.h"
#include "dns/resolver.h"

/* What the test's redirect rule leaves alone. */
#define UPSTREAM_MARK 0x7e1e
#define MUTED         64

static struct driver {
	uv_loop_t loop;
	uv_pipe_t in;
	struct dns_resolver *resolver;
	struct dns_forwarder *cluster;
	enum { TUNNEL_UP, TUNNEL_DOWN, TUNNEL_MUTE } tunnel;
	struct dns_query *muted[MUTED];
	unsigned int muted_count;
	char line[64];
} driver;

static void on_cluster_answer(void *user, int r, const uint8_t *msg, size_t len)
{
	dns_query_answer(user, r < 0 ? NULL : msg, len);
}

static int on_query(void *user, struct dns_query *query, const uint8_t *msg, size_t len)
{
	(void)user;
	switch (driver.tunnel) {
	case TUNNEL_DOWN:
		return -ENOTCONN;
	case TUNNEL_MUTE:
		if (driver.muted_count == MUTED)
			return -ENOBUFS;
		driver.muted[driver.muted_count++] = query;
		return 0;
	default:
		return dns_forward(driver.cluster, msg, len, false, on_cluster_answer, query, NULL);
	}
}

static int on_socket(void *user, int family, int type)
{
	int mark = UPSTREAM_MARK;
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	(void)user;
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

static void obey(const char *line)
{
	const struct dns_counters *counters = dns_resolver_counters(driver.resolver);

	if (strcmp(line, "down") == 0)
		driver.tunnel = TUNNEL_DOWN;
	else if (strcmp(line, "mute") == 0)
		driver.tunnel = TUNNEL_MUTE;
	else if (strcmp(line, "up") == 0)
		driver.tunnel = TUNNEL_UP;
	else if (strcmp(line, "probe") == 0)
		dns_resolver_check_loop(driver.resolver);
	printf("{\"queries\": %lu, \"cluster\": %lu, \"forwarded\": %lu, \"answered_cache\": %lu, "
	       "\"failed\": %lu, \"refused\": %lu, \"loops\": %lu, \"dropped\": %lu, \"lost\": "
	       "%lu}\n",
		counters->queries, counters->cluster, counters->forwarded, counters->answered_cache,
		counters->failed, counters->refused, counters->loops, counters->dropped,
		counters->lost);
	(void)fflush(stdout);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
	(void)handle;
	(void)suggested;
	*ret_buf = uv_buf_init(driver.line, sizeof(driver.line) - 1);
}

static void on_line(uv_stream_t *stream, ssize_t n, const uv_buf_t *data)
{
	if (n < 0) {
		dns_resolver_free(driver.resolver);
		dns_forwarder_free(driver.cluster);
		/* Answers may come after the resolver has gone. */
		while (driver.muted_count > 0)
			dns_query_answer(driver.muted[--driver.muted_count], NULL, 0);
		uv_close((uv_handle_t *)stream, NULL);
		return;
	}
	data->base[n] = '\0';
	data->base[strcspn(data->base, "\n")] = '\0';
	obey(data->base);
}

static char include[] = ".in.private.example", exclude[] = "private.example", exclude_too[] = "io",
	    printer[] = "printer.shop", db[] = "db.corp", db_alias[] = "web.shop",
	    www[] = "www.corp", www_alias[] = "www.example.com", fixed[] = "fixed.corp",
	    fixed_alias[] = "192.0.2.77", big[] = "big.corp", big_alias[] = "big.example.com";
static char *includes[] = {include, NULL}, *suffixes[] = {exclude, exclude_too, NULL},
	    *excludes[] = {printer, NULL},
	    *mappings[] = {db, db_alias, www, www_alias, fixed, fixed_alias, big, big_alias, NULL};

static int start(char **args, int count)
{
	const struct dns_settings settings = {.include_suffixes = includes,
		.exclude_suffixes = suffixes,
		.excludes = excludes,
		.mappings = mappings};
	const struct dns_events events = {.query = on_query, .upstream_socket = on_socket};
	struct ip_endpoint upstream = {.port = 53}, cluster = {.port = 53};
	struct dns_config config = {
		.upstream = {.servers = &upstream, .count = 1},
		.cluster_domain = "cluster.local",
		.namespace = args[2],
		.settings = &settings,
	};
	struct dns_forwarder_config forward = {.servers = &cluster, .server_count = 1};
	struct err err = ERR_INIT;
	int r;

	if (ip_addr_parse(args[0], &upstream.addr) < 0 || ip_addr_parse(args[1], &cluster.addr) < 0)
		return -EINVAL;
	r = dns_forwarder_new(&driver.loop, &forward, &driver.cluster, &err);
	if (r == 0)
		r = dns_resolver_new(&driver.loop, &config, &events, NULL, &driver.resolver, &err);
	if (r < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return r;
	}
	dns_names_set_cluster(dns_resolver_names(driver.resolver), "cluster.local",
		(const char *const *)(args + 3), (size_t)count - 3);
	return 0;
}

int main(int argc, char **argv)
{
	struct ip_prefix subnet;

	if (argc < 4) {
		(void)fprintf(stderr, "usage: dnsdriver NAMESERVER CLUSTER NAMESPACE KNOWN...\n");
		return 2;
	}
	(void)uv_loop_init(&driver.loop);
	if (start(argv + 1, argc - 1) < 0 || ip_prefix_parse("10.96.0.0/16", &subnet) < 0)
		return 1;
	dns_names_set_subnets(dns_resolver_names(driver.resolver), &subnet, 1);
	printf("port %u\n", dns_resolver_port(driver.resolver));
	(void)fflush(stdout);
	(void)uv_pipe_init(&driver.loop, &driver.in, 0);
	if (uv_pipe_open(&driver.in, STDIN_FILENO) < 0 ||
		uv_read_start((uv_stream_t *)&driver.in, on_alloc, on_line) < 0)
		return 1;
	(void)uv_run(&driver.loop, UV_RUN_DEFAULT);
	return uv_loop_close(&driver.loop) == 0 ? 0 : 1;
}

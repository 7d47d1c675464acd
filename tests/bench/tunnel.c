/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The product's flows and tunnel over one plain TCP connection, without a cluster and without TLS:
 * what a byte costs when nothing but our own code lies between. Same loop, engine, dialer, relay
 * and records as in the daemons; only the control plane is missing.
 *
 * benchtunnel server PORT KEYFILE
 * benchtunnel client ADDRESS PORT KEYFILE CC TUN LOCAL4 PEER4
 * The client writes the Session's public key to KEYFILE before it connects. CC is the congestion
 * control of what the client sends, "-" the namespace's own (what the server always has).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tun/shortcut.h"
#include "client/userd/dial.h"
#include "client/userd/uplink.h"
#include "core/alloc.h"
#include "core/err.h"
#include "flow/flow.h"
#include "net/addr.h"
#include "tunnel/client.h"
#include "tunnel/dial.h"
#include "tunnel/key.h"
#include "tunnel/server.h"
#include "tunnel/socket_carrier.h"

/* Linux 6.2: UDP segmentation offload; refused by older kernels. */
#define OFFLOADS     (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define OFFLOADS_USO (0x20 | 0x40)
#define SESSION      "bench"

static struct {
	uv_loop_t loop;
	struct uplink uplink;
	struct dialer *dialer;
	struct flow_engine *engine;
	struct tunnel_client *client;
	struct tunnel_server *server;
	struct dial_env dial;
	struct dials dials;
	const char *key_file;
} bench;

static _Noreturn void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "benchtunnel: %s: %s\n", what, why);
	exit(1);
}

static void set_congestion_control(int fd, const char *name)
{
	if (strcmp(name, "-") != 0 &&
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) < 0)
		die(name, strerror(errno));
}

/* The server. */

static int lookup(
	void *user UNUSED, const char *uid UNUSED, uint8_t ret_public[static SESSION_KEY_BYTES])
{
	char text[45] = "";
	FILE *file = fopen(bench.key_file, "re");

	if (!file)
		return -ENOENT;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	(void)fclose(file);
	return session_key_decode(text, ret_public);
}

static void on_peer(void *user UNUSED, struct tunnel_peer *peer UNUSED)
{
}

static void on_stream(void *user UNUSED, struct tunnel_peer *peer UNUSED, struct h2_stream *stream,
	const struct h2_head *head)
{
	dial_start(&bench.dial, &bench.dials, stream, head);
}

static int on_http(void *user UNUSED, const char *path UNUSED)
{
	return 404;
}

static void serve(const char *port)
{
	static const struct tunnel_server_events events = {.lookup = lookup,
		.on_peer = on_peer,
		.on_peer_gone = on_peer,
		.on_stream = on_stream,
		.on_http = on_http};
	struct err err = ERR_INIT;

	bench.dial.loop = &bench.loop;
	if (tunnel_server_new(&bench.loop, (uint16_t)strtoul(port, NULL, 10), &events, NULL,
		    &bench.server, &err) < 0)
		die("server", err.msg);
}

/* The client. */

static void on_tcp_open(void *user UNUSED, flow_id_t id, const struct ip_endpoint *src UNUSED,
	const struct ip_endpoint *dst)
{
	dialer_open(bench.dialer, id, dst);
}

static void on_tcp_cancelled(void *user UNUSED, flow_id_t id)
{
	dialer_cancelled(bench.dialer, id);
}

static void on_tcp_established(void *user UNUSED, flow_id_t id, int fd)
{
	dialer_established(bench.dialer, id, fd);
}

static void on_udp(void *user UNUSED, const struct ip_endpoint *src, const struct ip_endpoint *dst,
	const uint8_t *data UNUSED, size_t len UNUSED)
{
	/* NOLINTNEXTLINE(readability-suspicious-call-argument): back to where it came from */
	flow_udp_refuse(bench.engine, dst, src);
}

static void on_echo(void *user UNUSED, const struct ip_addr *src UNUSED,
	const struct ip_addr *dst UNUSED, uint16_t ident UNUSED, uint16_t sequence UNUSED,
	const uint8_t *data UNUSED, size_t len UNUSED)
{
}

static void on_ready(void *user UNUSED)
{
	bench.uplink.h2 = tunnel_client_h2(bench.client);
	printf("ready\n");
	(void)fflush(stdout);
}

static void on_closed(void *user UNUSED, const struct err *err)
{
	die("tunnel", err->msg);
}

static int open_tun(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0 ||
		(ioctl(fd, TUNSETOFFLOAD, OFFLOADS | OFFLOADS_USO) < 0 &&
			ioctl(fd, TUNSETOFFLOAD, OFFLOADS) < 0))
		die(name, strerror(errno));
	return fd;
}

static uint32_t index_of(const char *name)
{
	struct ifreq ifr = {.ifr_flags = 0};
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &ifr) < 0)
		die(name, strerror(errno));
	return (uint32_t)ifr.ifr_ifindex;
}

static void open_engine(char **argv)
{
	static const struct flow_events events = {.tcp_open = on_tcp_open,
		.tcp_cancelled = on_tcp_cancelled,
		.tcp_established = on_tcp_established,
		.udp_received = on_udp,
		.icmp_echo = on_echo};
	struct flow_config config = {.tun_fd = open_tun(argv[0])};
	struct err err = ERR_INIT;
	struct shortcut shortcut;
	int r = shortcut_open(&shortcut, index_of(argv[0]));

	config.shortcut_fd = shortcut.map_fd;
	if (r < 0)
		(void)fprintf(stderr, "no shortcut: %s\n", strerror(-r));
	if (ip_addr_parse(argv[1], &config.local4) < 0 || ip_addr_parse(argv[2], &config.peer4) < 0)
		die(argv[1], "not an address");
	bench.dialer = dialer_new(&bench.loop, &bench.uplink);
	if (flow_engine_new(&bench.loop, &config, &events, NULL, &bench.engine, &err) < 0)
		die("flows", err.msg);
	dialer_set_engine(bench.dialer, bench.engine);
}

static struct session_key *make_key(void)
{
	uint8_t public_key[SESSION_KEY_BYTES];
	struct session_key *key = NULL;
	struct err err = ERR_INIT;
	char text[45];
	FILE *file = fopen(bench.key_file, "we");

	if (!file || session_key_new(&key, &err) < 0)
		die(bench.key_file, strerror(errno));
	session_key_public(key, public_key);
	session_key_encode(public_key, text);
	(void)fputs(text, file);
	(void)fclose(file);
	return key;
}

/* A bare carrier: the preamble, then records. */
static void dial_server(const char *address, const char *port, const char *cc)
{
	static const struct tunnel_client_events events = {
		.on_ready = on_ready, .on_closed = on_closed};
	const struct tunnel_client_config config = {.session_uid = SESSION, .key = make_key()};
	struct ip_endpoint server = {.port = (uint16_t)strtoul(port, NULL, 10)};
	struct sockaddr_storage sa;
	socklen_t len;
	int fd;

	if (ip_addr_parse(address, &server.addr) < 0)
		die(address, "not an address");
	len = ip_endpoint_to_sockaddr(&server, &sa);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket", strerror(errno));
	set_congestion_control(fd, cc);
	if (connect(fd, (struct sockaddr *)&sa, len) < 0 ||
		write(fd, TUNNEL_PREAMBLE, strlen(TUNNEL_PREAMBLE)) < 0 ||
		fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die(address, strerror(errno));
	bench.client = tunnel_client_new(&bench.loop,
		socket_carrier_new(&bench.loop, fd, SOCKET_RAW), &config, &events, NULL);
}

int main(int argc, char **argv)
{
	bool server = argc == 4 && strcmp(argv[1], "server") == 0;

	if (!server && (argc != 9 || strcmp(argv[1], "client") != 0)) {
		(void)fprintf(stderr,
			"usage: benchtunnel server PORT KEYFILE\n"
			"       benchtunnel client ADDRESS PORT KEYFILE CC TUN LOCAL4 PEER4\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&bench.loop);
	bench.key_file = argv[server ? 3 : 4];
	if (server) {
		serve(argv[2]);
		printf("ready\n");
		(void)fflush(stdout);
	} else {
		open_engine(argv + 6);
		dial_server(argv[2], argv[3], argv[5]);
	}
	return uv_run(&bench.loop, UV_RUN_DEFAULT);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flowecho: the flow engine on a TUN that it makes itself in the namespace where it runs
 * ("laptop"), with a dialer whose sockets live in another one ("cluster"). Prints a line of JSON:
 * "ready" first, the counters on SIGUSR1 and at the end (SIGTERM).
 *
 * flowecho TUN CLUSTER-NETNS-FILE LOCAL4 PEER4 LOCAL6 PEER6
 * [PORT=silent|prohibited|net|host|held]...
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/err.h"
#include "core/limits.h"
#include "tun/shortcut.h"
#include "flow/flow.h"
#include "flowdial.h"
#include "flowpump.h"

/* Linux 6.2: UDP segmentation offload; refused by older kernels. */
#define OFFLOADS     (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define OFFLOADS_USO (0x20 | 0x40)
#define ASSOCIATIONS 64
#define RULES        16

struct echo;

struct dial {
	struct echo *echo;
	flow_id_t id;
	uv_poll_t poll;
	int fd;
};

struct association {
	struct echo *echo;
	struct ip_endpoint src, dst;
	uv_poll_t poll;
	int fd;
};

struct echo {
	uv_loop_t loop;
	struct flow_engine *engine;
	struct flow_events events;
	uv_signal_t usr1, term;
	struct dial *dials[LIMIT_FLOWS + 1]; /* by the slot in a flow_id_t */
	struct association associations[ASSOCIATIONS];
	unsigned int association_count, cancelled;
	struct {
		unsigned int port;
		char verdict[16];
	} rules[RULES];
	unsigned int rule_count;
};

static const char *rule_for(const struct echo *echo, uint16_t port)
{
	for (unsigned int i = 0; i < echo->rule_count; i++) {
		if (echo->rules[i].port == port)
			return echo->rules[i].verdict;
	}
	return "";
}

static enum flow_verdict verdict_of(int error)
{
	switch (error) {
	case 0:
		return FLOW_OPENED;
	case ECONNREFUSED:
		return FLOW_REFUSED;
	case ENETUNREACH:
		return FLOW_NET_UNREACHABLE;
	case EACCES:
	case EPERM:
		return FLOW_PROHIBITED;
	case ETIMEDOUT:
		return FLOW_SILENT;
	default:
		return FLOW_HOST_UNREACHABLE;
	}
}

static void on_dial_closed(uv_handle_t *handle)
{
	free(container_of((uv_poll_t *)handle, struct dial, poll));
}

/* The dial's socket, or -1 with the dial gone. */
static int dial_end(struct echo *echo, flow_id_t id)
{
	struct dial *dial = echo->dials[(uint32_t)id];
	int fd;

	if (!dial)
		return -1;
	echo->dials[(uint32_t)id] = NULL;
	fd = dial->fd;
	uv_close((uv_handle_t *)&dial->poll, on_dial_closed);
	return fd;
}

static void on_dialed(uv_poll_t *poll, int status, int events)
{
	struct dial *dial = container_of(poll, struct dial, poll);
	struct echo *echo = dial->echo;
	int error = 0;
	socklen_t len = sizeof(error);
	flow_id_t id = dial->id;

	(void)status;
	(void)events;
	uv_poll_stop(poll);
	(void)getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error)
		close(dial_end(echo, id));
	flow_tcp_answer(echo->engine, id, verdict_of(error));
}

static void on_tcp_open(
	void *user, flow_id_t id, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	struct echo *echo = user;
	const char *rule = rule_for(echo, dst->port);
	struct dial *dial;
	int fd;

	(void)src;
	if (strcmp(rule, "held") == 0)
		return;
	if (*rule) {
		flow_tcp_answer(echo->engine, id,
			strcmp(rule, "silent") == 0       ? FLOW_SILENT
			: strcmp(rule, "prohibited") == 0 ? FLOW_PROHIBITED
			: strcmp(rule, "net") == 0        ? FLOW_NET_UNREACHABLE
							  : FLOW_HOST_UNREACHABLE);
		return;
	}
	fd = flowdial_socket(dst, SOCK_STREAM);
	if (fd < 0) {
		flow_tcp_answer(echo->engine, id, verdict_of(-fd));
		return;
	}
	dial = XNEW(struct dial);
	dial->echo = echo;
	dial->id = id;
	dial->fd = fd;
	echo->dials[(uint32_t)id] = dial;
	uv_poll_init(&echo->loop, &dial->poll, fd);
	uv_poll_start(&dial->poll, UV_WRITABLE, on_dialed);
}

static void on_tcp_cancelled(void *user, flow_id_t id)
{
	struct echo *echo = user;
	struct linger linger = {.l_onoff = 1, .l_linger = 0};
	int fd = dial_end(echo, id);

	echo->cancelled++;
	if (fd < 0)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void on_tcp_established(void *user, flow_id_t id, int fd)
{
	struct echo *echo = user;
	int target = dial_end(echo, id);

	if (target < 0)
		abort();
	flowpump_start(&echo->loop, fd, target);
}

static void on_udp_readable(uv_poll_t *poll, int status, int events)
{
	struct association *association = container_of(poll, struct association, poll);
	static uint8_t data[65536];
	ssize_t n = recv(association->fd, data, sizeof(data), 0);

	(void)status;
	(void)events;
	if (n >= 0)
		flow_udp_send(association->echo->engine, &association->dst, &association->src, data,
			(size_t)n);
	else if (errno == ECONNREFUSED)
		flow_udp_refuse(association->echo->engine, &association->src, &association->dst);
}

static struct association *associate(
	struct echo *echo, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	struct association *association = echo->associations;

	for (unsigned int i = 0; i < echo->association_count; i++, association++) {
		if (association->src.port == src->port && association->dst.port == dst->port &&
			ip_addr_equal(&association->dst.addr, &dst->addr))
			return association;
	}
	if (echo->association_count == ASSOCIATIONS)
		return NULL;
	association->fd = flowdial_socket(dst, SOCK_DGRAM);
	if (association->fd < 0)
		return NULL;
	association->echo = echo;
	association->src = *src;
	association->dst = *dst;
	uv_poll_init(&echo->loop, &association->poll, association->fd);
	uv_poll_start(&association->poll, UV_READABLE, on_udp_readable);
	echo->association_count++;
	return association;
}

static void on_udp_received(void *user, const struct ip_endpoint *src,
	const struct ip_endpoint *dst, const uint8_t *data, size_t len)
{
	struct association *association = associate(user, src, dst);

	if (association)
		(void)!send(association->fd, data, len, 0);
}

/* The association is over; its place is not used again. */
static void on_udp_unreachable(
	void *user, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	struct echo *echo = user;

	for (unsigned int i = 0; i < echo->association_count; i++) {
		struct association *association = &echo->associations[i];

		if (association->src.port != src->port || association->dst.port != dst->port)
			continue;
		uv_poll_stop(&association->poll);
		close(association->fd);
		association->src.port = 0;
	}
}

static void on_icmp_echo(void *user, const struct ip_addr *src, const struct ip_addr *dst,
	uint16_t ident, uint16_t sequence, const uint8_t *data, size_t len)
{
	struct echo *echo = user;

	flow_icmp_reply(echo->engine, dst, src, ident, sequence, data, len);
}

static void print_counters(const struct echo *echo)
{
	const struct flow_counters *c = flow_engine_counters(echo->engine);

	printf("{\"event\": \"counters\", \"tcp_opened\": %lu, \"tcp_refused\": %lu, "
	       "\"tcp_failed\": %lu, \"cancelled\": %u, \"udp_in\": %lu, \"udp_out\": %lu, "
	       "\"icmp_in\": %lu, \"malformed\": %lu, \"fragment\": %lu, \"protocol\": %lu, "
	       "\"table_full\": %lu, \"tun_full\": %lu, \"stray\": %lu, \"rejected\": %lu, "
	       "\"fragments_in\": %lu, \"reassembled\": %lu, \"ttl\": %lu, "
	       "\"icmp_errors\": %lu, \"udp_unreachable\": %lu, "
	       "\"tcp_shortcut\": %lu, \"packets_shortcut\": %lu, "
	       "\"packets_in\": %lu, \"packets_out\": %lu, \"pumps\": %u}\n",
		c->tcp_opened, c->tcp_refused, c->tcp_failed, echo->cancelled, c->udp_in,
		c->udp_out, c->icmp_in, c->dropped_malformed, c->dropped_fragment,
		c->dropped_protocol, c->dropped_table_full, c->dropped_tun_full, c->dropped_stray,
		c->accept_rejected, c->fragments_in, c->reassembled, c->dropped_ttl, c->icmp_errors,
		c->udp_unreachable, c->tcp_shortcut, c->packets_shortcut, c->packets_in,
		c->packets_out, flowpump_count());
	(void)fflush(stdout);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct echo *echo = handle->data;

	print_counters(echo);
	if (signum == SIGTERM)
		uv_stop(&echo->loop);
}

static void on_tun_lost(void *user, int error)
{
	(void)user;
	(void)fprintf(stderr, "flowecho: TUN lost: %s\n", strerror(-error));
	exit(3);
}

static int open_tun(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -1;
	if (ioctl(fd, TUNSETOFFLOAD, OFFLOADS | OFFLOADS_USO) < 0 &&
		ioctl(fd, TUNSETOFFLOAD, OFFLOADS) < 0)
		return -1;
	return fd;
}

/* With FLOWECHO_SHORTCUT the kernel takes the packets that it can; that it cannot is an error. */
static int open_shortcut(const char *device)
{
	struct ifreq ifr = {.ifr_flags = 0};
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct shortcut shortcut;
	int r;

	if (!getenv("FLOWECHO_SHORTCUT"))
		return -1;
	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", device);
	if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &ifr) < 0)
		exit(4);
	r = shortcut_open(&shortcut, (uint32_t)ifr.ifr_ifindex);
	if (r < 0) {
		(void)fprintf(stderr, "flowecho: shortcut: %s\n", strerror(-r));
		exit(4);
	}
	return shortcut.map_fd;
}

static int setup(struct echo *echo, char **argv)
{
	struct flow_config config = {.tun_fd = open_tun(argv[1])};
	struct err err = ERR_INIT;

	config.shortcut_fd = open_shortcut(argv[1]);

	echo->events = (struct flow_events){
		.tcp_open = on_tcp_open,
		.tcp_cancelled = on_tcp_cancelled,
		.tcp_established = on_tcp_established,
		.udp_received = on_udp_received,
		.udp_unreachable = on_udp_unreachable,
		.icmp_echo = on_icmp_echo,
		.tun_lost = on_tun_lost,
	};
	if (config.tun_fd < 0 || flowdial_open(argv[2]) < 0) {
		perror("flowecho");
		return -1;
	}
	if (ip_addr_parse(argv[3], &config.local4) < 0 ||
		ip_addr_parse(argv[4], &config.peer4) < 0 ||
		ip_addr_parse(argv[5], &config.local6) < 0 ||
		ip_addr_parse(argv[6], &config.peer6) < 0)
		return -1;
	if (flow_engine_new(&echo->loop, &config, &echo->events, echo, &echo->engine, &err) < 0) {
		(void)fprintf(stderr, "flowecho: %s\n", err.msg);
		return -1;
	}
	return 0;
}

static void watch_signal(struct echo *echo, uv_signal_t *handle, int signum)
{
	uv_signal_init(&echo->loop, handle);
	handle->data = echo;
	uv_signal_start(handle, on_signal, signum);
}

int main(int argc, char **argv)
{
	static struct echo echo;

	if (argc < 7 || argc > 7 + RULES)
		return 2;
	for (int i = 7; i < argc; i++) {
		char *equals = strchr(argv[i], '=');

		if (!equals)
			return 2;
		echo.rules[echo.rule_count].port = (unsigned int)strtoul(argv[i], NULL, 10);
		(void)snprintf(echo.rules[echo.rule_count++].verdict, sizeof(echo.rules[0].verdict),
			"%s", equals + 1);
	}
	uv_loop_init(&echo.loop);
	if (setup(&echo, argv) < 0)
		return 1;
	watch_signal(&echo, &echo.usr1, SIGUSR1);
	watch_signal(&echo, &echo.term, SIGTERM);
	printf("{\"event\": \"ready\"}\n");
	(void)fflush(stdout);
	uv_run(&echo.loop, UV_RUN_DEFAULT);
	flow_engine_free(echo.engine);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wan/wan.c - a long thin cable between two network devices: delay, rate, loss and a queue
 *
 * Frames that arrive at one device leave at the other, in both directions, as a link of the given
 * rate would carry them: each waits for those before it, then for the delay. What does not fit into
 * the queue before the link is dropped, as a router does. Kernels without netem need this.
 *
 * A frame arrives when the kernel got it, not when this process is given the CPU and reads it: on a
 * busy machine the delay stays what it says as long as this process is late by less than that.
 *
 * The checksum state of a frame goes along with it (PACKET_VNET_HDR), because frames between
 * namespaces of one machine have no checksum yet. So do frames that a card would have to segment
 * (TSO, USO) and the other card would put together again: one occupies the link for as long as its
 * segments and their headers would, and arrives when the last of them has. A real cable costs no
 * processor, and one that handles each segment of a gigabit costs all of one. Where frames may be
 * lost the devices must not hand over such: a loss would be of all its segments.
 *
 * A cable does not wait for other programs either: it runs before them where it may (SCHED_FIFO).
 *
 * Run inside the namespace of the devices. Prints "ready" when it carries frames, and its counters
 * when it is told to end (SIGTERM).
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S        1000000000LL
#define NS_PER_MS       1000000LL
#define WAN_FRAME       66000 /* 64 KB to be segmented, link and vnet headers */
#define WAN_FRAMES      32768 /* on the way at once: 48 MB unsegmented, 1 Gbit/s times 300 ms */
#define WAN_BATCH       64 /* frames in a call, and read before the other direction's turn */
#define WAN_LATE_NS     NS_PER_S /* a frame that waited longer to be read has no sane time stamp */
#define WAN_SOCKET_BUF  (8 << 20)
#define TCP_OFFSET_AT   12 /* of a TCP header, the byte with its length (RFC 9293 3.1) */
#define TCP_OFFSET_UNIT 4
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* since Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#define TIMER_SLACK_NS 1000UL /* the default of 50 us would be seen in a delay of 1 ms */

struct link {
	int64_t delay_ns;
	double ns_per_byte; /* 0: no limit */
	double loss; /* 0 to 1 */
	int64_t queue_ns; /* how long a full queue takes to drain */
};

struct frame {
	int64_t due_ns;
	size_t length;
	uint8_t bytes[WAN_FRAME];
};

struct direction {
	int in_fd, out_fd;
	int64_t free_at_ns; /* when the link has sent all that was given to it */
	unsigned int head, tail;
	unsigned int order[WAN_FRAMES]; /* ring of indices into frames, oldest at head */
	unsigned int unused[WAN_FRAMES]; /* stack: few frames on the way touch little memory */
	unsigned int unused_count;
	struct frame *frames;
	uint64_t carried, lost, dropped, oversize, refused;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void fail(const char *what)
{
	fprintf(stderr, "wan: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_device(const char *name)
{
	int on = 1, size = WAN_SOCKET_BUF;
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || address.sll_ifindex == 0)
		fail(name);
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
		setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) ||
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) ||
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)))
		fail(name);
	return fd;
}

static void direction_init(struct direction *dir, int in_fd, int out_fd)
{
	dir->in_fd = in_fd;
	dir->out_fd = out_fd;
	dir->frames = calloc(WAN_FRAMES, sizeof(*dir->frames));
	if (!dir->frames)
		fail("memory");
	for (unsigned int i = 0; i < WAN_FRAMES; i++)
		dir->unused[dir->unused_count++] = i;
}

/* Bytes on the link: a frame that is to be segmented has its headers once a segment. */
static size_t wire_bytes(const struct frame *frame)
{
	const uint8_t *bytes = frame->bytes + sizeof(struct virtio_net_hdr);
	size_t length = frame->length - sizeof(struct virtio_net_hdr), headers;
	struct virtio_net_hdr hdr;

	memcpy(&hdr, frame->bytes, sizeof(hdr));
	if (hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE || hdr.gso_size == 0)
		return length;
	if (hdr.gso_type == VIRTIO_NET_HDR_GSO_UDP_L4)
		headers = hdr.csum_start + sizeof(struct udphdr);
	else
		headers = hdr.csum_start +
			  (size_t)(bytes[hdr.csum_start + TCP_OFFSET_AT] >> 4) * TCP_OFFSET_UNIT;
	return length + (length - headers - 1) / hdr.gso_size * headers;
}

/* Puts a frame on the link, or drops it. True if it is on its way. */
static bool accept_frame(
	struct direction *dir, const struct link *link, struct frame *frame, int64_t came_ns)
{
	if (link->loss > 0 && drand48() < link->loss) {
		dir->lost++;
		return false;
	}
	if (dir->free_at_ns < came_ns)
		dir->free_at_ns = came_ns;
	if (link->ns_per_byte > 0 && dir->free_at_ns - came_ns > link->queue_ns) {
		dir->dropped++;
		return false;
	}
	dir->free_at_ns += (int64_t)((double)wire_bytes(frame) * link->ns_per_byte);
	frame->due_ns = dir->free_at_ns + link->delay_ns;
	return true;
}

/* How long ago the kernel got the frame of this message; the wall clock may have been set since. */
static int64_t age_ns(struct msghdr *message, int64_t wall_ns)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
	struct timespec came;
	int64_t age;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_TIMESTAMPNS)
		return 0;
	memcpy(&came, CMSG_DATA(cmsg), sizeof(came));
	age = wall_ns - (came.tv_sec * NS_PER_S + came.tv_nsec);
	return age > 0 && age < WAN_LATE_NS ? age : 0;
}

static bool take_frame(struct direction *dir, const struct link *link, unsigned int index,
	size_t length, int64_t came_ns)
{
	struct frame *frame = &dir->frames[index];

	if (length > sizeof(frame->bytes)) {
		dir->oversize++;
		return false;
	}
	frame->length = length;
	return length > sizeof(struct virtio_net_hdr) && accept_frame(dir, link, frame, came_ns);
}

static void read_frames(struct direction *dir, const struct link *link)
{
	static char control[WAN_BATCH][CMSG_SPACE(sizeof(struct timespec))];
	static struct mmsghdr messages[WAN_BATCH];
	static struct iovec parts[WAN_BATCH];
	unsigned int room = dir->unused_count < WAN_BATCH ? dir->unused_count : WAN_BATCH;
	unsigned int *indices = &dir->unused[dir->unused_count - room];
	unsigned int taken[WAN_BATCH];
	int64_t now, wall;
	int count;

	for (unsigned int i = 0; i < room; i++) {
		parts[i] = (struct iovec){dir->frames[indices[i]].bytes, WAN_FRAME};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
			.msg_iovlen = 1,
			.msg_control = control[i],
			.msg_controllen = sizeof(control[i])};
	}
	count = room > 0 ? recvmmsg(dir->in_fd, messages, room, MSG_TRUNC, NULL) : 0;
	now = now_ns();
	wall = clock_ns(CLOCK_REALTIME);
	memcpy(taken, indices, room * sizeof(*taken));
	dir->unused_count -= room;
	for (unsigned int i = 0; i < room; i++) {
		if ((int)i < count && take_frame(dir, link, taken[i], messages[i].msg_len,
					      now - age_ns(&messages[i].msg_hdr, wall)))
			dir->order[dir->tail++ % WAN_FRAMES] = taken[i];
		else
			dir->unused[dir->unused_count++] = taken[i];
	}
}

/* Sends the next `count` frames; how many were sent or refused. */
static unsigned int send_frames(struct direction *dir, unsigned int count)
{
	static struct mmsghdr messages[WAN_BATCH];
	static struct iovec parts[WAN_BATCH];
	int sent;

	for (unsigned int i = 0; i < count; i++) {
		struct frame *frame = &dir->frames[dir->order[(dir->head + i) % WAN_FRAMES]];

		parts[i] = (struct iovec){frame->bytes, frame->length};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	sent = sendmmsg(dir->out_fd, messages, count, 0);
	if (sent <= 0) {
		dir->refused++;
		return 1;
	}
	dir->carried += (unsigned int)sent;
	return (unsigned int)sent;
}

static void send_due_frames(struct direction *dir)
{
	int64_t now = now_ns();
	unsigned int due, done;

	do {
		for (due = 0; due < WAN_BATCH && dir->head + due != dir->tail; due++)
			if (dir->frames[dir->order[(dir->head + due) % WAN_FRAMES]].due_ns > now)
				break;
		done = due > 0 ? send_frames(dir, due) : 0;
		for (unsigned int i = 0; i < done; i++)
			dir->unused[dir->unused_count++] = dir->order[dir->head++ % WAN_FRAMES];
	} while (due == WAN_BATCH || done < due);
}

/* When the next frame of a direction is due, or INT64_MAX. */
static int64_t next_due(const struct direction *dir)
{
	if (dir->head == dir->tail)
		return INT64_MAX;
	return dir->frames[dir->order[dir->head % WAN_FRAMES]].due_ns;
}

static void wait_for_work(const struct direction dirs[2], const sigset_t *signals)
{
	struct pollfd fds[2] = {
		{.fd = dirs[0].in_fd, .events = dirs[0].unused_count > 0 ? POLLIN : 0},
		{.fd = dirs[1].in_fd, .events = dirs[1].unused_count > 0 ? POLLIN : 0},
	};
	int64_t due = next_due(&dirs[0]), other = next_due(&dirs[1]);
	struct timespec timeout = {0};

	due = due < other ? due : other;
	if (due != INT64_MAX) {
		int64_t left = due - now_ns();

		left = left > 0 ? left : 0;
		timeout.tv_sec = left / NS_PER_S;
		timeout.tv_nsec = left % NS_PER_S;
	}
	if (ppoll(fds, 2, due == INT64_MAX ? NULL : &timeout, signals) < 0 && errno != EINTR)
		fail("ppoll");
}

static double number(const char *text, double max)
{
	char *end = NULL;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0 && value <= max)) {
		fprintf(stderr, "wan: %s: not a number from 0 to %g\n", text, max);
		exit(2);
	}
	return value;
}

static struct link parse_link(char **args)
{
	double delay_ms = number(args[0], 10000), rate_mbit = number(args[1], 100000);
	double loss_percent = number(args[2], 100), queue_kb = number(args[3], 1000000);
	struct link link = {
		.delay_ns = (int64_t)(delay_ms * (double)NS_PER_MS),
		.ns_per_byte = rate_mbit > 0 ? 8000 / rate_mbit : 0,
		.loss = loss_percent / 100,
	};

	link.queue_ns = (int64_t)(queue_kb * 1000 * link.ns_per_byte);
	return link;
}

static void handle_signals(sigset_t *ret_unblocked)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, ret_unblocked);
	sigdelset(ret_unblocked, SIGTERM);
	sigdelset(ret_unblocked, SIGINT);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

int main(int argc, char **argv)
{
	static struct direction dirs[2];
	sigset_t unblocked;

	if (argc != 7) {
		fprintf(stderr,
			"usage: wan DEVICE DEVICE DELAY_MS RATE_MBIT LOSS_PERCENT QUEUE_KB\n"
			"Delay each way; a rate of 0 is unlimited.\n");
		return 2;
	}
	struct link link = parse_link(argv + 3);
	int first = open_device(argv[1]), second = open_device(argv[2]);

	direction_init(&dirs[0], first, second);
	direction_init(&dirs[1], second, first);
	handle_signals(&unblocked);
	srand48(1); /* the same losses on every run */
	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
	printf("ready\n");
	fflush(stdout);
	while (!stopping) {
		wait_for_work(dirs, &unblocked);
		for (int i = 0; i < 2; i++) {
			read_frames(&dirs[i], &link);
			send_due_frames(&dirs[i]);
		}
	}
	for (int i = 0; i < 2; i++)
		printf("%s: carried %llu, lost %llu, dropped %llu, oversize %llu, refused %llu\n",
			argv[1 + i], (unsigned long long)dirs[i].carried,
			(unsigned long long)dirs[i].lost, (unsigned long long)dirs[i].dropped,
			(unsigned long long)dirs[i].oversize, (unsigned long long)dirs[i].refused);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/limits.h - every bound on what comes from outside, with its reason
 *
 * Sizes in bytes, times in milliseconds.
 */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H

/* Packets: what a TUN with vnet_hdr hands over at once (64 KiB GSO segment and its headers). */
#define LIMIT_TUN_PACKET_BYTES (65535 + 64)
/* Packets handled per wake-up of the loop before others get their turn. */
#define LIMIT_TUN_BATCH 64
/* NAT ports of one address family: one TUN peer address has 65,535 of them, low ones stay unused.
 */
#define LIMIT_FLOWS 32768
/* A flow whose target did not answer: as long as a client's own SYN retries (tcp_syn_retries 6). */
#define LIMIT_FLOW_OPEN_MS 130000
/* Datagrams being put together from fragments: 4 MiB when all are whole. The laptop's own kernel
 * sends the pieces of one within microseconds; what is not whole by then has lost one. */
#define LIMIT_FRAGMENT_DATAGRAMS 64
#define LIMIT_FRAGMENT_MS        5000
/* Runs of bytes with a hole between them: 65,535 bytes at an MTU of 1280 are 54 pieces. */
#define LIMIT_FRAGMENT_RUNS 64

/* DNS: the largest message over TCP (RFC 1035 4.2.2) and what plain UDP clients take. */
#define LIMIT_DNS_MESSAGE_BYTES 65535
#define LIMIT_DNS_INFLIGHT      1024
#define LIMIT_DNS_TIMEOUT_MS    5000
/* The same question forwarded so often at a time is a loop; below dnsmasq's own limit of 150. */
#define LIMIT_DNS_SAME 128
/* Headless Services of a namespace whose pods' short names are known on the laptop.
 * systemd-resolved is told each of them, of 512 domains in all. */
#define LIMIT_DNS_HEADLESS 128

/* Tunnel: one HTTP/2 stream's credit (a fixed 64 KB window holds a peer to 20 Mbit/s at 20 ms). It
 * is given back by halves, so half of it is sure in a round trip. */
#define LIMIT_STREAM_WINDOW_BYTES (8 * 1024 * 1024)
/* What it begins with: a reader that stands still holds no more. */
#define LIMIT_STREAM_FIRST_BYTES      (256 * 1024)
#define LIMIT_CONNECTION_WINDOW_BYTES (64 * 1024 * 1024)
/* Of one HTTP/2 session: as many as a laptop's flows, and 10,000 idle intercepted connections of
 * each of three pods. One costs 1 KB at an end, 1.7 KB spliced
 * (tests/unit/tunnel/test_footprint.c). */
#define LIMIT_STREAMS 32768
/* An HTTP/2 connection has no more streams once their numbers have reached 2^31 (RFC 9113 5.1.1).
 * From this number on another one is opened beside it: 16 million streams are left then, at 10,000
 * a second half an hour. */
#define LIMIT_STREAM_ID 0x7e000000
/* Bytes moved per socket and wake-up. */
#define LIMIT_PUMP_BYTES (256 * 1024)
/* Bytes queued in a carrier before the layer above has to wait. */
#define LIMIT_CARRIER_QUEUE_BYTES (256 * 1024)
/* Unsent bytes the kernel may hold for a carrier (TCP_NOTSENT_LOWAT). */
#define LIMIT_CARRIER_UNSENT_BYTES (128 * 1024)
/* An HTTP/1.1 head of an upgrade, either way. */
#define LIMIT_HTTP_HEAD_BYTES (16 * 1024)
/* A control, DoH or status body within the tunnel. */
#define LIMIT_CONTROL_BODY_BYTES (1024 * 1024)
/* From accept to proven Session. */
#define LIMIT_HANDSHAKE_MS 10000
/* Carriers that have not proven a Session yet, over all peers. */
#define LIMIT_HANDSHAKES   1024
#define LIMIT_HEARTBEAT_MS 2000
/* Without any byte for this long the carrier is dead: nothing new goes there. */
#define LIMIT_CARRIER_SILENCE_MS 5000
/* For so long what it carries has its chance all the same: TCP itself goes on after a cut, and so
 * do the programs' connections. */
#define LIMIT_CARRIER_KEEP_MS 60000
/* Without an answer to a heartbeat for this long, or four round trips, another one is opened beside
 * it: above what a lost packet's retransmission takes. */
#define LIMIT_CARRIER_SUSPECT_MS 1000
/* The manager's dial of a pod or service: longer than any SYN retry that may still succeed. */
#define LIMIT_DIAL_MS 120000

/* Kubernetes API: one object or one watch event; a page of a list. */
#define LIMIT_KUBE_BODY_BYTES  (16 * 1024 * 1024)
#define LIMIT_KUBE_PAGE_ITEMS  500
#define LIMIT_KUBE_REQUEST_MS  30000
#define LIMIT_KUBECONFIG_BYTES (1024 * 1024)

/* IPC: the root daemon's messages are fixed fields, the user daemon's are JSON. */
#define LIMIT_ROOT_MESSAGE_BYTES (16 * 1024)
#define LIMIT_ROOT_PREFIXES      256
#define LIMIT_ROOT_NAMESERVERS   3
/* Names of domains one after the other: most of a message. */
#define LIMIT_ROOT_DOMAIN_BYTES  (12 * 1024)
#define LIMIT_USER_MESSAGE_BYTES (1024 * 1024)
/* The root daemon's answer, for which the user daemon stands still: less than what a command waits
 * for the user daemon's (client/cli/daemon.h). */
#define LIMIT_IPC_TIMEOUT_MS 4000

#endif /* CORE_LIMITS_H */

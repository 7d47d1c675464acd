/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnelprobe ADDRESS PORT - the client's end of a tunnel, driven line by line by a test
 *
 * Prints its public key, reads "uid UID", connects, proves and prints {"event":"ready"}. Then each
 *   request ID METHOD PATH AUTHORITY PROTOCOL CONTENT_TYPE PAYLOAD_HEX FIN
 * ("-" for none) opens a stream and `reset ID` resets it. What happens to a stream is printed as
 * one JSON object a line: head, data (hex), end, close.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"
#include "net/addr.h"
#include "tunnel/client.h"
#include "tunnel/h2.h"
#include "tunnel/key.h"
#include "tunnel/reason.h"
#include "tunnel/socket_carrier.h"

#define LINE_MAX_BYTES (256 * 1024)
#define FIELDS         8

struct stream {
	char id[16];
	struct h2_stream *h2;
	uint8_t *payload;
	size_t len, pos;
	bool fin;
	struct stream *next;
};

static struct {
	uv_loop_t loop;
	uv_poll_t input;
	struct buf line;
	struct session_key *key;
	struct ip_endpoint server;
	struct tunnel_client *tunnel;
	struct stream *streams;
} probe;

static void die(const char *what)
{
	(void)fprintf(stderr, "tunnelprobe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void stop(void)
{
	uv_poll_stop(&probe.input);
	uv_stop(&probe.loop);
}

static void on_head(void *user, const struct h2_head *head)
{
	struct stream *stream = user;
	const char *reason = h2_head_get(head, REASON_HEADER);
	const char *type = h2_head_get(head, "content-type");

	printf("{\"id\":\"%s\",\"event\":\"head\",\"status\":%d,\"reason\":\"%s\",\"type\":\"%s\"}"
	       "\n",
		stream->id, head->status, reason ? reason : "", type ? type : "");
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct stream *stream = user;

	printf("{\"id\":\"%s\",\"event\":\"data\",\"hex\":\"", stream->id);
	for (size_t i = 0; i < len; i++)
		printf("%02x", data[i]);
	printf("\"}\n");
	h2_stream_consumed(stream->h2, len);
}

static void on_end(void *user)
{
	struct stream *stream = user;

	printf("{\"id\":\"%s\",\"event\":\"end\"}\n", stream->id);
}

static ssize_t on_read(void *user, uint8_t *out, size_t len)
{
	struct stream *stream = user;
	size_t take = MIN(len, stream->len - stream->pos);

	if (take == 0)
		return stream->fin ? H2_READ_EOF : H2_READ_AGAIN;
	memcpy(out, stream->payload + stream->pos, take);
	stream->pos += take;
	return (ssize_t)take;
}

static void on_close(void *user, uint32_t code)
{
	struct stream *stream = user;

	printf("{\"id\":\"%s\",\"event\":\"close\",\"code\":%u}\n", stream->id, code);
	stream->h2 = NULL;
}

static const struct h2_stream_events events = {
	.on_head = on_head,
	.on_data = on_data,
	.on_end = on_end,
	.on_read = on_read,
	.on_close = on_close,
};

static uint8_t nibble(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static void set_payload(struct stream *stream, const char *hex)
{
	if (!hex)
		return;
	stream->len = strlen(hex) / 2;
	stream->payload = xcalloc(stream->len + 1, 1);
	for (size_t i = 0; i < stream->len; i++)
		stream->payload[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
}

static void request(char **fields)
{
	struct h2_header type = {.name = "content-type", .value = fields[5]};
	struct h2_head head = {
		.method = fields[1],
		.path = fields[2],
		.authority = fields[3],
		.protocol = fields[4],
		.headers = &type,
		.header_count = fields[5] ? 1 : 0,
	};
	struct stream *stream = XNEW(struct stream);
	int r;

	(void)snprintf(stream->id, sizeof(stream->id), "%s", fields[0]);
	set_payload(stream, fields[6]);
	stream->fin = fields[7] && *fields[7] == '1';
	stream->next = probe.streams;
	probe.streams = stream;
	r = h2_request(tunnel_client_h2(probe.tunnel), &head, &events, stream, &stream->h2);
	if (r < 0)
		printf("{\"id\":\"%s\",\"event\":\"close\",\"code\":%d}\n", stream->id, r);
}

static void on_ready(void *user UNUSED)
{
	printf("{\"event\":\"ready\"}\n");
}

static void on_closed(void *user UNUSED, const struct err *err)
{
	printf("{\"event\":\"closed\",\"why\":\"%s\"}\n", err->msg);
	stop();
}

static void open_tunnel(const char *uid)
{
	static const struct tunnel_client_events tunnel_events = {
		.on_ready = on_ready, .on_closed = on_closed};
	static const char preamble[] = "TPT/1\r\n";
	struct tunnel_client_config config = {.session_uid = uid, .key = probe.key};
	struct sockaddr_storage sa;
	socklen_t len = ip_endpoint_to_sockaddr(&probe.server, &sa);
	int fd = socket(probe.server.addr.family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&sa, len) < 0)
		die("connect");
	if (write(fd, preamble, sizeof(preamble) - 1) < 0)
		die("write");
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die("fcntl");
	probe.tunnel = tunnel_client_new(&probe.loop,
		socket_carrier_new(&probe.loop, fd, SOCKET_RAW), &config, &tunnel_events, NULL);
}

static void reset(const char *id)
{
	for (struct stream *stream = probe.streams; stream; stream = stream->next) {
		if (strcmp(stream->id, id) == 0 && stream->h2)
			h2_stream_reset(stream->h2, 8 /* CANCEL */);
	}
}

static void command(char *line)
{
	char *fields[1 + FIELDS] = {NULL};
	char *save = NULL;
	size_t count = 0;

	for (char *word = strtok_r(line, " ", &save); word && count < ARRAY_SIZE(fields);
		word = strtok_r(NULL, " ", &save))
		fields[count++] = strcmp(word, "-") == 0 ? NULL : word;
	if (count == 2 && strcmp(fields[0], "uid") == 0)
		open_tunnel(fields[1]);
	else if (count == 1 + FIELDS && strcmp(fields[0], "request") == 0)
		request(fields + 1);
	else if (count == 2 && strcmp(fields[0], "reset") == 0)
		reset(fields[1]);
	else
		printf("{\"event\":\"error\",\"why\":\"unknown command\"}\n");
}

static void on_input(uv_poll_t *poll UNUSED, int status UNUSED, int mask UNUSED)
{
	uint8_t *at = buf_reserve(&probe.line, 4096);
	ssize_t n = at ? read(STDIN_FILENO, at, 4096) : 0;
	char *newline;

	if (n <= 0) {
		stop();
		return;
	}
	buf_commit(&probe.line, (size_t)n);
	while (buf_len(&probe.line) > 0 &&
		(newline = memchr(buf_head(&probe.line), '\n', buf_len(&probe.line)))) {
		char *line = (char *)buf_head(&probe.line);

		*newline = '\0';
		command(line);
		buf_consume(&probe.line, (size_t)(newline - line) + 1);
	}
}

static void print_key(void)
{
	uint8_t public_key[SESSION_KEY_BYTES];
	char text[45];

	session_key_public(probe.key, public_key);
	session_key_encode(public_key, text);
	printf("{\"event\":\"key\",\"publicKey\":\"%s\"}\n", text);
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;

	if (argc != 3 || ip_addr_parse(argv[1], &probe.server.addr) < 0)
		return 2;
	probe.server.port = (uint16_t)strtoul(argv[2], NULL, 10);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (session_key_new(&probe.key, &err) < 0)
		die("key");
	buf_init(&probe.line, LINE_MAX_BYTES);
	print_key();
	uv_loop_init(&probe.loop);
	uv_poll_init(&probe.loop, &probe.input, STDIN_FILENO);
	uv_poll_start(&probe.input, UV_READABLE, on_input);
	uv_run(&probe.loop, UV_RUN_DEFAULT);
	return 0;
}

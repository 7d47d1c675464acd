/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/api_carrier.h"

#include <errno.h>
#include <string.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/err.h"

enum channel { CHANNEL_DATA, CHANNEL_ERROR, CHANNEL_COUNT };

#define PORT_BYTES       2
#define ERROR_TEXT_BYTES 1024

struct api_carrier {
	struct carrier base;
	struct upconn *conn;
	bool channels, in_message;
	uint8_t channel;
	uint8_t port_left[CHANNEL_COUNT]; /* bytes of the announced port still to come */
	struct buf error_text;
};

static const uint8_t data_channel = CHANNEL_DATA;

static struct api_carrier *from_base(const struct carrier *base)
{
	return container_of((uintptr_t)base, struct api_carrier, base);
}

static void on_closed(void *user, const struct err *err)
{
	struct api_carrier *carrier = user;
	const char *text = buf_cstr(&carrier->error_text);
	struct err better = *err;

	/* The kubelet's word, "... connection refused", says more than the close that follows. */
	if (text && *text)
		err_set(&better, -ECONNRESET, ERR_UNREACHABLE, "port-forward: %s", text);
	carrier->base.events.on_closed(carrier->base.user, &better);
}

static void on_payload(void *user, const uint8_t *data, size_t len)
{
	struct api_carrier *carrier = user;

	carrier->base.events.on_data(carrier->base.user, data, len);
}

static void on_channel_payload(void *user, const uint8_t *data, size_t len)
{
	struct api_carrier *carrier = user;
	size_t skip = 0;

	if (!carrier->in_message) {
		carrier->in_message = true;
		carrier->channel = *data++;
		len--;
	}
	if (carrier->channel >= CHANNEL_COUNT)
		return;
	skip = MIN(len, (size_t)carrier->port_left[carrier->channel]);
	carrier->port_left[carrier->channel] =
		(uint8_t)(carrier->port_left[carrier->channel] - skip);
	data += skip;
	len -= skip;
	if (len == 0)
		return;
	if (carrier->channel == CHANNEL_DATA)
		carrier->base.events.on_data(carrier->base.user, data, len);
	else
		(void)!buf_append(
			&carrier->error_text, data, MIN(len, buf_room(&carrier->error_text) - 1));
}

static void on_message_end(void *user)
{
	struct api_carrier *carrier = user;

	carrier->in_message = false;
}

static void on_writable(void *user)
{
	struct api_carrier *carrier = user;

	carrier->base.events.on_writable(carrier->base.user);
}

static const struct upconn_events plain_events = {
	.on_payload = on_payload, .on_writable = on_writable, .on_closed = on_closed};
static const struct upconn_events channel_events = {.on_payload = on_channel_payload,
	.on_message_end = on_message_end,
	.on_writable = on_writable,
	.on_closed = on_closed};

static void carrier_op_start(struct carrier *base)
{
	upconn_start(from_base(base)->conn);
}

static size_t carrier_op_room(const struct carrier *base)
{
	return upconn_room(from_base(base)->conn);
}

static void carrier_op_send(struct carrier *base, const void *data, size_t len)
{
	struct api_carrier *carrier = from_base(base);

	upconn_send(carrier->conn, carrier->channels ? &data_channel : NULL,
		carrier->channels ? sizeof(data_channel) : 0, data, len);
}

static void carrier_op_free(struct carrier *base)
{
	struct api_carrier *carrier = from_base(base);

	upconn_free(carrier->conn);
	buf_done(&carrier->error_text);
	free(carrier);
}

static const struct carrier_ops proxy_ops = {.name = "services/proxy",
	.start = carrier_op_start,
	.room = carrier_op_room,
	.send = carrier_op_send,
	.free = carrier_op_free};
static const struct carrier_ops forward_ops = {.name = "port-forward",
	.start = carrier_op_start,
	.room = carrier_op_room,
	.send = carrier_op_send,
	.free = carrier_op_free};

struct carrier *api_carrier_new(struct upconn *conn, bool port_forward, bool channels)
{
	struct api_carrier *carrier = XNEW(struct api_carrier);

	carrier->base.ops = port_forward ? &forward_ops : &proxy_ops;
	carrier->conn = conn;
	carrier->channels = channels;
	memset(carrier->port_left, PORT_BYTES, sizeof(carrier->port_left));
	buf_init(&carrier->error_text, ERROR_TEXT_BYTES);
	upconn_set_events(conn, channels ? &channel_events : &plain_events, carrier);
	/* A port-forward ends in a bare TCP stream. */
	if (port_forward)
		carrier_op_send(&carrier->base, TUNNEL_PREAMBLE, sizeof(TUNNEL_PREAMBLE) - 1);
	return &carrier->base;
}

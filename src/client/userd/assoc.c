/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/assoc.h"

#include <string.h>
/* uthash's own choice falls through between cases, which clang cannot be told is meant. */
#define HASH_FUNCTION HASH_FNV
#include <uthash.h>
#include <utlist.h>

#include "client/userd/assoc_path.h"
#include "client/userd/dial.h"
#include "client/userd/uplink.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/limits.h"
#include "core/wire.h"
#include "flow/flow.h"
#include "tunnel/capsule.h"
#include "tunnel/h2.h"
#include "tunnel/reason.h"

/* Waiting for the tunnel, in each association: what a socket's buffer would hold. */
#define ASSOC_QUEUE_BYTES (256 * 1024)
#define SWEEP_MS          (ASSOC_IDLE_MS / 4)
/* Beyond ASSOC_MAX, until the manager has them: only then do others give way. It has as many more.
 */
#define ASSOC_OPENING_MAX 256
/* identifier and sequence number before an echo's data */
#define ECHO_HEADER_BYTES 4

enum assoc_kind { ASSOC_UDP, ASSOC_ECHO };

/* Zeroed before it is filled: it is hashed as bytes. An echo has its identifier as source port. */
struct assoc_key {
	struct ip_endpoint src, dst;
	uint32_t kind;
};

struct assoc {
	struct assoc_table *table;
	struct assoc_key key;
	const struct h2_session *h2; /* the tunnel it was opened on; to be compared only */
	struct h2_stream *stream;
	struct capsule_parser parser;
	struct buf out;
	uint64_t active_ms;
	uint64_t heard_ms; /* the last datagram of the target, or the beginning */
	bool answered; /* the manager has it */
	uint16_t sequence; /* of the last echo request */
	struct assoc *prev, *next;
	UT_hash_handle hh;
};

struct assoc_table {
	uv_loop_t *loop;
	uv_timer_t timer;
	const struct uplink *uplink;
	struct flow_engine *engine;
	struct assoc *assocs; /* by key */
	struct assoc *by_age; /* the same; the one that is idle for longest first */
	struct assoc_counters counters;
};

static struct assoc_key make_key(
	enum assoc_kind kind, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	struct assoc_key key;

	memset(&key, 0, sizeof(key));
	key.src.addr = src->addr;
	key.src.port = src->port;
	key.dst.addr = dst->addr;
	key.dst.port = dst->port;
	key.kind = kind;
	return key;
}

static void free_assoc(struct assoc *assoc)
{
	HASH_DEL(assoc->table->assocs, assoc);
	DL_DELETE(assoc->table->by_age, assoc);
	assoc->table->counters.active--;
	capsule_parser_done(&assoc->parser);
	buf_done(&assoc->out);
	free(assoc);
}

/* Ends the stream first; its on_close does not come here any more. */
static void end_assoc(struct assoc *assoc, uint32_t code)
{
	static const struct h2_stream_events none;
	struct h2_stream *stream = assoc->stream;

	free_assoc(assoc);
	h2_stream_set_events(stream, &none, NULL);
	h2_stream_reset(stream, code);
}

static void drop_assoc(struct assoc *assoc)
{
	end_assoc(assoc, UPLINK_CANCEL);
}

static void touch(struct assoc *assoc)
{
	struct assoc_table *table = assoc->table;

	assoc->active_ms = uv_now(table->loop);
	DL_DELETE(table->by_age, assoc);
	DL_APPEND(table->by_age, assoc);
}

static void fail(const struct assoc *assoc, enum flow_verdict verdict)
{
	struct flow_engine *engine = assoc->table->engine;
	const struct assoc_key *key = &assoc->key;

	if (key->kind == ASSOC_ECHO) {
		flow_icmp_fail(engine, &key->src.addr, &key->dst.addr, key->src.port,
			assoc->sequence, verdict);
		return;
	}
	if (verdict == FLOW_REFUSED)
		assoc->table->counters.refused++;
	flow_udp_fail(engine, &key->src, &key->dst, verdict);
}

/* A program that asks each time from another port needs none of those before any more. */
static void make_room(struct assoc_table *table)
{
	struct assoc *assoc = NULL, *next = NULL;

	DL_FOREACH_SAFE (table->by_age, assoc, next) {
		if (table->counters.active <= ASSOC_MAX)
			return;
		if (assoc->answered)
			drop_assoc(assoc);
	}
}

static void on_head(void *user, const struct h2_head *head)
{
	struct assoc *assoc = user;

	if (head->status == 200) {
		assoc->answered = true;
		make_room(assoc->table);
		return;
	}
	fail(assoc, dial_verdict(head));
	drop_assoc(assoc);
}

static void deliver_echo(const struct assoc *assoc, const uint8_t *payload, size_t len)
{
	struct wire wire = wire_reader(payload, len);
	uint16_t ident = wire_get_u16(&wire);
	uint16_t sequence = wire_get_u16(&wire);

	if (wire_ok(&wire))
		flow_icmp_reply(assoc->table->engine, &assoc->key.dst.addr, &assoc->key.src.addr,
			ident, sequence, payload + ECHO_HEADER_BYTES, len - ECHO_HEADER_BYTES);
}

static void on_datagram(void *user, const uint8_t *payload, size_t len)
{
	struct assoc *assoc = user;

	touch(assoc);
	assoc->heard_ms = assoc->active_ms;
	if (assoc->key.kind == ASSOC_ECHO)
		deliver_echo(assoc, payload, len);
	else
		flow_udp_send(assoc->table->engine, &assoc->key.dst, &assoc->key.src, payload, len);
}

static void on_data(void *user, const uint8_t *data, size_t len)
{
	struct assoc *assoc = user;

	h2_stream_consumed(assoc->stream, len);
	if (capsule_parse(&assoc->parser, data, len, on_datagram, assoc) < 0)
		drop_assoc(assoc);
}

static void on_end(void *user)
{
	drop_assoc(user);
}

static ssize_t on_read(void *user, uint8_t *out, size_t len)
{
	struct assoc *assoc = user;
	size_t n = MIN(len, buf_len(&assoc->out));

	if (n == 0)
		return H2_READ_AGAIN;
	memcpy(out, buf_head(&assoc->out), n);
	buf_consume(&assoc->out, n);
	return (ssize_t)n;
}

static void on_close(void *user, uint32_t code)
{
	struct assoc *assoc = user;

	/* The target's ICMP error. Without a reason it is the tunnel's end or idleness. */
	if (reason_of_reset(code) != REASON_NONE)
		fail(assoc, dial_verdict_of(reason_of_reset(code)));
	free_assoc(assoc);
}

static int open_stream(struct assoc *assoc)
{
	static const struct h2_stream_events events = {.on_head = on_head,
		.on_data = on_data,
		.on_end = on_end,
		.on_read = on_read,
		.on_close = on_close};
	static const struct h2_header headers[] = {{"capsule-protocol", "?1"}};
	struct h2_head head = {.method = "CONNECT",
		.authority = "traffic-manager",
		.headers = headers,
		.header_count = ARRAY_SIZE(headers)};
	char path[ASSOC_PATH_BYTES];

	head.protocol = assoc->key.kind == ASSOC_UDP ? "connect-udp" : "telepresence-icmp";
	assoc_path(&assoc->key.dst, assoc->key.kind == ASSOC_ECHO, path);
	head.path = path;
	return h2_request(assoc->table->uplink->h2, &head, &events, assoc, &assoc->stream);
}

/* The tunnel that it is on has been replaced and may be dead: unlike TCP's bytes its datagrams need
 * not wait until that is known. */
static bool is_stranded(const struct assoc *assoc)
{
	const struct assoc_table *table = assoc->table;

	return table->uplink->h2 && assoc->h2 != table->uplink->h2 &&
	       uv_now(table->loop) - assoc->heard_ms >= LIMIT_CARRIER_SILENCE_MS;
}

/* NULL: not now. In place of `old`, if there is one, which stays until then. */
static struct assoc *make(struct assoc_table *table, const struct assoc_key *key, struct assoc *old)
{
	struct assoc *assoc;

	if (!table->uplink->h2 || table->counters.active >= ASSOC_MAX + ASSOC_OPENING_MAX)
		return NULL;
	assoc = XNEW(struct assoc);
	assoc->table = table;
	assoc->key = *key;
	assoc->h2 = table->uplink->h2;
	assoc->heard_ms = uv_now(table->loop);
	if (open_stream(assoc) < 0) {
		free(assoc);
		return NULL;
	}
	if (old)
		drop_assoc(old);
	capsule_parser_init(&assoc->parser);
	buf_init(&assoc->out, ASSOC_QUEUE_BYTES);
	HASH_ADD(hh, table->assocs, key, sizeof(assoc->key), assoc);
	DL_APPEND(table->by_age, assoc);
	table->counters.opened++;
	table->counters.active++;
	return assoc;
}

/* The association of this key, made when there is none. NULL: not now. */
static struct assoc *get(struct assoc_table *table, const struct assoc_key *key)
{
	struct assoc *assoc = NULL;

	HASH_FIND(hh, table->assocs, key, sizeof(*key), assoc);
	return assoc && !is_stranded(assoc) ? assoc : make(table, key, assoc);
}

/* Queues one datagram made of two parts, whole or not at all (NULL). */
static struct assoc *enqueue(struct assoc_table *table, const struct assoc_key *key,
	const uint8_t *prefix, size_t prefix_len, const uint8_t *data, size_t len)
{
	struct assoc *assoc = get(table, key);
	uint8_t header[CAPSULE_HEADER_MAX_BYTES];
	size_t header_len = capsule_header(header, prefix_len + len);

	if (!assoc || buf_room(&assoc->out) < header_len + prefix_len + len ||
		buf_append(&assoc->out, header, header_len) < 0 ||
		buf_append(&assoc->out, prefix, prefix_len) < 0 ||
		buf_append(&assoc->out, data, len) < 0) {
		table->counters.dropped++;
		return NULL;
	}
	touch(assoc);
	h2_stream_resume(assoc->stream);
	return assoc;
}

void assoc_udp(struct assoc_table *table, const struct ip_endpoint *src,
	const struct ip_endpoint *dst, const uint8_t *data, size_t len)
{
	const struct assoc_key key = make_key(ASSOC_UDP, src, dst);

	(void)enqueue(table, &key, NULL, 0, data, len);
}

/* The manager closes its socket then, so its kernel tells the sender what ours has told us. */
void assoc_unreachable(
	struct assoc_table *table, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
	const struct assoc_key key = make_key(ASSOC_UDP, src, dst);
	struct assoc *assoc = NULL;

	HASH_FIND(hh, table->assocs, &key, sizeof(key), assoc);
	if (assoc)
		end_assoc(assoc, UPLINK_CONNECT_ERROR);
}

void assoc_echo(struct assoc_table *table, const struct ip_addr *src, const struct ip_addr *dst,
	uint16_t ident, uint16_t sequence, const uint8_t *data, size_t len)
{
	const struct ip_endpoint from = {.addr = *src, .port = ident}, to = {.addr = *dst};
	const struct assoc_key key = make_key(ASSOC_ECHO, &from, &to);
	uint8_t prefix[ECHO_HEADER_BYTES];
	struct wire wire = wire_writer(prefix, sizeof(prefix));
	struct assoc *assoc;

	wire_put_u16(&wire, ident);
	wire_put_u16(&wire, sequence);
	assoc = enqueue(table, &key, prefix, sizeof(prefix), data, len);
	if (assoc)
		assoc->sequence = sequence;
}

static void on_sweep(uv_timer_t *timer)
{
	struct assoc_table *table = timer->data;
	uint64_t now = uv_now(table->loop);

	/* Each takes itself off the list, which the analyzer does not see.
	 * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	while (table->by_age && now - table->by_age->active_ms >= ASSOC_IDLE_MS)
		drop_assoc(table->by_age);
}

struct assoc_table *assoc_table_new(uv_loop_t *loop, const struct uplink *uplink)
{
	struct assoc_table *table = XNEW(struct assoc_table);

	table->loop = loop;
	table->uplink = uplink;
	(void)uv_timer_init(loop, &table->timer);
	table->timer.data = table;
	(void)uv_timer_start(&table->timer, on_sweep, SWEEP_MS, SWEEP_MS);
	return table;
}

void assoc_table_set_engine(struct assoc_table *table, struct flow_engine *engine)
{
	table->engine = engine;
}

const struct assoc_counters *assoc_table_counters(const struct assoc_table *table)
{
	return &table->counters;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void assoc_table_free(struct assoc_table *table)
{
	if (!table)
		return;
	while (table->by_age)
		drop_assoc(table->by_age); /* NOLINT(clang-analyzer-unix.Malloc): as above */
	uv_close((uv_handle_t *)&table->timer, on_timer_closed);
}

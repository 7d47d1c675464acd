/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heartbeat: any byte of the peer is a sign of life, a PING asks for one. A timer that fires late
 * says that this process stood still (SIGSTOP, a suspended laptop), not that the peer was silent:
 * then the peer gets one more PING and its time to answer it.
 *
 * A side without heartbeats needs the round trip as well: how far a window grows depends on it
 * (credit.h), and a side that only receives has no ACKs to see it by. So it asks beside its
 * answers.
 *
 * Before the allowed silence is over an unanswered PING already says that the path may be cut: the
 * owner hears of it and may look for another one, while this one has its chance.
 */
#include <errno.h>

#include "core/err.h"
#include "tunnel/carrier.h"
#include "tunnel/pipe_priv.h"

/* A timer later than a quarter of the allowed silence was not the peer's fault. */
#define LATE_PART 4
/* What is left to the peer then, as a part of the allowed silence. */
#define GRACE_PART 2
/* Round trips without an answer that say something. */
#define SUSPECT_ROUNDS 4
/* A side that only answers asks back no more often, whatever the peer does. */
#define ASK_BACK_MS 1000

static void send_ping(struct pipe *pipe, uint64_t now)
{
	pipe->last_ping_ms = now;
	if (pipe->asked_ms == 0)
		pipe->asked_ms = now;
	/* Without room there are bytes under way whose ACK is as good an answer. */
	if (carrier_room(pipe->carrier) == 0)
		return;
	if (pipe->rx_offset > pipe->rx_acked)
		pipe_send_ack(pipe, now);
	pipe->ping_ns = uv_hrtime();
	pipe_send_u64(pipe, PIPE_PING, pipe->ping_ns);
}

void pipe_ask_back(struct pipe *pipe, uint64_t now)
{
	if (pipe->config.ping_ms > 0 || now - pipe->last_asked_ms < ASK_BACK_MS)
		return;
	pipe->last_asked_ms = now;
	send_ping(pipe, now);
}

static void on_timer(uv_timer_t *timer);

static uint64_t lost_due(const struct pipe *pipe)
{
	return pipe->config.lost_ms > 0 ? pipe->last_rx_ms + pipe->config.lost_ms : UINT64_MAX;
}

/* The silence that a peer is blamed for, unless the time was our own. */
static uint32_t allowed_ms(const struct pipe *pipe)
{
	return pipe->config.lost_ms > 0 ? pipe->config.lost_ms : pipe->config.silence_ms;
}

/* When the peer becomes suspect; UINT64_MAX: it was not asked. */
static uint64_t suspect_due(const struct pipe *pipe)
{
	uint64_t wait_ms = pipe->check_due_ms > 0 ? PIPE_CHECK_SUSPECT_MS : pipe->config.suspect_ms;

	if (pipe->config.suspect_ms == 0 || pipe->asked_ms == 0)
		return UINT64_MAX;
	return pipe->asked_ms + MAX(wait_ms, (uint64_t)pipe->rtt_us * SUSPECT_ROUNDS / 1000);
}

static void arm_timer(struct pipe *pipe, uint64_t now)
{
	uint64_t due = pipe->last_rx_ms + pipe->config.silence_ms;

	if (pipe->config.ping_ms > 0)
		due = MIN(due, pipe->last_ping_ms + pipe->config.ping_ms);
	if (pipe->check_due_ms > 0)
		due = MIN(due, pipe->check_due_ms);
	if (pipe->silence < PIPE_SUSPECT)
		due = MIN(due, suspect_due(pipe));
	if (pipe->silence < PIPE_LOST)
		due = MIN(due, lost_due(pipe));
	pipe->timer_due_ms = MAX(due, now + 1);
	uv_update_time(pipe->timer.loop);
	uv_timer_start(&pipe->timer, on_timer, pipe->timer_due_ms - now, 0);
}

void pipe_check(struct pipe *pipe)
{
	uint64_t now = pipe_now_ms();

	if (!pipe->open || pipe->dead)
		return;
	pipe->check_due_ms = now + MAX((uint64_t)PIPE_CHECK_MS, pipe->rtt_us / 250);
	pipe->asked_ms = 0;
	send_ping(pipe, now);
	if (!pipe->dead)
		arm_timer(pipe, now);
}

/* The peer gets one more PING and its time to answer it. */
static void grace(struct pipe *pipe, uint64_t now)
{
	pipe->last_rx_ms = now - allowed_ms(pipe) / GRACE_PART;
	pipe->asked_ms = 0;
	send_ping(pipe, now);
}

static void check_silence(struct pipe *pipe, uint64_t now, bool late)
{
	enum pipe_silence silence = PIPE_HEARD;

	if (now >= suspect_due(pipe))
		silence = PIPE_SUSPECT;
	if (now >= lost_due(pipe))
		silence = PIPE_LOST;
	if (silence <= pipe->silence)
		return;
	if (late) {
		grace(pipe, now);
		return;
	}
	pipe->silence = silence;
	pipe->events.on_silence(pipe->user, silence);
}

static void on_timer(uv_timer_t *timer)
{
	struct pipe *pipe = container_of(timer, struct pipe, timer);
	uint64_t now = pipe_now_ms();
	bool late = now > pipe->timer_due_ms + allowed_ms(pipe) / LATE_PART;
	struct err err = ERR_INIT;

	if (pipe->check_due_ms > 0 && now >= pipe->check_due_ms) {
		if (!late) {
			err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE,
				"the other end of the tunnel is silent after the network changed");
			pipe_fail(pipe, &err);
			return;
		}
		pipe_check(pipe);
	}
	if (now >= pipe->last_rx_ms + pipe->config.silence_ms) {
		if (!late) {
			err_set(&err, -ETIMEDOUT, ERR_UNREACHABLE,
				"the other end of the tunnel has been silent for %u ms",
				pipe->config.silence_ms);
			pipe_fail(pipe, &err);
			return;
		}
		grace(pipe, now);
	} else if (pipe->config.ping_ms > 0 && now >= pipe->last_ping_ms + pipe->config.ping_ms) {
		send_ping(pipe, now);
	}
	check_silence(pipe, now, late);
	if (!pipe->dead)
		arm_timer(pipe, now);
}

/* The peer is alive. */
void pipe_heard(struct pipe *pipe)
{
	bool asked = pipe->asked_ms > 0;

	pipe->last_rx_ms = pipe_now_ms();
	pipe->check_due_ms = pipe->asked_ms = 0;
	pipe->heard_ms = uv_now(pipe->timer.loop);
	/* Once for each PING: the timer need not go off where it was to be suspected. */
	if (asked && pipe->config.suspect_ms > 0)
		arm_timer(pipe, pipe->last_rx_ms);
	if (pipe->silence > PIPE_HEARD) {
		pipe->silence = PIPE_HEARD;
		pipe->events.on_silence(pipe->user, PIPE_HEARD);
	}
}

void pipe_beat(struct pipe *pipe)
{
	uint64_t now = pipe_now_ms();

	pipe->last_rx_ms = pipe->last_ping_ms = now;
	if (pipe->config.ping_ms > 0)
		send_ping(pipe, now);
	arm_timer(pipe, now);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/uplink.h - the tunnel as those who open streams on it see it
 *
 * h2 is NULL while the tunnel is down. The streams of a lost tunnel are closed by the tunnel
 * itself.
 */
#ifndef CLIENT_USERD_UPLINK_H
#define CLIENT_USERD_UPLINK_H

#include <stdint.h>

struct h2_session;

/* RFC 9113 7. */
#define UPLINK_CANCEL        8U
#define UPLINK_CONNECT_ERROR 10U

struct uplink {
	struct h2_session *h2;
};

#endif /* CLIENT_USERD_UPLINK_H */

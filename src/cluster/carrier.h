/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/carrier.h - carriers through the API server (design: services/proxy, then port-forward)
 *
 * kube_carrier_open() resolves with a carrier whose upgrade is complete: from here the bytes of
 * docs/tunnel.md flow. (a) GET .../services/traffic-manager:tunnel/proxy/tunnel, Upgrade:
 * websocket, libcurl CONNECT_ONLY; (b) port-forward by WebSocket v4.channel.k8s.io to a ready pod
 * of the Service, and the bare preamble. KUBE_CARRIER_AUTO tries (a) and, 300 ms later or when it
 * fails, (b); the first that is open wins.
 */
#ifndef CLUSTER_CARRIER_H
#define CLUSTER_CARRIER_H

#include <stdbool.h>

#include "cluster/client.h"
#include "core/err.h"
#include "tunnel/carrier.h"

struct kube_carrier_open;

enum kube_carrier_kind { KUBE_CARRIER_AUTO, KUBE_CARRIER_PROXY, KUBE_CARRIER_PORT_FORWARD };

/* What became of a way. */
enum kube_carrier_fate {
	KUBE_CARRIER_UNTRIED, /* the other one was open before its turn came */
	KUBE_CARRIER_CHOSEN,
	KUBE_CARRIER_SLOWER, /* the other one was open first */
	KUBE_CARRIER_FAILED,
	KUBE_CARRIER_OFF /* the other one was asked for by name */
};

#define KUBE_CARRIER_WAYS 2

struct kube_carrier_report {
	struct {
		const char *name;
		enum kube_carrier_fate fate;
		struct err err; /* FAILED: why */
	} ways[KUBE_CARRIER_WAYS];
};

/* r 0: carrier is the caller's. Else err says what was tried and why each failed. */
typedef void (*kube_carrier_fn)(void *user, int r, struct carrier *carrier,
	const struct kube_carrier_report *report, const struct err *err);

struct kube_carrier_config {
	struct kube_client *client;
	const char *manager_namespace; /* copied */
	enum kube_carrier_kind kind;
	/* No connection from before is used: it may lead along a path that is gone. */
	bool fresh;
};

struct kube_carrier_open *kube_carrier_open(
	const struct kube_carrier_config *config, kube_carrier_fn on_done, void *user);
void kube_carrier_cancel(struct kube_carrier_open *open);
/* Whether the API server (or a proxy on the way) has been reached: what is missing is its word. */
bool kube_carrier_reached(const struct kube_carrier_open *open);
/* "services/proxy", "port-forward"; NULL: whichever is first. */
NODISCARD int kube_carrier_parse(
	const char *name, enum kube_carrier_kind *ret_kind, struct err *err);

#endif /* CLUSTER_CARRIER_H */

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

#include "cluster/client.h"
#include "tunnel/carrier.h"

struct kube_carrier_open;

enum kube_carrier_kind { KUBE_CARRIER_AUTO, KUBE_CARRIER_PROXY, KUBE_CARRIER_PORT_FORWARD };

/* r 0: carrier is the caller's. Else err says what was tried and why each failed. */
typedef void (*kube_carrier_fn)(void *user, int r, struct carrier *carrier, const struct err *err);

struct kube_carrier_open *kube_carrier_open(struct kube_client *client,
	const char *manager_namespace, enum kube_carrier_kind kind, kube_carrier_fn on_done,
	void *user);
void kube_carrier_cancel(struct kube_carrier_open *open);

#endif /* CLUSTER_CARRIER_H */

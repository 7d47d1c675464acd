/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/userd/proxy_lists.h - subnets that the person, or the kubeconfig, wants routed otherwise
 *
 * From the flags and from the cluster's extension "telepresence.io" in the kubeconfig (also-proxy,
 * never-proxy, allow-conflicting-subnets). A flag wins over the opposite of the same subnet there.
 */
#ifndef CLIENT_USERD_PROXY_LISTS_H
#define CLIENT_USERD_PROXY_LISTS_H

#include <stdbool.h>

#include "client/userd/args.h"
#include "core/attr.h"

struct err;
struct kube_config;

struct proxy_lists {
	struct prefix_list also, never, allow_conflicting;
};

NODISCARD int proxy_lists_make(const struct connect_args *args, const struct kube_config *kube,
	struct proxy_lists *ret_lists, struct err *err);
bool proxy_lists_equal(const struct proxy_lists *a, const struct proxy_lists *b);

#endif /* CLIENT_USERD_PROXY_LISTS_H */

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/userd/proxy_lists.h"

#include <errno.h>

#include "cluster/kubeconfig.h"
#include "core/err.h"

static bool contains(const struct prefix_list *list, const struct ip_prefix *prefix)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].len == prefix->len &&
			ip_addr_equal(&list->items[i].addr, &prefix->addr))
			return true;
	}
	return false;
}

/* Those of the extension, unless there already or decided the other way by a flag. */
static int add(struct prefix_list *list, const struct prefix_list *opposite, char *const *texts,
	const char *key, struct err *err)
{
	struct ip_prefix prefix;

	for (; texts && *texts; texts++) {
		if (ip_prefix_parse(*texts, &prefix) < 0)
			return err_set(err, -EINVAL, ERR_CONFIG,
				"kubeconfig, extension telepresence.io: %s: \"%s\" is not a subnet "
				"like 10.1.0.0/16",
				key, *texts);
		if (contains(list, &prefix) || contains(opposite, &prefix))
			continue;
		if (list->count == CONNECT_PREFIXES)
			return err_set(err, -E2BIG, ERR_CONFIG, "%s: more than %d subnets", key,
				CONNECT_PREFIXES);
		list->items[list->count++] = prefix;
	}
	return 0;
}

int proxy_lists_make(const struct connect_args *args, const struct kube_config *kube,
	struct proxy_lists *ret_lists, struct err *err)
{
	static const struct prefix_list none;
	struct proxy_lists lists = {.also = args->also_proxy,
		.never = args->never_proxy,
		.allow_conflicting = args->allow_conflicting};
	int r = add(&lists.also, &args->never_proxy, kube->also_proxy, "also-proxy", err);

	if (r == 0)
		r = add(&lists.never, &args->also_proxy, kube->never_proxy, "never-proxy", err);
	if (r == 0)
		r = add(&lists.allow_conflicting, &none, kube->allow_conflicting,
			"allow-conflicting-subnets", err);
	if (r == 0)
		*ret_lists = lists;
	return r;
}

static bool same(const struct prefix_list *a, const struct prefix_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!contains(b, &a->items[i]))
			return false;
	}
	return true;
}

bool proxy_lists_equal(const struct proxy_lists *a, const struct proxy_lists *b)
{
	return same(&a->also, &b->also) && same(&a->never, &b->never) &&
	       same(&a->allow_conflicting, &b->allow_conflicting);
}

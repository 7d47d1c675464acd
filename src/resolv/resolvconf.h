/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolv/resolvconf.h - reads resolv.conf(5); never writes it
 */
#ifndef RESOLV_RESOLVCONF_H
#define RESOLV_RESOLVCONF_H

#include "core/attr.h"
#include "net/addr.h"

struct err;

#define RESOLV_NAMESERVERS 3 /* MAXNS of resolv.h */
#define RESOLV_SEARCH      6 /* MAXDNSRCH */

struct resolv_conf {
	struct ip_addr nameservers[RESOLV_NAMESERVERS];
	unsigned int nameserver_count; /* never 0: 127.0.0.1 when the file names none, as the
					  resolver does */
	char search[RESOLV_SEARCH][256];
	unsigned int search_count;
	unsigned int ndots;
};

/* path NULL: /etc/resolv.conf. Unknown lines are ignored, comments with # and ; too. */
NODISCARD int resolv_conf_read(const char *path, struct resolv_conf *ret_conf, struct err *err);

#endif /* RESOLV_RESOLVCONF_H */

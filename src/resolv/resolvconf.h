/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolv/resolvconf.h - reads resolv.conf(5); never writes it
 *
 * As glibc's resolver does: the first three nameservers, the last "search" or "domain" line,
 * options ndots capped at 15. A missing file is an empty one. Nameservers with a zone
 * (fe80::1%eth0) are left out, and noted: struct ip_addr has no zone. 0.0.0.0 is this machine.
 */
#ifndef RESOLV_RESOLVCONF_H
#define RESOLV_RESOLVCONF_H

#include <stdbool.h>

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
	bool zoned; /* a nameserver was left out for its zone */
	bool unusable; /* one that nobody can send to */
};

/* Of a file; a resolver's own configuration is a few hundred bytes. */
#define RESOLV_FILE_BYTES ((size_t)64 * 1024)

#define RESOLV_CONF "/etc/resolv.conf"

/* path NULL: RESOLV_CONF. Unknown lines are ignored, comments with # and ; too. */
NODISCARD int resolv_conf_read(const char *path, struct resolv_conf *ret_conf, struct err *err);
/* The same of a file's text: never fails, since whatever is not understood is ignored. */
void resolv_conf_parse(const char *text, size_t len, struct resolv_conf *ret_conf);

/* Whether the file sends programs to systemd-resolved's stub (127.0.0.53, 127.0.0.54). */
bool resolv_conf_is_stub(const struct resolv_conf *conf);
/* The same, or glibc's programs ask it by nss-resolve (path NULL: /etc/nsswitch.conf). */
bool resolv_is_resolved(const struct resolv_conf *conf, const char *nsswitch_path);
/* Where systemd-resolved itself asks, as a file in this format. */
#define RESOLV_UPLINKS "/run/systemd/resolve/resolv.conf"

#endif /* RESOLV_RESOLVCONF_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns/arpa.h - names that stand for addresses
 */
#ifndef DNS_ARPA_H
#define DNS_ARPA_H

#include <stdbool.h>

#include "core/attr.h"
#include "net/addr.h"

/* "4.3.2.1.in-addr.arpa", or 32 nibbles and "ip6.arpa", in lower case. */
NODISCARD bool dns_arpa_parse(const char *name, struct ip_addr *ret_addr);

#endif /* DNS_ARPA_H */

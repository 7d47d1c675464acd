/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/netns/flowdial.h - sockets that live in another network namespace than this process
 */
#ifndef TESTS_NETNS_FLOWDIAL_H
#define TESTS_NETNS_FLOWDIAL_H

#include "net/addr.h"

/* The namespace of that file; -errno. */
int flowdial_open(const char *netns_file);
/* A connecting, non-blocking socket in it; -errno. */
int flowdial_socket(const struct ip_endpoint *dst, int type);

#endif /* TESTS_NETNS_FLOWDIAL_H */

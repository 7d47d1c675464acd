/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/netns/flowpump.h - bytes between two connected sockets, half-close and RST included
 */
#ifndef TESTS_NETNS_FLOWPUMP_H
#define TESTS_NETNS_FLOWPUMP_H

#include <uv.h>

/* Takes both non-blocking sockets; frees itself when both directions are over. */
void flowpump_start(uv_loop_t *loop, int a, int b);
/* Connections being pumped now. */
unsigned int flowpump_count(void);

#endif /* TESTS_NETNS_FLOWPUMP_H */

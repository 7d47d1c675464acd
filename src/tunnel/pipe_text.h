/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel/pipe_text.h - what a peer says in words
 */
#ifndef TUNNEL_PIPE_TEXT_H
#define TUNNEL_PIPE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* A reason as people see it, with its NUL. */
#define PIPE_TEXT_BYTES 256

/* The text of a REFUSE or CLOSE: cut to size, what is not printable ASCII replaced. */
void pipe_text(const uint8_t *payload, size_t len, char out[static PIPE_TEXT_BYTES]);

#endif /* TUNNEL_PIPE_TEXT_H */

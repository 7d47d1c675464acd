/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cli/complete.h - what the word that somebody types may become
 *
 * The shells ask by `telepresence complete -- WORDS`, so that all of them offer the same: commands,
 * options, and names. Names have a kind: "workloads", "intercepts" and "namespaces" come from the
 * daemon (nothing where there is no connection), "contexts", "clusters" and "users" from the
 * kubeconfig, "commands" from the table.
 */
#ifndef CLIENT_CLI_COMPLETE_H
#define CLIENT_CLI_COMPLETE_H

#include <stddef.h>

struct cli;

/* words: what was typed after "telepresence"; the last one, perhaps empty, is to be completed.
 * Prints one candidate a line. */
void complete_words(struct cli *cli, char *const *words, size_t count);

#endif /* CLIENT_CLI_COMPLETE_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/cli/document.h - the one document of --output json and --output yaml
 *
 * JSON by RFC 8259, indented. YAML 1.1 in block style, as kubectl prints it: a string that a
 * reader could take for a number, a boolean, a date or null is quoted, one of several lines is a
 * literal block. Both say the same; every byte of a string arrives.
 */
#ifndef CLIENT_CLI_DOCUMENT_H
#define CLIENT_CLI_DOCUMENT_H

#include <json-c/json.h>
#include <stdio.h>

#include "core/attr.h"

/* Nested deeper than this nothing is that we print (and json-c parses). */
#define DOCUMENT_DEPTH 32

/* Both: 0, or -EIO when the file does not take it. */
NODISCARD int document_json(FILE *out, json_object *document);
/* -E2BIG: nested deeper than DOCUMENT_DEPTH. */
NODISCARD int document_yaml(FILE *out, json_object *document);

#endif /* CLIENT_CLI_DOCUMENT_H */

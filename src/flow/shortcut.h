/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow/shortcut.h - flows whose packets the kernel rewrites itself (net/shortcut.h)
 *
 * Internal to the folder. A flow is in the map while it is ESTABLISHED; its SYN, FIN and RST come
 * here all the same. Without a map, or where it takes no more, its packets do, too.
 */
#ifndef FLOW_SHORTCUT_H
#define FLOW_SHORTCUT_H

#include "flow/engine.h"

void flow_shortcut_add(struct flow_engine *engine, struct flow *flow);
/* The flow's seen_ms and app_next by what went past us. */
void flow_shortcut_look(struct flow_engine *engine, struct flow *flow);
void flow_shortcut_remove(struct flow_engine *engine, struct flow *flow);

#endif /* FLOW_SHORTCUT_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager/service_table.h - the ClusterIPs of Services by name, their names by ClusterIP, which are
 * headless, and which names changed last
 *
 * No I/O: watch events go in. A change has a number, which only grows; the last
 * SERVICE_CHANGES of them are remembered by name.
 */
#ifndef MANAGER_SERVICE_TABLE_H
#define MANAGER_SERVICE_TABLE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster/watch.h"
#include "core/attr.h"
#include "net/addr.h"

/* Services of one cluster; beyond that CoreDNS answers. Kubernetes is made for 10,000. */
#define SERVICES_MAX    20000
#define SERVICE_CHANGES 256
/* One of each family today. */
#define SERVICE_IPS 2

struct service_table;

struct service_table *service_table_new(void);
void service_table_free(struct service_table *table); /* NULL-safe */
/* Drops from the object what is not needed again: the watch keeps it. */
void service_table_event(struct service_table *table, enum kube_event event, json_object *object);
/* "NAME.NAMESPACE", lower case. The ClusterIPs, and how many; 0: no such Service, or without. */
size_t service_table_find(
	const struct service_table *table, const char *name, const struct ip_addr **ret_addrs);
/* "NAME.NAMESPACE" of the Service that has the ClusterIP, or NULL; the last one that was told to
 * have it. A view until the next event. */
const char *service_table_name(const struct service_table *table, const struct ip_addr *addr);
bool service_table_is_headless(const struct service_table *table, const char *name);
/* The headless ones of a namespace, as a JSON array of their names without it; LIMIT_DNS_HEADLESS
 * at most. */
json_object *service_table_headless(const struct service_table *table, const char *namespace);
uint64_t service_table_last_change(const struct service_table *table); /* 0: none yet */
/* The name that changed with that number; NULL: no longer remembered. */
const char *service_table_change(const struct service_table *table, uint64_t number);

#endif /* MANAGER_SERVICE_TABLE_H */

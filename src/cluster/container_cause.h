/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster/container_cause.h - what it means that a kubelet does not start a container
 */
#ifndef CLUSTER_CONTAINER_CAUSE_H
#define CLUSTER_CONTAINER_CAUSE_H

/* By the reason of its state: "its image cannot be pulled". NULL: none that will not pass by
 * itself. */
const char *container_cause(const char *reason);

#endif /* CLUSTER_CONTAINER_CAUSE_H */

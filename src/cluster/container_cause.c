/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/container_cause.h"

#include <stddef.h>
#include <string.h>

#include "core/attr.h"

/* The kubelet's (pkg/kubelet/images, kuberuntime), and what container runtimes add. */
static const struct {
	const char *reason, *meaning;
} causes[] = {
	{"ErrImagePull", "its image cannot be pulled"},
	{"ImagePullBackOff", "its image cannot be pulled"},
	{"ErrImageNeverPull", "its image is not on the node"},
	{"ImageInspectError", "its image cannot be inspected"},
	{"RegistryUnavailable", "the registry of its image does not answer"},
	{"InvalidImageName", "its image name is not valid"},
	{"CreateContainerConfigError", "its container cannot be configured"},
	{"CreateContainerError", "its container cannot be created"},
	{"RunContainerError", "its container cannot be started"},
	{"StartError", "its container cannot be started"},
	{"ContainerCannotRun", "its container cannot be started"},
	{"CrashLoopBackOff", "it exits right after its start"},
};

const char *container_cause(const char *reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		if (strcmp(causes[i].reason, reason) == 0)
			return causes[i].meaning;
	}
	return NULL;
}

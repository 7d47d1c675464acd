/* fuzz: cluster */
/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/kubeconfig.c - a kubeconfig file from anywhere, and the embedded manifests' YAML */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "cluster/kubeentry.h"
#include "cluster/kubefile.h"
#include "cluster/manifests.h"
#include "core/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load(const uint8_t *data, size_t size, const struct kube_overrides *over)
{
	struct kubefile *file = NULL;
	struct kube_config *config = NULL;
	struct err err = ERR_INIT;
	int r = kubefile_parse("fuzz/config", data, size, &file, &err);

	if (r == 0)
		r = kube_config_from_files(&file, 1, over, &config, &err);
	if (r == 0) {
		struct kube_config copy;

		assert(config->server && config->namespace && config->context);
		kube_config_copy(&copy, config);
		assert(strcmp(copy.server, config->server) == 0);
		kube_config_done(&copy);
	} else {
		assert(err.msg[0]);
	}
	kube_config_free(config);
	kubefile_free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_object *array = NULL;

	load(data, size, &(struct kube_overrides){.context = NULL});
	load(data, size, &(struct kube_overrides){.cluster = "c", .user = "u", .context = "c"});
	if (yaml_to_json(data, size, &array, NULL) == 0)
		json_object_put(array);
	return 0;
}

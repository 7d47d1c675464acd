/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/secret.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#include "core/alloc.h"
#include "core/limits.h"

void secret_free(char *text)
{
	if (!text)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}

void strings_free(char **list)
{
	if (!list)
		return;
	for (size_t i = 0; list[i]; i++)
		secret_free(list[i]);
	free(list);
}

char *base64_encode(const void *data, size_t len)
{
	char *text = xcalloc(1, 4 * (len / 3 + 1) + 1);

	(void)EVP_EncodeBlock((unsigned char *)text, data, (int)len);
	return text;
}

int base64_decode(const char *text, char **ret_text)
{
	size_t len = strlen(text);
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	unsigned char *out = xcalloc(1, len + 1);
	int done = 0, rest = 0;
	bool ok = false;

	if (ctx && len <= LIMIT_KUBECONFIG_BYTES) {
		EVP_DecodeInit(ctx);
		/* Line breaks are let through, as Go's decoder does. */
		ok = EVP_DecodeUpdate(ctx, out, &done, (const unsigned char *)text, (int)len) >=
			     0 &&
		     EVP_DecodeFinal(ctx, out + done, &rest) >= 0;
	}
	EVP_ENCODE_CTX_free(ctx);
	if (!ok || memchr(out, 0, (size_t)done + (size_t)rest)) {
		explicit_bzero(out, len);
		free(out);
		return -EINVAL;
	}
	*ret_text = (char *)out;
	return 0;
}

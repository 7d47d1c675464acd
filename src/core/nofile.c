/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nofile.h"

#include <errno.h>
#include <sys/resource.h>

int nofile_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

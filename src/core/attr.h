/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/attr.h - compiler attributes and scope-bound ownership
 *
 * AUTO(type) x = NULL; frees x with the function named by DEFINE_AUTO when the scope ends.
 * TAKE_PTR(x) hands the value over and leaves NULL behind, take_fd(&fd) leaves -1.
 */
#ifndef CORE_ATTR_H
#define CORE_ATTR_H

#include <stddef.h>
#include <stdlib.h>
#include <sys/param.h> /* MIN, MAX */
#include <unistd.h>

#define NODISCARD    __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define PACKED       __attribute__((packed))
#define UNUSED       __attribute__((unused))
#define CLEANUP(fn)  __attribute__((cleanup(fn)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The object that embeds `member` at `ptr`. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#define DEFINE_AUTO(type, fn) \
	static inline void type##_auto_(struct type **p) \
	{ \
		if (*p) \
			fn(*p); \
	} \
	struct type

#define AUTO(type) CLEANUP(type##_auto_) struct type *

#define TAKE_PTR(p) \
	__extension__({ \
		__typeof__(p) take_ = (p); \
		(p) = NULL; \
		take_; \
	})

static inline void auto_free_(void *p)
{
	free(*(void **)p);
}

static inline void auto_close_(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define auto_free  CLEANUP(auto_free_)
#define auto_close CLEANUP(auto_close_)

#endif /* CORE_ATTR_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/nofile.h - as many descriptors as this process may have (getrlimit(2), RLIMIT_NOFILE)
 *
 * Every flow is a descriptor, and the soft limit that a shell or a container gives is often 1024.
 */
#ifndef CORE_NOFILE_H
#define CORE_NOFILE_H

/* Raises the soft limit to the hard one; 0 or -errno. Programs started afterwards inherit it. */
int nofile_raise(void);

#endif /* CORE_NOFILE_H */

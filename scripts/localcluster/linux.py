# SPDX-License-Identifier: Apache-2.0
"""linux - the few system calls that Python 3.11 does not have"""

import contextlib
import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)


def _check(result, what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source, target, kind=None, flags=0, options=None):
    encoded = [part.encode() if part is not None else None for part in (source, target, kind)]
    data = options.encode() if options else None
    _check(_libc.mount(*encoded, flags, data), f"mount {target}")


def unmount(target):
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def unshare(flags):
    _check(_libc.unshare(flags), "unshare")


def enter_netns(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(descriptor, CLONE_NEWNET), f"setns {path}")
    finally:
        os.close(descriptor)


def free_inotify_instances(wanted):
    """How many inotify instances this user could make now, at most `wanted`."""
    with contextlib.ExitStack() as stack:
        for count in range(wanted):
            descriptor = _libc.inotify_init1(os.O_CLOEXEC)
            if descriptor < 0:
                return count
            stack.callback(os.close, descriptor)
    return wanted

# SPDX-License-Identifier: Apache-2.0
"""sandbox - what a node sees of the machine: the machine's files, but its own /proc, /sys, cgroups,
/run, /tmp and /var, so that kubelet and containerd write to no place that others use
"""

import errno
import os
import pathlib
import socket

from . import cgroup, linux
from .shell import read_text

PRIVATE = ("/run", "/tmp", "/var")
FOLDERS = ("/run/netns", "/run/lock", "/var/lib/kubelet", "/var/lib/cni", "/var/log/pods")
# kubelet sets these for the whole machine and gives up where it may not. It gets files to write to.
MACHINE_SYSCTLS = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}


def _detach_below(folder):
    """Drops inherited mounts: a copy of another cluster's namespace mount would keep that alive."""
    points = [line.split()[4] for line in read_text("/proc/self/mountinfo").splitlines()]
    for point in reversed(points):
        if point.startswith(folder + "/"):
            try:
                linux.unmount(point.encode().decode("unicode_escape"))
            except OSError as error:
                # Deleted by its owner since the list was read: the kernel took the mounts on it along.
                if error.errno not in (errno.ENOENT, errno.EINVAL):
                    raise


def _replace_private_folders(keep):
    """Puts an empty file system over each private folder; shows the kept folders again inside."""
    held = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in keep}
    for folder in PRIVATE:
        _detach_below(folder)
        linux.mount("tmpfs", folder, "tmpfs", 0, "mode=755" if folder != "/tmp" else "mode=1777")
    for path, descriptor in held.items():
        if path.startswith(tuple(folder + "/" for folder in PRIVATE)):
            os.makedirs(path, exist_ok=True)
            linux.mount(f"/proc/self/fd/{descriptor}", path, None, linux.MS_BIND)
        os.close(descriptor)


def _mount_cgroups(mounts):
    if mounts[0][0] != cgroup.ROOT:
        linux.mount("cgroup", cgroup.ROOT, "tmpfs", 0, "mode=755")
    for mount_point, kind, options in mounts:
        os.makedirs(mount_point, exist_ok=True)
        linux.mount(kind, mount_point, kind, 0, options)


def _fake_machine_sysctls():
    folder = pathlib.Path("/run/machine-sysctls")
    folder.mkdir()
    for name, value in MACHINE_SYSCTLS.items():
        stand_in = folder / name.replace("/", ".")
        stand_in.write_text(f"{value}\n")
        linux.mount(str(stand_in), f"/proc/sys/{name}", None, linux.MS_BIND)


def enter(hostname, mounts, keep):
    """Turns the calling process, first of new pid, mount and other namespaces, into a node."""
    socket.sethostname(hostname)
    linux.mount("proc", "/proc", "proc")
    linux.mount("sysfs", "/sys", "sysfs")
    _mount_cgroups(mounts)
    cgroup.leave_root()
    _replace_private_folders(keep)
    # Volumes that kubelet mounts have to appear in containers, and those of containers here.
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_SHARED)
    for folder in FOLDERS:
        os.makedirs(folder, exist_ok=True)
    _fake_machine_sysctls()

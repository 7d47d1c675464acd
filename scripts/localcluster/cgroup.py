# SPDX-License-Identifier: Apache-2.0
"""cgroup - a cgroup per node in every hierarchy of the machine, version 1, hybrid or version 2

A node's cgroups also are the list of all its processes: that is how `down` finds them even when the
`up` that started them was killed before it could write down anything.
"""

import contextlib
import errno
import os
import pathlib
import signal
import time

from .shell import Failure, read_text, wait_for

ROOT = "/sys/fs/cgroup"
GONE_SECONDS = 60
ENABLE_SECONDS = 2


def hierarchies():
    """[mount point, file system type, mount options] of each cgroup mount of this machine."""
    found = []
    for line in read_text("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        mount_point = before.split()[4]
        kind, _, options = after.split()
        if kind in ("cgroup", "cgroup2") and (mount_point + "/").startswith(ROOT + "/"):
            named = [part for part in options.split(",") if part not in ("rw", "ro")]
            found.append([mount_point, kind, ",".join(named) if kind == "cgroup" else ""])
    if not found:
        raise Failure(f"no cgroups are mounted below {ROOT}")
    return found


def _enable_controllers(folder):
    """Passes the controllers on to the cgroups below."""
    deadline = time.monotonic() + ENABLE_SECONDS
    for controller in read_text(folder / "cgroup.controllers").split():
        while True:
            try:
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")
                break
            except OSError as error:
                # EBUSY passes when the last process has left; any other is a controller held
                # elsewhere, and kubelet says so if it needs that one.
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    break
                time.sleep(0.01)


def create(name):
    for mount_point, kind, options in hierarchies():
        folder = pathlib.Path(mount_point) / name
        folder.mkdir(exist_ok=True)
        if kind == "cgroup2":
            _enable_controllers(pathlib.Path(mount_point))
        if "cpuset" in options.split(","):
            # A new cpuset holds nothing; its processors and memory nodes are its parent's.
            for part in ("cpuset.cpus", "cpuset.mems"):
                (folder / part).write_text((folder.parent / part).read_text())
            (folder / "cgroup.clone_children").write_text("1")


def join(name, mounts):
    """Moves the calling process ("0") into its cgroup of each hierarchy."""
    for mount_point, _, _ in mounts:
        (pathlib.Path(mount_point) / name / "cgroup.procs").write_text("0")


def leave_root():
    """Version 2: pid 1 moves down; a cgroup with processes cannot give controllers to others."""
    root = pathlib.Path(ROOT)
    if not (root / "cgroup.controllers").exists():
        return
    (root / "init").mkdir(exist_ok=True)
    (root / "init" / "cgroup.procs").write_text("0")
    _enable_controllers(root)


def _folders(name):
    for mount_point, _, _ in hierarchies():
        top = os.path.join(mount_point, name)
        for folder, _, _ in os.walk(top, topdown=False):
            yield folder


def processes(name):
    pids = set()
    for folder in _folders(name):
        pids.update(int(pid) for pid in read_text(os.path.join(folder, "cgroup.procs")).split())
    return pids - {0}


def kill(name):
    """Kills every process of the node and waits until none is left."""

    def none_left():
        left = processes(name)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_for(f"the end of the processes of {name}", none_left, GONE_SECONDS, 0.02)


def remove(name):
    deadline = time.monotonic() + GONE_SECONDS
    for folder in list(_folders(name)):
        while True:
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                break
            except OSError as error:  # EBUSY while the kernel lets go of the last process
                if time.monotonic() > deadline:
                    raise Failure(f"{folder}: {error.strerror}") from error
                time.sleep(0.01)
            else:
                break


def names(prefix):
    """Cgroups of this machine whose name begins with prefix."""
    found = set()
    for mount_point, _, _ in hierarchies():
        for entry in os.scandir(mount_point):
            if entry.is_dir() and entry.name.startswith(prefix):
                found.add(entry.name)
    return sorted(found)

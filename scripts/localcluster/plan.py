# SPDX-License-Identifier: Apache-2.0
"""plan - the names, folders and addresses of one cluster, all derived from its name and its slot

A slot is a small number that a cluster holds while it exists. It is a file made with O_EXCL in one
folder for the whole machine, so that clusters with different state folders do not meet either.
"""

import contextlib
import dataclasses
import fcntl
import ipaddress
import json
import os
import pathlib
import re

from .shell import Failure, held_locks, read_text, say, write_file

RUN_DIR = pathlib.Path("/run/telepresence-dev")
SLOTS = 32
MAX_NODES = 8
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,22}[a-z0-9])?")
# containerd and kubelet put sockets up to 60 bytes deep into the state folder; sun_path holds 107.
MAX_STATE_PATH = 60


def state_root():
    return pathlib.Path(
        os.environ.get("TELEPRESENCE_STATE") or "/var/lib/telepresence-dev"
    ).absolute()


def cache_root():
    return pathlib.Path(
        os.environ.get("TELEPRESENCE_CACHE") or "/var/cache/telepresence-dev"
    ).absolute()


@contextlib.contextmanager
def filling_cache():
    """One at a time: several clusters that start at once on a new machine need the same things."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with open(cache_root() / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check_name(name):
    if not NAME.fullmatch(name):
        raise Failure(f"cluster name {name!r}: use up to 24 lower-case letters, digits and inner hyphens")
    if len(str(state_root() / name)) > MAX_STATE_PATH:
        raise Failure(f"{state_root() / name}: too long for socket paths; set TELEPRESENCE_STATE")
    return name


@dataclasses.dataclass(frozen=True)
class Node:
    """One node of a cluster. Index counts from 1."""

    cluster: "Plan"
    index: int

    @property
    def name(self):
        return f"node{self.index}"

    @property
    def netns(self):
        return self.cluster.netns(self.name)

    @property
    def cgroup(self):
        return f"tp-{self.cluster.name}-{self.name}"

    @property
    def dir(self):
        return self.cluster.dir / "nodes" / self.name

    @property
    def is_control_plane(self):
        return self.index == 1

    @property
    def addresses(self):
        """Its addresses on the node network, IPv4 first."""
        return [net[10 + self.index] for net in self.cluster.node_nets]

    @property
    def pod_nets(self):
        split = [list(self.cluster.pod_nets[0].subnets(new_prefix=24))[self.index - 1]]
        for net in self.cluster.pod_nets[1:]:
            split.append(list(net.subnets(new_prefix=64))[self.index - 1])
        return split


@dataclasses.dataclass(frozen=True)
class Plan:
    name: str
    slot: int
    node_count: int = 1
    dual_stack: bool = False

    @property
    def dir(self):
        return state_root() / self.name

    @property
    def nodes(self):
        return [Node(self, index) for index in range(1, self.node_count + 1)]

    def netns(self, part):
        return f"tp-{self.name}-{part}"

    def _nets(self, v4, v6):
        both = [ipaddress.ip_network(v4)]
        if self.dual_stack:
            both.append(ipaddress.ip_network(v6))
        return both

    @property
    def lan_nets(self):
        """The network of the laptop."""
        return self._nets(f"192.168.{200 + self.slot}.0/24", f"fd7a:7074:{self.slot:x}:3::/64")

    @property
    def node_nets(self):
        return self._nets(f"172.30.{self.slot}.0/24", f"fd7a:7074:{self.slot:x}:1::/64")

    @property
    def pod_nets(self):
        return self._nets(f"10.{128 + self.slot}.0.0/16", f"fd7a:7074:{self.slot:x}:100::/56")

    @property
    def service_nets(self):
        return self._nets(f"10.{160 + self.slot}.0.0/16", f"fd7a:7074:{self.slot:x}:2::/112")

    @property
    def api_service(self):
        return self.service_nets[0][1]

    @property
    def dns_service(self):
        return self.service_nets[0][10]

    @property
    def server(self):
        return f"https://{self.nodes[0].addresses[0]}:6443"

    @property
    def admin_kubeconfig(self):
        return self.dir / "pki" / "admin.conf"

    def save(self):
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        write_file(self.dir / "cluster.json", json.dumps(fields) + "\n")

    @staticmethod
    def load(name):
        """The plan of an existing cluster, or None."""
        text = read_text(state_root() / check_name(name) / "cluster.json")
        return Plan(**json.loads(text)) if text else None


def existing():
    """Names of the clusters that have a state folder."""
    root = state_root()
    if not root.is_dir():
        return []
    return sorted(entry.name for entry in root.iterdir() if NAME.fullmatch(entry.name))


def get(name):
    plan = Plan.load(name)
    if plan is None:
        raise Failure(f"there is no cluster {name!r}; make one with: scripts/cluster up {name}")
    return plan


@contextlib.contextmanager
def locked(name):
    """Only one up or down of a cluster at a time; the others wait."""
    RUN_DIR.mkdir(parents=True, exist_ok=True)
    path = RUN_DIR / f"{name}.lock"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another scripts/cluster that works on {name}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Whoever held the lock before may have removed the file: then ours is a lock on nothing.
        if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
            break
        os.close(descriptor)
    held_locks.append(descriptor)
    try:
        yield
    finally:
        held_locks.remove(descriptor)
        path.unlink()
        os.close(descriptor)
        with contextlib.suppress(OSError):
            RUN_DIR.rmdir()


def _slot_file(slot):
    return RUN_DIR / f"slot-{slot}"


def reserve_slot(name):
    """Takes the first free slot; one whose cluster has no state folder any more is free."""
    owner = str(state_root() / name)
    for slot in range(SLOTS):
        path = _slot_file(slot)
        holder = read_text(path).strip()
        if holder and holder != owner and not pathlib.Path(holder).is_dir():
            path.unlink(missing_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        os.write(descriptor, owner.encode())
        os.close(descriptor)
        return slot
    raise Failure(f"all {SLOTS} slots are taken; see scripts/cluster list")


def check_owner(name):
    """Namespaces and cgroups go by the name alone: a name belongs to one state folder at a time."""
    for slot in range(SLOTS):
        holder = pathlib.Path(read_text(_slot_file(slot)).strip() or "/")
        if holder.name == name and holder != state_root() / name and holder.is_dir():
            raise Failure(f"there is a cluster {name} in {holder} (TELEPRESENCE_STATE)")


def release_slot(name):
    owner = str(state_root() / name)
    for slot in range(SLOTS):
        if read_text(_slot_file(slot)).strip() == owner:
            _slot_file(slot).unlink(missing_ok=True)

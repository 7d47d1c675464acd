# SPDX-License-Identifier: Apache-2.0
"""lifecycle - up, down and the state of a cluster

`down` goes by names alone (network namespaces, cgroups, folders), so it needs nothing that a killed
`up` may not have written; `up` of a cluster that is not whole starts with `down`.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from . import binaries, cgroup, components, config, linux, network, pki, stock
from .laptop import NETNS_ETC, Laptop, remove_netns
from .plan import Plan, check_name, check_owner, locked, release_slot, reserve_slot, state_root
from .shell import (
    Failure,
    forget_proxies,
    held_locks,
    process_start_time,
    read_text,
    run,
    say,
    step,
    succeeds,
    wait_for,
    write_file,
)

API_SECONDS = 180
READY_SECONDS = 180
TOO_MANY_RESTARTS = 3
LOG_TAIL_LINES = 15
# Of a node with the control plane, and of another one: counted on a cluster, and a few for its pods.
INOTIFY_CONTROL_PLANE = 24
INOTIFY_NODE = 12
# A node has some 270 MB after its start; with less than this not even certificates and etcd's first files fit.
LEAST_DISK_MB = 100
INOTIFY_LIMIT = "fs.inotify.max_user_instances"
NETNS_PARTS = r"(wan|laptop\d{0,2}|node\d)"


def is_alive(node):
    """True when the node's pid 1 runs."""
    words = read_text(node.dir / "pid").split()
    return len(words) == 2 and process_start_time(words[0]) == words[1]


def is_running(plan):
    return (plan.dir / "ready").exists() and all(is_alive(node) for node in plan.nodes)


def bin_dir(plan):
    return pathlib.Path(read_text(plan.dir / "bin").strip())


def component_states(node):
    text = read_text(node.dir / "components.json")
    return json.loads(text) if text else {}


def log_path(node, component):
    return node.dir / "log" / component


def log_tail(node, component):
    lines = read_text(log_path(node, component)).splitlines()[-LOG_TAIL_LINES:]
    return "\n".join(f"    {line[:400]}" for line in lines)


def check_components(plan):
    """Raises a Failure that names the node or component that does not stay up."""
    for node in plan.nodes:
        if (node.dir / "pid").exists() and not is_alive(node):
            raise Failure(f"{node.name} ended; its log says:\n{log_tail(node, 'supervisor')}")
        for name, state in component_states(node).items():
            if state["restarts"] >= TOO_MANY_RESTARTS:
                raise Failure(
                    f"{name} on {node.name} keeps ending ({state['exit']}); the end of"
                    f" {log_path(node, name)}:\n{log_tail(node, name)}"
                )


def _inotify_advice():
    limit = read_text("/proc/sys/fs/inotify/max_user_instances").strip()
    more = max(1024, 2 * int(limit or 0))
    return f"{INOTIFY_LIMIT} is {limit} on this machine; raise it and try again: sysctl -w {INOTIFY_LIMIT}={more}"


def check_inotify(node_count):
    """Kubernetes' components would end, or wait for ever, with messages that do not name the limit."""
    needed = INOTIFY_CONTROL_PLANE + INOTIFY_NODE * (node_count - 1)
    free = linux.free_inotify_instances(needed)
    if free < needed:
        raise Failure(f"{node_count} nodes need {needed} inotify instances, {free} are left: {_inotify_advice()}")


def check_disk():
    """On a full disk each component ends with words of its own."""
    free_mb = shutil.disk_usage(state_root()).free >> 20
    if free_mb < LEAST_DISK_MB:
        raise Failure(f"{state_root()}: {free_mb} MB are left, a node needs about 270; TELEPRESENCE_STATE names another folder")


def explained(failure):
    """The failure, with the limit named where what a component said speaks of it."""
    if re.search(r"inotify|too many open files", str(failure), re.IGNORECASE):
        return Failure(f"{failure}\nthis may be the limit of inotify instances: {_inotify_advice()}")
    return failure


def _start_node(plan, node, programs):
    cgroup.create(node.cgroup)
    settings = {
        "hostname": node.name,
        "cgroup": node.cgroup,
        "cgroup_mounts": cgroup.hierarchies(),
        "netns": f"/run/netns/{node.netns}",
        "keep": [str(plan.dir), str(programs), str(pathlib.Path(__file__).parent)],
        "path": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin",
        "delay_file": str(plan.dir / "restart-delay"),
        "components": components.settings(programs, node),
    }
    write_file(node.dir / "node.json", json.dumps(settings))
    supervisor = pathlib.Path(__file__).with_name("supervisor.py")
    with open(log_path(node, "supervisor"), "ab") as log:
        done = subprocess.run(
            ["/usr/bin/python3", "-I", "-B", supervisor, node.dir / "node.json"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=held_locks,
        )
    if done.returncode != 0:
        raise Failure(f"{node.name} did not start:\n{log_tail(node, 'supervisor')}")


def _watched(plan, argv, what, stdin=None):
    """Runs a command that waits for the cluster; gives up when a component keeps failing."""
    deadline = time.monotonic() + READY_SECONDS
    child = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    with child:
        try:
            while True:
                try:
                    _, said = child.communicate(input=stdin, timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    stdin = None
                    check_components(plan)
                    if time.monotonic() > deadline:
                        raise Failure(f"{what}: not within {READY_SECONDS} s") from None
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        check_components(plan)
        raise Failure(f"{what}: {said.strip()[-2000:]}")


def _wait_for_api(plan, programs):
    ready = network.kubectl(plan, programs, "get", "--raw", "/readyz")

    def answers():
        check_components(plan)
        return succeeds(ready)

    try:
        wait_for("the API server", answers, API_SECONDS)
    except Failure as failure:
        node = plan.nodes[0]
        tails = [f"the end of its log:\n{log_tail(node, 'kube-apiserver')}"]
        tails.append(f"the end of etcd's:\n{log_tail(node, 'etcd')}")
        raise Failure("\n".join([str(failure), *tails])) from None


def _wait_for_nodes(plan, programs):
    wait = ("wait", "--for=condition=Ready", "node", "--all", f"--timeout={READY_SECONDS}s")
    try:
        _watched(plan, network.kubectl(plan, programs, *wait), "nodes ready")
    except Failure as failure:
        parts = [str(failure)]
        for node in plan.nodes:
            for name in ("kubelet", "containerd"):
                path = log_path(node, name)
                parts.append(f"the end of {path}:\n{log_tail(node, name)}")
        raise Failure("\n".join(parts)) from None


def _wait_for_coredns(plan, programs):
    in_system = ("-n", "kube-system")
    rollout = ("rollout", "status", "deployment/coredns", f"--timeout={READY_SECONDS}s")
    try:
        _watched(plan, network.kubectl(plan, programs, *in_system, *rollout), "CoreDNS")
    except Failure as failure:
        events = run(network.kubectl(plan, programs, *in_system, "get", "pods,events"))
        raise Failure(f"{failure}\n{events}") from None


def containerd_socket(node):
    return f"/proc/{read_text(node.dir / 'pid').split()[0]}/root/run/containerd/containerd.sock"


def load(plan, archive, nodes=None):
    """Imports an image archive into the nodes; returns the names of what it held."""
    said = ""
    for node in nodes or plan.nodes:
        ctr = ["ctr", "-a", containerd_socket(node), "-n", "k8s.io"]
        said = run([*ctr, "images", "import", "--all-platforms", str(archive)])
    return re.findall(r"unpacking (\S+)", said)


def _load_stock(plan, node, archives):
    ctr = ["ctr", "-a", containerd_socket(node), "version"]

    def answers():
        check_components(plan)
        return succeeds(ctr)

    wait_for(f"containerd on {node.name}", answers, READY_SECONDS)
    for archive in archives:
        load(plan, archive, [node])


def _register_nodes(plan, programs):
    items = [config.node_object(node) for node in plan.nodes]
    objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    _watched(plan, network.kubectl(plan, programs, "create", "-f", "-"), "nodes", objects)


def _apply_coredns(plan, programs):
    manifest = pathlib.Path(__file__).parent / "manifests" / "coredns.yaml"
    text = manifest.read_text().replace("DNS_IP", str(plan.dns_service))
    apply = network.kubectl(plan, programs, "apply", "-f", "-")
    _watched(plan, apply, "the manifest of CoreDNS", text)


def _make(plan, programs, archives):
    """Everything between an empty state folder and a cluster that serves."""
    with step("networks, certificates and configuration"):
        pki.make_all(plan)
        network.make_router(plan)
        for node in plan.nodes:
            network.make_node(plan, node)
            config.write(node)
        Laptop(plan).create()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with step("API server ready"):
            for node in plan.nodes:
                _start_node(plan, node, programs)
            loading = [pool.submit(_load_stock, plan, node, archives) for node in plan.nodes]
            _wait_for_api(plan, programs)
        with step("nodes ready"):
            _register_nodes(plan, programs)
            _apply_coredns(plan, programs)
            for one in loading:
                one.result()
            _wait_for_nodes(plan, programs)
    with step("CoreDNS ready"):
        _wait_for_coredns(plan, programs)


def up(name, node_count, dual_stack, restart_delay):
    """Makes the cluster; one that runs already is left alone. Returns its plan."""
    check_name(name)
    with locked(name):
        check_owner(name)
        plan = Plan.load(name)
        if plan and is_running(plan):
            if restart_delay is not None:
                write_file(plan.dir / "restart-delay", f"{restart_delay}\n")
            return plan
        start = time.monotonic()
        binaries.install_packages()
        programs = binaries.ensure()
        forget_proxies()
        with step("images"):
            archives = stock.archives(programs)
        if _has_remains(name):
            with step("removed what an earlier run left"):
                _remove(name)
        check_inotify(node_count)
        state_root().mkdir(parents=True, exist_ok=True)
        check_disk()
        (state_root() / name).mkdir(mode=0o700)
        plan = Plan(name, reserve_slot(name), node_count, dual_stack)
        plan.save()
        write_file(plan.dir / "bin", f"{programs}\n")
        write_file(
            plan.dir / "restart-delay", f"{1.0 if restart_delay is None else restart_delay}\n"
        )
        try:
            _make(plan, programs, archives)
        except Failure as failure:
            raise explained(failure) from None
        write_file(plan.dir / "ready", "")
        say(f"cluster {name} is ready after {time.monotonic() - start:.1f} s")
        return plan


def _netns_of(name):
    folder = pathlib.Path("/run/netns")
    pattern = re.compile(rf"tp-{re.escape(name)}-{NETNS_PARTS}")
    found = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if NETNS_ETC.is_dir():
        found |= {entry.name for entry in NETNS_ETC.iterdir()}
    return sorted(netns for netns in found if pattern.fullmatch(netns))


def _cgroups_of(name):
    pattern = re.compile(rf"tp-{re.escape(name)}-node\d")
    return [found for found in cgroup.names(f"tp-{name}-node") if pattern.fullmatch(found)]


def _has_remains(name):
    return (state_root() / name).exists() or bool(_netns_of(name)) or bool(_cgroups_of(name))


def _remove(name):
    cgroups = _cgroups_of(name)
    for found in cgroups:
        cgroup.kill(found)
    for netns in _netns_of(name):
        remove_netns(netns)
    for found in cgroups:
        cgroup.remove(found)
    folder = state_root() / name
    if folder.exists():
        shutil.rmtree(folder)
    release_slot(name)
    with contextlib.suppress(OSError):
        state_root().rmdir()


def down(name):
    """Removes the cluster and all that an interrupted `up` may have left; True if there was any."""
    check_name(name)
    with locked(name):
        check_owner(name)
        found = _has_remains(name)
        _remove(name)
    return found


def clusters():
    """Names of all clusters with a state folder or remains in the kernel."""
    root = state_root()
    found = {entry.name for entry in root.iterdir() if entry.is_dir()} if root.is_dir() else set()
    for group in cgroup.names("tp-"):
        match = re.fullmatch(r"tp-(.+)-node\d", group)
        if match:
            found.add(match[1])
    return sorted(found)


def require_root():
    if os.geteuid() != 0:
        raise Failure(f"{sys.argv[0]} makes namespaces and cgroups: run it as root")

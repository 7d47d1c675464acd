# SPDX-License-Identifier: Apache-2.0
"""cli - the commands of scripts/cluster

Exit codes: 0 success; 1 a failure that was explained; 2 wrong usage; kubectl and logs: their own.
"""

import argparse
import errno
import os
import pathlib
import stat
import sys

from . import binaries, components, lifecycle, network, pki
from .plan import cache_root, get, state_root
from .shell import Failure, become, forget_proxies, read_text, say

DEFAULT = "dev"


def running(name):
    """The plan of a cluster that runs, for what would otherwise wait for it in vain."""
    plan = get(name)
    if not lifecycle.is_running(plan):
        raise Failure(f"cluster {name} does not run; make it anew with: scripts/cluster up {name}")
    forget_proxies()
    return plan


def print_status(plan):
    state = "running" if lifecycle.is_running(plan) else "not running"
    print(f"cluster     {plan.name} ({state}), Kubernetes {binaries.VERSION}, slot {plan.slot}")
    print(f"API server  {plan.server} (from the laptop)")
    print(f"kubeconfig  {plan.admin_kubeconfig}")
    print(f"laptop      ip netns exec {plan.netns('laptop')} COMMAND")
    print(f"pods        {', '.join(map(str, plan.pod_nets))}")
    print(f"services    {', '.join(map(str, plan.service_nets))}")
    for node in plan.nodes:
        print(f"{node.name:<11} {', '.join(map(str, node.addresses))}")
        states = lifecycle.component_states(node)
        for name in components.names(node):
            one = states.get(name, {"running": False, "restarts": 0, "exit": ""})
            pid = read_text(node.dir / "pids" / name).strip()
            line = f"pid {pid}" if one["running"] and lifecycle.is_alive(node) else "not running"
            if one["restarts"]:
                line += f", restarted {one['restarts']} times, last: {one['exit']}"
            print(f"  {name:<24} {line}")


def cmd_up(args):
    plan = lifecycle.up(args.name, args.nodes, args.dual_stack, args.restart_delay)
    if (plan.node_count, plan.dual_stack) != (args.nodes or 1, args.dual_stack):
        say(f"note: {plan.name} runs already, as it was made; scripts/cluster down removes it")
    print_status(plan)


def cmd_down(args):
    names = lifecycle.clusters() if args.all else [args.name]
    for name in names:
        found = lifecycle.down(name)
        say(f"cluster {name} is removed" if found else f"there is no cluster {name}")


def cmd_status(args):
    plan = get(args.name)
    print_status(plan)
    return 0 if lifecycle.is_running(plan) else 1


def cmd_list(_):
    for name in lifecycle.clusters():
        try:
            print(f"{name}\t{'running' if lifecycle.is_running(get(name)) else 'not running'}")
        except Failure:
            print(f"{name}\tincomplete")


def cmd_kubectl(args):
    plan = running(args.cluster)
    become(network.kubectl(plan, lifecycle.bin_dir(plan), *args.words))


def _write_private(path, data):
    """For its owner alone from the first moment; what is no file, as /dev/stdout, stays what it is."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)
        stream.write(data)


def cmd_kubeconfig(args):
    plan = running(args.cluster)
    path = plan.admin_kubeconfig
    if args.user is not None:
        groups = [group for group in args.groups.split(",") if group]
        path = pki.user_kubeconfig(plan, args.user, groups)
    if args.output:
        _write_private(args.output, path.read_bytes())
        path = args.output
    print(path)


def cmd_load(args):
    plan = running(args.cluster)
    for archive in args.archive:
        if not pathlib.Path(archive).is_file():
            raise Failure(f"{archive}: no such file")
        for name in lifecycle.load(plan, archive):
            print(name)


def cmd_logs(args):
    plan = get(args.cluster)
    nodes = [node for node in plan.nodes if args.node in ("", node.name)]
    if not nodes:
        names = ", ".join(node.name for node in plan.nodes)
        raise Failure(f"no node {args.node!r}; there are: {names}")
    there = {node.name: os.listdir(node.dir / "log") for node in nodes if (node.dir / "log").is_dir()}
    for node in nodes:
        if args.component in there.get(node.name, ()):
            follow = ["-F"] if args.follow else []
            argv = [
                "tail",
                "-n",
                str(args.lines),
                *follow,
                lifecycle.log_path(node, args.component),
            ]
            become(argv)
    names = ", ".join(sorted({name for logs in there.values() for name in logs})) or "none yet"
    raise Failure(f"no log of {args.component!r}; there are: {names}")


def cmd_deps(_):
    binaries.install_packages()
    print(binaries.ensure())


def _number(kind, least, most, unit):
    """A type for argparse, which would name the function where a number cannot be read."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: {least} to {most} {unit}")
        return value

    return parse


def parser():
    top = argparse.ArgumentParser(
        prog="scripts/cluster",
        description="A real Kubernetes on this machine, with a laptop beside it.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name, function, text):
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(function=function)
        return one

    def of_cluster(one):
        one.add_argument("--cluster", default=DEFAULT, metavar="NAME", help="default: dev")
        return one

    def named(one):
        one.add_argument("name", nargs="?", default=DEFAULT, metavar="NAME", help="default: dev")
        return one

    one = named(add("up", cmd_up, "Make a cluster, or say that it runs already."))
    one.add_argument("--nodes", type=_number(int, 1, 8, "nodes"), default=1, help="how many nodes (default 1)")
    one.add_argument("--dual-stack", action="store_true", help="IPv4 and IPv6")
    seconds = _number(float, 0, 3600, "seconds")
    one.add_argument("--restart-delay", type=seconds, help="before an ended component comes back")
    one = named(add("down", cmd_down, "Remove a cluster and everything that belongs to it."))
    one.add_argument("--all", action="store_true", help="every cluster")
    named(add("status", cmd_status, "Show a cluster; exit 1 if it does not run."))
    add("list", cmd_list, "List the clusters.")
    one = of_cluster(add("kubectl", cmd_kubectl, "Run kubectl as the cluster's administrator."))
    one.add_argument("words", nargs="*", metavar="...", help="everything after NAME is kubectl's")
    one = of_cluster(add("kubeconfig", cmd_kubeconfig, "Print the path of a kubeconfig file."))
    one.add_argument("--user", help="of this certificate user (default: the administrator)")
    one.add_argument("--groups", default="", metavar="A,B", help="the user's groups")
    one.add_argument("--output", metavar="FILE", help="write a copy there")
    one = of_cluster(add("load", cmd_load, "Import image archives into every node."))
    one.add_argument("archive", nargs="+", metavar="IMAGE.tar", help="docker or OCI archive")
    one = of_cluster(add("logs", cmd_logs, "Show the log of a component."))
    one.add_argument("component", help="kubelet, kube-apiserver, containerd, supervisor...")
    one.add_argument("--node", default="", help="default: the first that runs it")
    one.add_argument("-n", "--lines", type=int, default=100, help="default: 100")
    one.add_argument("-f", "--follow", action="store_true")
    add("deps", cmd_deps, "Install packages and build Kubernetes, as `up` does when needed.")
    return top


def parse(argv):
    """Like parse_args, but leaves kubectl's options to kubectl."""
    if argv[:1] != ["kubectl"]:
        return parser().parse_args(argv)
    own = 1
    if argv[1:2] == ["--cluster"]:
        own = 3
    elif len(argv) > 1 and (argv[1] in ("-h", "--help") or argv[1].startswith("--cluster=")):
        own = 2
    args = parser().parse_args(argv[:own])
    args.words = argv[own:]
    return args


def main():
    args = parse(sys.argv[1:])
    try:
        lifecycle.require_root()
        return args.function(args) or 0
    except Failure as failure:
        say(f"scripts/cluster {args.command}: {failure}")
        return 1
    except OSError as error:
        # A file that was named, or the disk: no defect of these programs.
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            say(f"scripts/cluster {args.command}: {error.strerror} in {state_root()} or {cache_root()}")
        elif error.filename is None:
            raise
        else:
            say(f"scripts/cluster {args.command}: {error.filename}: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; scripts/cluster down removes what is there")
        return 130

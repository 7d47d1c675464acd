# SPDX-License-Identifier: Apache-2.0
"""Who can be killed, when each was dead and back, what that excuses, and the person who starts things again."""

import contextlib
import json
import os
import pathlib
import random
import select
import signal
import subprocess
import threading
import time
import typing

from conftest import ROOT, run
from load import lateness
from localcluster import lifecycle, plan

TICKS = os.sysconf("SC_CLK_TCK")
HEALTH = {"kubelet": "http://127.0.0.1:10248/healthz"}
IN_PODS = {"manager": b"traffic-manager", "coredns": b"coredns"}
# What flows through these is cut with them. Nothing flows through the others.
CARRIES = {"userd", "manager", "agent", "kube-apiserver"}
# Agent, manager, user daemon and the laptop's program: each may be as late as the machine is.
ON_THE_WAY = 4
# Without the root daemon the user daemon ends: its connections have this long to end by themselves (docs/agent.md 6).
ENDING = 0.2
# A request that is begun after a death is answered within this; after that of an agent alone within AT_ONCE.
SOON = 1.0
AT_ONCE = 0.1


class Death(typing.NamedTuple):
    victim: str
    killed: float
    dead: float  # the kernel has taken back everything it had


def started(pid):
    """When a process was started, on the clock of time.monotonic()."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    return time.monotonic() - (uptime - int(fields[19]) / TICKS)


def alive(pid):
    """It runs; a zombie has no arguments any more."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    return False


def kill(victim, pid):
    """Kills -9 and waits for the process's end; None when it was gone already."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        killed = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], 10)
        return Death(victim, killed, time.monotonic())
    finally:
        os.close(handle)


def controllers_are_back(cluster):
    """After an API server's death they wait for up to a minute between two tries (client-go); nothing goes meanwhile."""
    cluster.kubectl("create", "namespace", "controllers")
    cluster.kubectl("delete", "namespace", "controllers", "--timeout=120s", timeout=130)


def dice(name):
    """The random numbers of one test, and the seed that makes them again: TP_TEST_SEED."""
    seed = int(os.environ.get("TP_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"{name}: TP_TEST_SEED={seed}")
    return random.Random(seed)


def limit(request, deaths, settled):
    """What a request may take: after an agent's death alone, when all was well before it, it is answered at once."""
    before = [death for death in deaths if death.dead < request.begun and request.begun - death.dead < 10]
    around = [death for death in deaths if death.killed <= request.ended and death.dead >= request.begun - 10]
    alone = before and len(around) == 1 and around[0].victim == "agent"
    calm = alone and any(around[0].killed - 1 < moment < around[0].killed for moment in settled)
    return AT_ONCE if calm and request.begun - around[0].dead < 0.5 else SOON


def excused(request, death, late):
    """Whether it was under way in what ended; on a machine that is late the end is as late."""
    if death.victim in CARRIES:
        return request.begun <= death.dead and request.ended >= death.killed
    ending = death.killed <= request.ended <= death.dead + 2 * ENDING + late
    return death.victim == "rootd" and request.took > ENDING and ending


def wrong(requests, controls, deaths, settled):
    """Those that were not answered as they had to be, the failed ones first; what the controls were late is allowed."""
    found = []
    for one in requests:
        if not one.failed and one.took <= AT_ONCE:
            continue
        allowed = limit(one, deaths, settled)
        if not one.failed and one.took <= allowed:
            continue
        late = ON_THE_WAY * max(lateness(each, one.begun, one.ended) for each in controls)
        if any(excused(one, death, late) for death in deaths):
            continue
        allowed += late
        if one.failed or one.took > allowed:
            found.append((not one.failed, f"{one.begun:.3f} took {one.took:.3f} of {allowed:.3f}: {one.answer}"))
    return [text for _, text in sorted(found)]


class World:
    """The processes of one cluster and one laptop, and the person who sits at it."""

    def __init__(self, cluster, agents=list, laptop="laptop", kubeconfig=None):
        """agents: gives the pids of the agents that may be killed. kubeconfig: default the administrator's."""
        self.cluster, self.agents = cluster, agents
        the_plan = plan.get(cluster.name)
        self.node_net = f"/run/netns/{the_plan.nodes[0].netns}"
        self.dns, self.admin = the_plan.dns_service, the_plan.admin_kubeconfig
        self.delay = the_plan.dir / "restart-delay"
        self.service = None  # the manager's address, once it is known
        self.kubectl = lifecycle.bin_dir(the_plan) / "kubectl"
        self.netns = the_plan.netns(laptop)
        self.inode = os.stat(f"/run/netns/{self.netns}").st_ino
        client = ROOT / "build/release/src/client"
        self.env = {
            **os.environ,
            "PATH": f"{client}:{client / 'rootd'}:{os.environ['PATH']}",
            "KUBECONFIG": str(kubeconfig or the_plan.admin_kubeconfig),
            "XDG_CACHE_HOME": str(the_plan.dir / laptop),
        }

    def telepresence(self, *args):
        """Starts it on the laptop, without what scripts/laptop costs; the process is its own."""
        argv = ["ip", "netns", "exec", self.netns, "telepresence", *args]
        out = subprocess.PIPE
        return subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, text=True)

    def command(self, *args):
        """Runs it; exit status, stdout and stderr."""
        process = self.telepresence(*args)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def daemon(self, name):
        """Pid of userd or rootd on the laptop, or None."""
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                argv = (entry / "cmdline").read_bytes().split(b"\0")
                ours = os.path.basename(argv[0]) == (b"telepresence-rootd" if name == "rootd" else b"telepresence")
                if ours and (name == "rootd" or argv[1] == b"userd") and (entry / "ns/net").stat().st_ino == self.inode:
                    return int(entry.name)
        return None

    def component(self, name):
        try:
            return self.cluster.component_pid(name)
        except (OSError, ValueError):
            return None

    def pid(self, victim, rng):
        """Whom a kill would hit now; None: nobody is there."""
        if victim in ("userd", "rootd"):
            return self.daemon(victim)
        if victim == "agent":
            return rng.choice(self.agents() or [None])
        if victim in IN_PODS:
            return self.in_a_pod(IN_PODS[victim])
        return self.component(victim)

    def in_a_pod(self, program):
        """Without asking the API server, which may be dead: of this cluster's cgroups, the one program."""
        root = f"tp-{self.cluster.name}-node"  # another cluster's name may begin with this one's
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                argv = (entry / "cmdline").read_bytes().split(b"\0")
                if os.path.basename(argv[0]) == program and root in (entry / "cgroup").read_text():
                    return int(entry.name)
        return None

    def manager(self):
        return self.in_a_pod(IN_PODS["manager"])

    @contextlib.contextmanager
    def restart_delay(self, seconds):
        """What is killed meanwhile is dead for so long."""
        before = self.delay.read_text()
        self.delay.write_text(f"{seconds}\n")
        try:
            yield
        finally:
            self.delay.write_text(before)

    def on_the_node(self, *argv):
        """What a command says in the first node's network; nothing where it fails."""
        done = run(["nsenter", f"--net={self.node_net}", *argv], check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    def resolves(self):
        """The cluster's DNS answers."""
        name = "kubernetes.default.svc.cluster.local"
        return self.on_the_node("dig", "+short", "+time=1", "+tries=1", f"@{self.dns}", name)

    def healthy(self):
        """Each part of the cluster that can be killed runs and says that it is well."""
        ask = [self.kubectl, "--kubeconfig", self.admin, "--request-timeout=2s", "get"]
        service = ["-n", "ambassador", "service", "traffic-manager", "-o", "jsonpath={.spec.clusterIP}"]
        if not (self.manager() and self.on_the_node("curl", "-sf", HEALTH["kubelet"])):
            return False
        if not self.on_the_node(*ask, "--raw", "/readyz"):
            return False
        # Its Service leads to the manager again: what that takes is kube-proxy's time.
        self.service = self.service or self.on_the_node(*ask, *service)
        return self.on_the_node("curl", "-s", "-m", "2", "-w", "%{http_code}", f"http://{self.service}:8081/healthz") == "200"


class Person(threading.Thread):
    """Connects and intercepts again whenever a daemon is gone; `began` is when these daemons were first connected."""

    def __init__(self, world, name, *args):
        super().__init__(daemon=True)
        self.world, self.name_, self.args = world, name, args
        self.began = 0.0
        self.daemons, self.connected = [], []
        self.process, self.others = None, []
        self.over = threading.Event()
        self.said = []

    def command(self, *args):
        """Runs telepresence; what it said, or None where it failed."""
        self.process = self.world.telepresence(*args)  # for busy()
        out, err = self.process.communicate(timeout=300)
        if self.process.returncode != 0:
            self.said.append(f"{time.monotonic():.3f} {args[0]}: {self.process.returncode} {err.strip()[-300:]}")
            return None
        return out

    def busy(self, world):
        """The command that runs now, or one that is made to run: somebody to kill."""
        if self.process is None or self.process.poll() is not None:
            self.others.append(world.telepresence("list"))
            return self.others[-1].pid
        return self.process.pid

    def intercepted(self):
        """It is there already, and not about to go: one that failed is listed until its object is deleted."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = json.loads(self.command("status", "--output", "json"))["user_daemon"]["intercepts"]
            return any(one["name"] == self.name_ and one["disposition"] == "ACTIVE" for one in found)
        return False

    def whole(self):
        return self.daemons and all(alive(pid) for pid in self.daemons)

    def repair(self):
        self.daemons = []
        if self.command("connect") is None:
            return
        daemons = [self.world.daemon("userd"), self.world.daemon("rootd")]
        # What the intercept takes from here on, with all its tries, is the product's time.
        if daemons != self.connected:
            self.began, self.connected = time.monotonic(), daemons
        if all(daemons) and (self.intercepted() or self.command("intercept", self.name_, *self.args) is not None):
            self.said.append(f"{time.monotonic():.3f} intercepted")
            self.daemons = daemons

    def run(self):
        while not self.over.wait(0.05):
            if not self.whole():
                self.repair()

    def stop(self):
        self.over.set()
        self.join(90)
        for one in self.others:
            one.communicate(timeout=300)

    def story(self, deaths):
        lines = [f"{death.killed:.3f} {death.victim} killed, dead at {death.dead:.3f}" for death in deaths]
        return "\n".join(sorted(lines + self.said))

# SPDX-License-Identifier: Apache-2.0
"""cluster - the product on the local cluster, the raw pump beside it, and the laptop's cable"""

import json
import os
import pathlib
import signal
import subprocess
import tempfile

from localcluster import image, plan, workloads
from localcluster.laptop import Laptop

from . import machine
from .machine import PUMP, ROOT, SERVER, run, run_json

NAMESPACE = "bench"
PORT = "9000"
# A user who may not use services/proxy, so that the carrier is the other one.
FORWARDER = "bench-forwarder"
PUMP_IMAGE = "node.local/pump:1"


def pump(name):
    """The container whose program answers the pump."""
    return workloads.container(name, int(PORT), PUMP_IMAGE, args=[PORT])


MANIFEST = workloads.listed(
    workloads.namespace(NAMESPACE),
    workloads.pod(NAMESPACE, pump("pump")),
    workloads.service(NAMESPACE, "pump", int(PORT), int(PORT), name="pump"),
    *workloads.binding(None, FORWARDER, rules=workloads.FORWARD_RULES),
)
CARRIERS = {
    "services/proxy": f"/api/v1/namespaces/{NAMESPACE}/services/pump:pump/proxy/",
    "port-forward": f"/api/v1/namespaces/{NAMESPACE}/pods/pump/portforward?ports={PORT}",
}
# A port-forward as the product asks for it first (docs/tunnel.md); CARRIERS' is by WebSocket.
SPDY = f"spdy:{CARRIERS['port-forward']}"


class Rig:
    """In use while the block runs; afterwards cluster and laptop are as they were."""

    def __init__(self, name):
        self.name = name
        self.plan = plan.get(name)
        self.cable = Laptop(self.plan)
        self.netns = self.plan.netns("laptop")
        self.admin = str(self.plan.admin_kubeconfig)
        self.server = None

    def script(self, name, *args, stdin=None):
        return run([ROOT / "scripts" / name, *args], stdin=stdin)

    def kubectl(self, *args, stdin=None):
        return self.script("cluster", "kubectl", "--cluster", self.name, *args, stdin=stdin)

    def get(self, *args):
        return json.loads(self.kubectl("get", "-o", "json", *args))

    def laptop(self, *args):
        return self.script("laptop", "--cluster", self.name, *args)

    def telepresence(self, *args):
        """Without what scripts/laptop costs, for what is timed."""
        client = ROOT / "build/release/src/client"
        path = f"{client}:{client / 'rootd'}:{os.environ['PATH']}"
        env = ["env", f"PATH={path}", f"KUBECONFIG={self.admin}", f"XDG_CACHE_HOME={self.plan.dir / 'laptop'}"]
        return run(["ip", "netns", "exec", self.netns, *env, "telepresence", *args])

    def laptop_process(self, *argv):
        """Left running; the caller ends it by stop_process()."""
        argv = ["ip", "netns", "exec", self.netns, *map(str, argv)]
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)

    def __enter__(self):
        self.laptop("sh", "-c", "telepresence quit -s || true")
        self.cable.no_wan()
        with tempfile.TemporaryDirectory() as folder:
            archive = pathlib.Path(folder, "pump.tar")
            entries = [image.Entry("pumpserver", 0o755, source=SERVER)]
            image.write_docker_archive(archive, PUMP_IMAGE, entries, {"Entrypoint": ["/pumpserver"]})
            self.script("cluster", "load", "--cluster", self.name, archive)
        # What an interrupted run left behind goes first.
        self.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=60s")
        self.kubectl("apply", "-f", "-", stdin=MANIFEST)
        self.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/pump", "--timeout=60s")
        self.ip = self.get("-n", NAMESPACE, "service", "pump")["spec"]["clusterIP"]
        words = ["kubeconfig", "--cluster", self.name, "--user", FORWARDER]
        self.forwarder = self.script("cluster", *words).strip()
        # The first connect installs the manager.
        self.connect()
        self.cubic()
        self.laptop("telepresence", "quit", "-s")
        return self

    def __exit__(self, *_):
        self.cable.no_wan()
        self.laptop("sh", "-c", "telepresence quit -s || true")
        self.kubectl("delete", "-f", "-", "--wait=false", "--ignore-not-found", stdin=MANIFEST)

    def connect(self, carrier="services/proxy"):
        """Connects by this carrier, and says so if it became another one."""
        self.laptop("sh", "-c", "telepresence quit -s || true")
        kubeconfig = self.admin if carrier == "services/proxy" else self.forwarder
        self.laptop("telepresence", "connect", "--kubeconfig", kubeconfig)
        status = json.loads(self.laptop("telepresence", "status", "--output", "json"))
        got = status["traffic_manager"]["carrier"]
        if got != carrier:
            raise machine.Failed(f"connected by {got} instead of {carrier}")

    def cubic(self):
        """In every namespace of the cluster that has an end of a connection; new pods have the machine's default."""
        for space in (self.netns, *(node.netns for node in self.plan.nodes)):
            run(["ip", "netns", "exec", space, "sysctl", "-qw", machine.CUBIC])
        uids = [pod["metadata"]["uid"] for pod in self.get("pods", "-A")["items"]]
        spaces = {}
        for entry in pathlib.Path("/proc").iterdir():
            try:
                cgroup = (entry / "cgroup").read_text() if entry.name.isdigit() else ""
                if any(uid in cgroup for uid in uids):
                    spaces[os.readlink(entry / "ns/net")] = entry.name
            except OSError:
                continue
        for pid in spaces.values():
            run(["nsenter", "-t", pid, "-n", "sysctl", "-qw", machine.CUBIC], check=False)

    def pids(self):
        """Name to pid of our processes: the laptop's by network namespace, the manager by its pod."""
        found = {}
        for pid in run(["ip", "netns", "pids", self.netns]).split():
            name = os.path.basename(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode())
            if name in ("telepresence", "telepresence-rootd"):
                found[name] = int(pid)
        for pod in self.get("pods", "-n", "ambassador", "-l", "app=traffic-manager")["items"]:
            for pid in machine.processes("traffic-manager", pod["metadata"]["uid"]):
                found["traffic-manager"] = pid
        return found

    def raw(self, carrier, *words):
        path = CARRIERS.get(carrier, carrier)
        return run_json(["ip", "netns", "exec", self.netns, PUMP, "raw", self.admin, path, *words])

    def tcp(self, *words):
        return run_json(["ip", "netns", "exec", self.netns, PUMP, "tcp", self.ip, PORT, *words])


def stop_process(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

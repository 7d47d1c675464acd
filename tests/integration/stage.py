# SPDX-License-Identifier: Apache-2.0
"""The namespace `stage` (stage.yaml) and the laptop beside it, for the tests of intercepts."""

import contextlib
import json
import pathlib

from conftest import run, wait_for
from localcluster import plan
from nets import Net, answer, pid_of, serve

NAMESPACE = "stage"
MANIFEST = pathlib.Path(__file__).with_name("stage.yaml")


class Stage:
    def __init__(self, cluster, laptop):
        self.cluster = cluster
        self.laptop = laptop
        self.plan = plan.get(cluster.name)
        self.laptop_net = Net(f"/run/netns/{self.plan.netns('laptop')}")
        self.node_nets = [Net(f"/run/netns/{node.netns}") for node in self.plan.nodes]
        # A pod that asks, on each node; the first one is as good as any.
        self.clients = [self.net(pod) for pod in self.pods("client")]
        self.client = self.clients[0]

    def pods(self, app="web"):
        return self.cluster.pods(NAMESPACE, app)

    def ready_pods(self, app="web"):
        return [
            pod
            for pod in self.pods(app)
            if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
        ]

    def pid(self, pod):
        """A process of the pod's own, which is no agent's."""
        return pid_of(pod["metadata"]["uid"], "httpd", "sleep")

    def net(self, pod):
        return Net(f"/proc/{self.pid(pod)}/ns/net")

    def addresses(self, pod):
        return [one["ip"] for one in pod["status"]["podIPs"]]

    def service(self, name="web"):
        return self.cluster.get("service", "-n", NAMESPACE, name)

    def ruleset(self, pod):
        return run(["nsenter", "-t", self.pid(pod), "-n", "nft", "list", "ruleset"]).stdout

    def rulesets(self, app="web"):
        """The nftables state of each pod, by name."""
        return {pod["metadata"]["name"]: self.ruleset(pod) for pod in self.pods(app)}

    def restarts(self, app="web"):
        return {
            (pod["metadata"]["name"], one["name"]): one["restartCount"]
            for pod in self.pods(app)
            for one in pod["status"]["containerStatuses"]
        }

    def scale(self, count, what="deployment/web"):
        self.cluster.kubectl("-n", NAMESPACE, "scale", what, f"--replicas={count}")

    def objects(self):
        return self.cluster.get("intercepts.telepresence.io", "-A")["items"]

    def await_objects(self, count=0):
        """What is refused is told before its object is taken back."""
        wait_for(f"{count} intercepts", lambda: len(self.objects()) == count, pause=0.02)

    # What a person does on the laptop.

    def telepresence(self, *args, **kwargs):
        return self.laptop.telepresence(*args, **kwargs)

    def refused(self, *args):
        """Runs a command that must fail; its exit status and what it says."""
        done = self.telepresence(*args, check=False)
        if done.returncode == 0:
            # Not for the tests that follow.
            for one in self.intercepts():
                self.telepresence("leave", one["name"], check=False)
        assert done.returncode != 0, done.stdout
        return done.returncode, done.stderr

    def intercepts(self):
        status = json.loads(self.telepresence("status", "--output", "json").stdout)
        return status["user_daemon"].get("intercepts", [])

    @contextlib.contextmanager
    def intercept(self, name, *args):
        """An intercept for as long as the block runs; yields its description."""
        done = self.telepresence("intercept", name, *args, "--output", "json", "--detailed-output")
        found = json.loads(done.stdout)
        try:
            yield found
        finally:
            self.telepresence("leave", found["name"], check=False)

    def local(self, port=8080, text="laptop", address="127.0.0.1"):
        """The laptop's version of a service."""
        return serve(self.laptop_net, address, port, answer(text))

    def all_pods_say(self, text, app="web", port=8080, seconds=60):
        addresses = [pod["status"]["podIP"] for pod in self.ready_pods(app)]

        def check():
            return all(self.client.ask(address, port).startswith(text) for address in addresses)

        assert addresses
        wait_for(f"every pod of {app} says {text!r}", check, seconds, 0.02)


def set_up(cluster, laptop):
    cluster.kubectl("apply", "-f", MANIFEST)
    # Of each Deployment, StatefulSet, ReplicaSet and bare pod, and two DaemonSets' on every node.
    count = 7 + 2 * plan.get(cluster.name).node_count
    wait_for("pods", lambda: len(cluster.get("pods", "-n", NAMESPACE)["items"]) >= count)
    cluster.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s")
    return Stage(cluster, laptop)


def tear_down(cluster):
    cluster.kubectl("delete", "-f", MANIFEST, "--wait=true", "--timeout=180s", timeout=200)

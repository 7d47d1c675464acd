# SPDX-License-Identifier: Apache-2.0
"""A namespace with a Service of three replicas, the same beside it that nobody intercepts, and a pod that asks both.

The program of each is tests/bench/asker.c, run in its pod's network.
"""

import contextlib

from conftest import run, wait_for
from load import Load, Server
from localcluster import plan, workloads
from nets import Net, pid_of, pids_of

PORT = 8080
RATE = 200
CONTROL_RATE = 50


def sleeper_of(pod):
    """The pid of its program."""
    return pid_of(pod["metadata"]["uid"], "sleep")


def net_of(pod):
    """The network of a pod whose program sleeps."""
    return f"/proc/{sleeper_of(pod)}/ns/net"


def laptop_net(cluster, name="laptop"):
    return f"/run/netns/{plan.get(cluster.name).netns(name)}"


def leads_somewhere(net, address):
    """kube-proxy knows who is behind a Service."""
    try:
        Net(net).connect(address, 80).close()
    except OSError:
        return False
    return True


class Shop:
    """The shop as it is while shop() is open; its replicas say "app", the other one "other"."""

    def __init__(self, cluster, namespace):
        self.cluster, self.namespace = cluster, namespace
        self.pods = cluster.pods(namespace, "shop")
        self.address = cluster.cluster_ip(namespace, "shop")
        self.other = cluster.cluster_ip(namespace, "other")
        self.client = net_of(cluster.pods(namespace, "client")[0])
        self.args = ["--namespace", namespace, "--workload", "shop", "--port", str(PORT)]

    def loads(self, address=None, port=80):
        """The load on the shop, or on one of its pods, and the one that nothing of ours is in the way of."""
        return Load(self.client, address or self.address, port, RATE), Load(self.client, self.other, 80, CONTROL_RATE)

    def agents(self):
        return [pid for pod in self.pods for pid in pids_of(pod["metadata"]["uid"], "/traffic-agent")]

    def rulesets(self):
        """The nftables state of each pod."""
        return [run(["nsenter", "-t", sleeper_of(pod), "-n", "nft", "list", "ruleset"]).stdout for pod in self.pods]

    def laptop_serves(self):
        """The laptop's version of the service."""
        return Server(laptop_net(self.cluster), "127.0.0.1", PORT, "laptop")


@contextlib.contextmanager
def shop(cluster, namespace):
    """A shop in a namespace of its own, which goes afterwards."""

    def one(*args):
        # The agents have their pod's share of a busy machine's time; of none they would get nothing.
        return workloads.container(*args, resources={"requests": {"cpu": "200m"}})

    cluster.apply(
        workloads.listed(
            workloads.namespace(namespace),
            workloads.deployment(namespace, 3, one("shop", PORT)),
            workloads.service(namespace, "shop", 80, PORT),
            workloads.pod(namespace, one("other")),
            workloads.service(namespace, "other", 80, PORT),
            workloads.pod(namespace, one("client")),
        )
    )
    try:
        # `wait --all` takes those that are there.
        wait_for("pods", lambda: len(cluster.get("pods", "-n", namespace)["items"]) == 5)
        cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
        made = Shop(cluster, namespace)
        with contextlib.ExitStack() as stack:
            for pod in made.pods:
                stack.enter_context(Server(net_of(pod), "0.0.0.0", PORT, "app"))
            # As ours it has to wait for its turn; and nothing of ours is in its way.
            other = cluster.pods(namespace, "other")[0]
            stack.enter_context(Server(net_of(other), "0.0.0.0", PORT, "other", sleeper_of(other)))
            for address in (made.address, made.other):
                wait_for(f"{address} on the node", lambda address=address: leads_somewhere(made.client, address))
            yield made
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--wait=true", "--timeout=60s")

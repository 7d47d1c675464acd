# SPDX-License-Identifier: Apache-2.0
"""Twenty people at twenty laptops who intercept twenty workloads at the same moment."""

import concurrent.futures
import contextlib
import time

import pytest

from agents import Process
from conftest import ROOT, run, wait_for
from kills import World
from load import Server
from localcluster import laptop as machines, plan, workloads
from nets import Net, pid_of, read_all
from shop import PORT, laptop_net, net_of

PEOPLE = 20
NAMESPACE = "crowd"
ROLE = "telepresence-user"
SMALL_KB = 8192


class Somebody:
    """One of them: a user of the cluster with a laptop and a workload of his own."""

    def __init__(self, cluster, number):
        self.cluster, self.name, self.laptop = cluster, f"user{number}", f"laptop{number + 2}"
        self.machine = machines.Laptop(plan.get(cluster.name), self.laptop)

    def manifests(self):
        one = workloads.container(self.name, PORT)
        return [
            workloads.deployment(NAMESPACE, 1, one),
            workloads.service(NAMESPACE, self.name, 80, PORT),
            *workloads.binding(NAMESPACE, self.name, ROLE),
            *workloads.binding("ambassador", self.name, ROLE),
        ]

    def arrive(self):
        self.machine.create()
        argv = [ROOT / "scripts/cluster", "kubeconfig", "--cluster", self.cluster.name, "--user", self.name]
        self.world = World(self.cluster, laptop=self.laptop, kubeconfig=run(argv).stdout.strip())

    def serve(self, stack, pods, services):
        (self.pod,) = (one for one in pods if one["metadata"]["labels"]["app"] == self.name)
        (self.address,) = (one["spec"]["clusterIP"] for one in services if one["metadata"]["name"] == self.name)
        stack.enter_context(Server(net_of(self.pod), "0.0.0.0", PORT, f"app of {self.name}"))
        stack.enter_context(Server(laptop_net(self.cluster, self.laptop), "127.0.0.1", PORT, f"laptop of {self.name}"))

    def command(self, *args):
        code, _, err = self.world.command(*args)
        assert code == 0, f"{self.name}: {args[0]}: {err}"

    def join(self):
        self.command("connect", "--namespace", NAMESPACE)
        self.command("intercept", self.name, "--port", str(PORT))

    def leave(self):
        self.command("leave", self.name)

    def quit(self):
        self.command("quit", "-s")

    def rules(self):
        pid = pid_of(self.pod["metadata"]["uid"], "sleep")
        return run(["nsenter", "-t", pid, "-n", "nft", "list", "ruleset"]).stdout


def ask(net, address):
    with contextlib.suppress(OSError), net.connect(address, 80) as connection:
        connection.sendall(b"ask\n")
        return read_all(connection).decode().strip()
    return "nobody"


def objects(cluster):
    found = [cluster.get(f"{kind}.telepresence.io", "-A")["items"] for kind in ("sessions", "intercepts")]
    return {one["metadata"]["uid"] for items in found for one in items}


def at_once(people, what):
    with concurrent.futures.ThreadPoolExecutor(len(people)) as pool:
        for _ in pool.map(what, people):
            pass


@pytest.fixture
def people(connected, cluster):
    """All of them, arrived; the laptop itself is not one of them."""
    connected.stop()
    everybody = [Somebody(cluster, number) for number in range(PEOPLE)]
    client = workloads.pod(NAMESPACE, workloads.container("client"))
    manifests = [workloads.namespace(NAMESPACE), client, *(one for person in everybody for one in person.manifests())]
    cluster.apply(workloads.listed(*manifests))
    try:
        at_once(everybody, Somebody.arrive)
        wait_for("pods", lambda: len(cluster.get("pods", "-n", NAMESPACE)["items"]) == PEOPLE + 1)
        cluster.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s", timeout=100)
        pods, services = (cluster.get(kind, "-n", NAMESPACE)["items"] for kind in ("pods", "services"))
        with contextlib.ExitStack() as stack:
            for person in everybody:
                person.serve(stack, pods, services)
            yield everybody
    finally:
        at_once(everybody, lambda person: person.machine.remove())
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=90s")
        names = [person.name for person in everybody]
        cluster.kubectl("-n", "ambassador", "delete", "rolebinding", *names, "--ignore-not-found")


def test_twenty_people_at_once_each_get_their_own(people, cluster):
    net = Net(net_of(cluster.pods(NAMESPACE, "client")[0]))
    # Killed daemons of other tests may have left Sessions, which end in time.
    before = objects(cluster)

    def answers():
        return [ask(net, person.address) for person in people]

    try:
        begun = time.monotonic()
        at_once(people, Somebody.join)
        print(f"{PEOPLE} joined in {time.monotonic() - begun:.1f} s")
        assert answers() == [f"laptop of {person.name}" for person in people]
        assert len(objects(cluster) - before) == 2 * PEOPLE
        at_once(people, Somebody.leave)
        assert answers() == [f"app of {person.name}" for person in people]
        assert not any(person.rules() for person in people)
    finally:
        at_once(people, Somebody.quit)
    wait_for("the end of all objects", lambda: objects(cluster) <= before, 10)
    assert not any(person.world.daemon(name) for person in people for name in ("userd", "rootd"))


def test_afterwards_the_manager_is_small(connected, cluster):
    """Their agents are gone, too, by now."""
    connected.stop()
    manager = Process(cluster.manager_pid())
    wait_for("a small manager", lambda: manager.resident_kb() <= SMALL_KB)

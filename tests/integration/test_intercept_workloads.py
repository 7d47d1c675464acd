# SPDX-License-Identifier: Apache-2.0
"""Every kind of workload and port; pods that come and go stay intercepted, and no request fails."""

import json
import threading
import time

import pytest

from agents import agents_of, containers_of, ours_of
from conftest import wait_for
from localcluster import workloads
from nets import read_all, serve, serve_udp, until
from timing import best_of, comes, took

# After a pod is ready, by this its connections must come to the laptop.
ADOPTED = 1.0


@pytest.mark.parametrize("name", ["db", "ds", "rs", "solo"])
def test_each_kind_is_intercepted(joined, name):
    kinds = {"db": "StatefulSet", "ds": "DaemonSet", "rs": "ReplicaSet", "solo": "Pod"}
    port = "8080:90" if name == "rs" else "8080:8080"
    flags = ["--service", "rs-plain"] if name == "rs" else []
    with joined.local(), joined.intercept(name, "--port", port, *flags) as found:
        assert found["workload_kind"] == kinds[name]
        joined.all_pods_say("laptop", name)
    joined.all_pods_say("pod ", name)


def test_a_headless_service_leads_to_the_laptop(joined):
    with joined.local(), joined.intercept("db"):
        for name in ("db-0.db.stage.svc.cluster.local", "db.stage"):
            comes("laptop\n", lambda name=name: joined.laptop.curl(f"http://{name}:8080/"))


def test_a_host_port_leads_to_the_laptop(joined):
    addresses = [node.addresses[0] for node in joined.plan.nodes]
    assert all(joined.client.ask(address, 18080).startswith("pod ds-") for address in addresses)
    with joined.local(), joined.intercept("ds", "--port", "8080:8080"):
        for net in (*joined.clients, *joined.node_nets):
            comes(["laptop"] * 2, lambda net=net: [net.ask(address, 18080) for address in addresses])


def test_a_host_port_of_udp_leads_to_the_laptop_and_without_its_program_to_the_app(joined):
    """The nodes' own tables know a source for half a minute: each question has one of its own."""
    (address, *_) = joined.plan.nodes[0].addresses
    pod = next(pod for pod in joined.pods("ds") if pod["spec"]["nodeName"] == joined.plan.nodes[0].name)

    def said(net):
        with net.udp() as sock:
            sock.settimeout(2)
            sock.connect((str(address), 15353))
            sock.send(b"?")
            return sock.recv(100)

    def all_say(text):
        for net in (*joined.clients, *joined.node_nets):
            comes(text, lambda net=net: said(net))

    with serve_udp(joined.net(pod), "0.0.0.0", 5353, "app"):
        all_say(b"app?")
        with joined.intercept("ds", "--port", "5300:5353/UDP"):
            with serve_udp(joined.laptop_net, "127.0.0.1", 5300, "laptop"):
                all_say(b"laptop?")
            all_say(b"app?")
        all_say(b"app?")


def test_without_a_service_the_containers_port_is_named_by_number_or_name(joined):
    for port in ("8080:8080", "8080:web"):
        with joined.local(), joined.intercept("solo", "--port", port) as found:
            assert found["container_port"] == 8080 and not found.get("service")
            comes("laptop", lambda: joined.client.ask(joined.pods("solo")[0]["status"]["podIP"], 8080))


def test_a_port_that_two_services_share_follows_both(joined):
    with joined.local(), joined.intercept("rs", "--service", "rs-named", "--port", "8080:one"):
        for service, port in (("rs-named", 80), ("rs-named", 81), ("rs-plain", 90)):
            address = joined.cluster.cluster_ip("stage", service)
            comes("laptop", lambda address=address, port=port: joined.client.ask(address, port))


def test_an_unnamed_port_goes_by_its_number(joined):
    with joined.local(), joined.intercept("rs", "--service", "rs-plain") as found:
        assert found["port_id"] == "90"
        comes("laptop", lambda: joined.client.ask(joined.cluster.cluster_ip("stage", "rs-plain"), 90))


def test_several_ports_go_to_their_own_destinations(joined):
    ports = ["8080:http", "8082:82", "9090:side"]
    with joined.local(8080, "one"), joined.local(8082, "two"), joined.local(9090, "three"):
        with joined.intercept("web", *(word for port in ports for word in ("--port", port))) as found:
            assert [one["port_id"] for one in found["ports"]] == ["http", "bound", "side"]
            address = joined.cluster.cluster_ip("stage", "web")
            comes(["one", "two", "three"], lambda: [joined.client.ask(address, port) for port in (80, 82, 90)])


@pytest.fixture
def applied(joined):
    """Puts objects into the namespace for as long as a test runs."""
    made = []

    def apply(*objects):
        made.extend(objects)
        joined.cluster.apply(workloads.listed(*objects))

    yield apply
    for one in reversed(made):
        joined.cluster.delete(one["kind"].lower(), "-n", "stage", one["metadata"]["name"])


def service(name, labels, ports, **more):
    spec = {"selector": labels, "ports": [{"name": f"p{port}", "port": port, "targetPort": to} for port, to in ports], **more}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "stage"}, "spec": spec}


def test_ports_of_several_services_go_together(joined, applied):
    """At once after they were made, before kube-proxy need know of them."""
    applied(service("front", {"app": "web"}, [(180, 8080)]), service("behind", {"app": "web"}, [(190, 9090)]))
    ports = ["--port", "8080:p180", "--port", "9090:p190"]
    with joined.local(8080, "one"), joined.local(9090, "two"), joined.intercept("web", *ports) as found:
        assert [one["service"] for one in found["ports"]] == ["front", "behind"]
        for name, port, text in (("front", 180, "one"), ("behind", 190, "two")):
            comes(text, lambda name=name, port=port: joined.client.ask(joined.cluster.cluster_ip("stage", name), port))


def bare_pod(name, node=None, **more):
    """Of the namespace; nobody listens there unless more says so."""
    made = workloads.pod("stage", workloads.container(name, 8080, **more))
    made["metadata"]["labels"]["shared"] = "yes"
    made["spec"]["nodeName"] = node
    return made


def two_ports(one, two):
    """A container that answers at both, by their names."""
    script = f"cd /tmp; for x in one two; do mkdir $x; echo $x >$x/index.html; done; httpd -p {one} -h one; exec httpd -f -p {two} -h two"
    made = workloads.container("twins", command=["sh", "-c", script])
    made["ports"] = [{"name": "one", "containerPort": one}, {"name": "two", "containerPort": two}]
    return made


def test_named_ports_have_their_numbers_in_each_pod(joined, applied):
    """A pod of a former revision has them elsewhere, and the one where the other is now."""
    former, ours = workloads.pod("stage", two_ports(9001, 9002)), workloads.deployment("stage", 2, two_ports(9002, 9003))
    joined.cluster.apply(workloads.listed(former))
    # It takes the pod over, and along when it goes.
    applied({**ours, "kind": "ReplicaSet"})
    wait_for("the pods", lambda: len(joined.ready_pods("twins")) == 2)
    ports = ["--port", "8081:one", "--port", "8082:two"]
    with joined.local(8081, "laptop one"), joined.local(8082, "laptop two"), joined.intercept("twins", *ports) as found:
        where = {pod["status"]["podIP"]: 9001 if pod["metadata"]["name"] == "twins" else 9002 for pod in joined.pods("twins")}
        assert where[found["pod_ip"]] == found["pod_port"]
        for pod in joined.ready_pods("twins"):
            first = 9001 if pod["metadata"]["name"] == "twins" else 9002
            address = pod["status"]["podIP"]
            comes(["laptop one", "laptop two"], lambda a=address, f=first: [joined.client.ask(a, f + n) for n in (0, 1)])


def mover(port):
    """A workload and its Service, which knows the port by its number alone."""
    command = ["sh", "-c", f"echo pod >/tmp/index.html; exec httpd -f -p {port} -h /tmp"]
    return workloads.deployment("stage", 2, workloads.container("mover", port, command=command)), service("mover", {"app": "mover"}, [(80, port)])


def test_a_rollout_that_moves_a_numbered_port_is_followed(joined, applied):
    applied(*mover(8080))
    wait_for("the pods", lambda: len(joined.ready_pods("mover")) == 2)
    address = joined.cluster.cluster_ip("stage", "mover")
    with joined.local(8085), joined.intercept("mover", "--port", "8085:80"):
        comes("laptop", lambda: joined.client.ask(address, 80))
        joined.cluster.apply(workloads.listed(*mover(9191)))
        joined.cluster.kubectl("-n", "stage", "rollout", "status", "deployment/mover", "--timeout=60s")
        wait_for("only new pods", lambda: len(joined.pods("mover")) == 2)
        wait_for("ports", lambda: [pod.get("port") for pod in joined.intercepts()[0]["pods"]] == [9191] * 2)
        wait_for("ACTIVE", lambda: {pod["state"] for pod in joined.intercepts()[0]["pods"]} == {"ACTIVE"})
        assert joined.intercepts()[0]["disposition"] == "ACTIVE"
        for _ in range(5):
            comes("laptop", lambda: joined.client.ask(address, 80))
        joined.all_pods_say("laptop", "mover", 9191)
        joined.cluster.apply(workloads.listed(service("mover", {"app": "mover"}, [(81, 9191)])))
        wait_for("a word of it", lambda: "Service mover has no port 80 any more" in joined.intercepts()[0].get("message", ""))
        assert joined.intercepts()[0]["disposition"] == "ACTIVE"
        joined.cluster.apply(workloads.listed(mover(9191)[1]))
        wait_for("nothing to say", lambda: not joined.intercepts()[0].get("message"))
    # kube-proxy puts the Service's port back in its own time.
    wait_for("the app", lambda: joined.client.ask(address, 80) == "pod")


def test_a_service_that_proves_nothing_is_no_obstacle(joined, applied):
    """One leads each client to one of two workloads' pods for good; one leads to those of the client's node alone."""
    manager = joined.cluster.manager_pod()["spec"]["nodeName"]
    elsewhere = next((one.name for one in joined.plan.nodes if one.name != manager), manager)
    names = ("open", "closed")
    applied(
        bare_pod(names[0], elsewhere, command=["httpd", "-f", "-p", "8080"]),
        bare_pod(names[1]),
        service("shared", {"shared": "yes"}, [(280, 8080)], sessionAffinity="ClientIP"),
        service("near", {"app": names[0]}, [(380, 8080)], internalTrafficPolicy="Local"),
    )
    wait_for("the pods", lambda: all(map(joined.ready_pods, names)))
    # Whichever pod the first one leads to, the other one cannot be proven by it.
    for name, by in ((names[0], "shared"), (names[1], "shared"), (names[0], "near")):
        with joined.local(), joined.intercept(name, "--service", by):
            joined.all_pods_say("laptop", name)


def test_the_container_of_the_port_or_the_named_one_gives_the_environment(joined):
    with joined.intercept("web", "--port", "9090:side") as found:
        assert found["container"] == "side" and found["environment"]["ONLY_SIDE"] == "yes"
    with joined.intercept("web", "--port", "9090:side", "--container", "web") as found:
        assert found["container"] == "web" and found["environment"]["BASE"] == "base"


def test_environments_of_two_containers_of_a_pod(joined):
    """The agent that is there has one; the other one's is read beside it, once, and the agent stays."""
    other = ["--deployment", "web", "--port", "8080:http", "--container", "side"]
    seen = []
    with joined.local(9090, "laptop"):
        # More often than what keeps ending is tried again.
        for _ in range(4):
            with joined.intercept("web", "--port", "9090:side", "--container", "web") as first:
                assert first["container"] == "web" and first["environment"]["BASE"] == "base"
                with joined.intercept("other", *other) as second:
                    assert second["container"] == "side" and second["environment"]["ONLY_SIDE"] == "yes"
                    assert "BASE" not in second["environment"]
                comes("laptop", lambda: joined.client.ask(joined.ready_pods()[0]["status"]["podIP"], 9090))
            seen.append((sorted(agent.pid for agent in agents_of(joined)), containers_of(joined)))
    assert seen[0] == seen[-1]
    assert any(name.startswith("telepresence-environment-") for names in seen[0][1].values() for name in names)
    joined.telepresence("uninstall", "--agent", "web", "--namespace", "stage")
    wait_for("nothing of ours", lambda: not any(map(ours_of, joined.pods())), 20)


class Requests:
    """Requests through the Service, one after another in a few threads, until the block ends."""

    def __init__(self, stage):
        self.stage = stage
        self.address = stage.cluster.cluster_ip("stage", "web")
        self.answers = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._loop) for _ in range(2)]

    def _loop(self):
        while not self.over.wait(0.02):
            begun = time.monotonic()
            self.answers.append((begun, self.stage.client.ask(self.address, 80)))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def failures(self):
        """Answers that came from nobody: neither from the laptop nor from a pod."""
        return [one for one in self.answers if one[1] != "laptop" and not one[1].startswith("pod web-")]


def adopted(stage, count):
    """Waits until count pods are ready; how long it then takes until each sends its connections to the laptop."""
    wait_for(f"{count} ready pods", lambda: len(stage.ready_pods()) == len(stage.pods()) == count)
    seconds, _ = took(stage.all_pods_say, "laptop")
    # Less what it takes to ask them all.
    return max(0, seconds - took(stage.all_pods_say, "laptop")[0])


@pytest.fixture
def web(joined):
    with joined.local(), joined.intercept("web", "--port", "8080:http") as found:
        joined.all_pods_say("laptop")
        joined.found = found
        yield joined
    wait_for("three pods", lambda: len(joined.ready_pods()) == len(joined.pods()) == 3)


def same_intercept(stage):
    return [one["id"] for one in stage.intercepts()] == [stage.found["id"]]


def test_scaling_under_load_loses_no_request_and_every_new_pod_is_intercepted(web):
    def attempt():
        for count in (1, 10):
            web.scale(count)
            seconds = adopted(web, count)
        return seconds

    try:
        with Requests(web) as requests:
            best_of(attempt, ADOPTED, tries=3)
            web.scale(2)
            adopted(web, 2)
        assert requests.failures() == [] and len(requests.answers) > 50
        assert same_intercept(web)
    finally:
        web.scale(3)


def test_a_rollout_keeps_the_intercept_and_loses_no_request(web):
    def attempt():
        before = {pod["metadata"]["name"] for pod in web.pods()}
        web.cluster.kubectl("-n", "stage", "rollout", "restart", "deployment/web")
        web.cluster.kubectl("-n", "stage", "rollout", "status", "deployment/web", "--timeout=90s")
        seconds = adopted(web, 3)
        assert not before & {pod["metadata"]["name"] for pod in web.pods()}
        return seconds

    with Requests(web) as requests:
        best_of(attempt, ADOPTED, tries=3)
    assert requests.failures() == []
    assert same_intercept(web)


def test_a_pod_that_goes_finishes_what_the_laptop_is_at(web):
    """The agent is told to end with its pod, and leaves the connections that are open to their ends."""
    pod = web.pods()[0]
    go_on = threading.Event()

    def slowly(connection):
        connection.recv(1)
        go_on.wait(20)
        connection.sendall(b"done")

    with web.intercept("slow", "--workload", "web", "--port", "7000:raw"):
        with serve(web.laptop_net, "127.0.0.1", 7000, slowly), web.client.connect(pod["status"]["podIP"], 7000) as one:
            one.sendall(b"x")
            web.cluster.kubectl("-n", "stage", "delete", "pod", pod["metadata"]["name"], "--wait=false")
            wait_for("the rules are gone", lambda: "telepresence" not in web.ruleset(pod), 15, 0.02)
            go_on.set()
            assert read_all(one) == b"done"
    adopted(web, 3)


def test_the_successors_of_a_deleted_and_an_evicted_pod_are_intercepted(web):
    def attempt():
        deleted, evicted, _ = [pod["metadata"]["name"] for pod in web.pods()]
        body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": evicted}})
        path = f"/api/v1/namespaces/stage/pods/{evicted}/eviction"
        web.cluster.kubectl("-n", "stage", "delete", "pod", deleted, "--wait=false")
        web.cluster.kubectl_input(["create", "--raw", path, "-f", "-"], body)
        assert until(lambda: not {deleted, evicted} & {pod["metadata"]["name"] for pod in web.pods()})
        return adopted(web, 3)

    best_of(attempt, ADOPTED, tries=3)
    assert same_intercept(web)


def test_a_drained_node_loses_no_request(web):
    """Its pods are evicted all at once, and come up on the other one."""
    def attempt():
        node = web.pods()[0]["spec"]["nodeName"]
        before = {pod["metadata"]["name"] for pod in web.pods() if pod["spec"]["nodeName"] == node}
        try:
            web.cluster.kubectl("drain", node, "--pod-selector=app=web", "--ignore-daemonsets", "--timeout=60s")
            seconds = adopted(web, 3)
            assert not before & {pod["metadata"]["name"] for pod in web.pods()}
            assert node not in {pod["spec"]["nodeName"] for pod in web.pods()}
            return seconds
        finally:
            web.cluster.kubectl("uncordon", node)

    with Requests(web) as requests:
        best_of(attempt, ADOPTED, tries=3)
    assert requests.failures() == []
    assert same_intercept(web)

# SPDX-License-Identifier: Apache-2.0
"""The frame of the tests on a real cluster: one cluster and one laptop for the whole run, both checked afterwards.

TP_TEST_CLUSTER=NAME uses a cluster that runs already and leaves it running. Everything else is made here and removed;
TP_TEST_NEW_CLUSTER=NAME says what its cluster is called, so that several runs go side by side.
"""

import concurrent.futures
import functools
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from localcluster import laptop as machine, lifecycle, network, plan, shell  # noqa: E402  (found by the line above, as is timing)

import api  # noqa: E402  (it needs localcluster)
import traces  # noqa: E402
from nets import Net, pid_of  # noqa: E402

LONG = os.environ.get("TP_TEST_LONG") == "1"


def pytest_configure(config):
    config.addinivalue_line("markers", "long_form: only with scripts/test --long")


def pytest_collection_modifyitems(config, items):
    """The long forms are no part of a plain run, neither as passed nor as skipped."""
    left_out = [item for item in items if not LONG and item.get_closest_marker("long_form")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def run(argv, timeout=120, check=True, **kwargs):
    """Runs a command; on failure the test shows what it said."""
    done = subprocess.run(
        [str(arg) for arg in argv], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **kwargs
    )
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def wait_for(what, condition, seconds=60, pause=0.1):
    """Calls condition() until it returns something true, which it returns.

    The limit is for what never comes; how long it may take at most is said by timing.best_of().
    """
    return shell.wait_for(what, condition, seconds, pause)


class Cluster:
    def __init__(self, name):
        self.name = name

    @functools.cached_property
    def prefix(self):
        """As `scripts/cluster kubectl`, of which each call would cost as much again."""
        the_plan = plan.get(self.name)
        return network.kubectl(the_plan, lifecycle.bin_dir(the_plan))

    def kubectl(self, *args, **kwargs):
        return run([*self.prefix, *args], **kwargs).stdout

    @functools.cached_property
    def api(self):
        return api.Api(self.name)

    def get(self, *args):
        path = api.path_of(args)
        return self.api.get(path) if path else json.loads(self.kubectl("get", "-o", "json", *args))

    def delete(self, *args):
        """Asks for the end of one object and does not wait for it."""
        self.api.request("DELETE", api.path_of(args))

    def apply(self, text):
        self.kubectl_input(["apply", "-f", "-"], text)

    def kubectl_input(self, args, text):
        argv = [*self.prefix, *args]
        done = subprocess.run([str(a) for a in argv], input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def pods(self, namespace, app):
        return [
            pod
            for pod in self.get("pods", "-n", namespace, "-l", f"app={app}")["items"]
            if not pod["metadata"].get("deletionTimestamp")
        ]

    def pod_ip(self, namespace="demo", app="web"):
        return self.pods(namespace, app)[0]["status"]["podIP"]

    def cluster_ip(self, namespace="demo", name="web"):
        return self.get("service", "-n", namespace, name)["spec"]["clusterIP"]

    def component_pid(self, component):
        """The pid, as seen from here, of a component of the control plane or the first node."""
        node = plan.get(self.name).nodes[0]
        return int((node.dir / "pids" / component).read_text())

    def manager_pod(self):
        pods = self.get("pods", "-n", "ambassador", "-l", "app=traffic-manager")["items"]
        return next((pod for pod in pods if not pod["metadata"].get("deletionTimestamp")), None)

    def manager_pid(self):
        """The pid, as seen from here, of the manager's process."""
        pod = wait_for("a pod of the manager", self.manager_pod)
        return pid_of(pod["metadata"]["uid"], "traffic-manager")

    def let(self, user, *rules, allowed=True):
        """Waits until the API server goes by a change of RBAC; each rule: verb, resource, namespace."""
        for rule in rules:
            wait_for(f"{user}: {rule} is {allowed}", lambda rule=rule: self.api.allows(user, *rule) == allowed)


class Laptop:
    """The network namespace that scripts/laptop runs commands in; here without what that costs."""

    def __init__(self, cluster):
        self.cluster = cluster
        the_plan = plan.get(cluster.name)
        client = ROOT / "build/release/src/client"
        environment = {
            "PATH": f"{client}:{client / 'rootd'}:{lifecycle.bin_dir(the_plan)}:{os.environ['PATH']}",
            "KUBECONFIG": the_plan.admin_kubeconfig,
            "XDG_CACHE_HOME": the_plan.dir / "laptop",
        }
        words = [f"{name}={value}" for name, value in environment.items()]
        self.prefix = ["env", *words, *machine.Laptop(the_plan).exec_argv([])]
        self.network = f"net:[{os.stat(f'/run/netns/{machine.Laptop(the_plan).netns}').st_ino}]"

    def run(self, *argv, **kwargs):
        return run([*self.prefix, *argv], **kwargs)

    def popen(self, *argv, **kwargs):
        return subprocess.Popen([*self.prefix, *map(str, argv)], text=True, **kwargs)

    def telepresence(self, *args, **kwargs):
        return self.run("telepresence", *args, **kwargs)

    def connect(self, *args):
        return self.telepresence("connect", *args)

    def stop(self):
        return self.telepresence("quit", "-s", check=False)

    # What it was like before it was left connected from one test to the next; None: it was not.
    before = None

    def stay_connected(self):
        """Connects, unless it is connected since an earlier test that only looked."""
        if self.before and self.status()["user_daemon"].get("status") == "Connected":
            return
        self.end()
        self.before = self.snapshot()
        self.connect()

    def end(self):
        """Disconnects; as it was before, if it was left connected."""
        self.stop()
        if self.before:
            before, self.before = self.before, None
            self.assert_as(before)

    def status(self):
        return json.loads(self.telepresence("status", "--output", "json").stdout)

    def curl(self, url, *args, **kwargs):
        return self.run("curl", "-sS", "--max-time", "20", *args, url, **kwargs).stdout

    def daemons(self):
        """Pids of our daemons in this laptop's network namespace."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if os.readlink(entry / "ns/net") != self.network:
                    continue
            except OSError:
                continue
            if os.path.basename(argv[0]) == "telepresence-rootd":
                found["rootd"] = int(entry.name)
            elif os.path.basename(argv[0]) == "telepresence" and "userd" in argv[1:2]:
                found["userd"] = int(entry.name)
        return found

    def snapshot(self):
        """All that a connection may change on the laptop."""
        return traces.network(lambda *argv: self.run(*argv).stdout) | {"processes": sorted(self.daemons())}

    def assert_as(self, before):
        traces.assert_as(self.snapshot, before)


@pytest.fixture(scope="session")
def product():
    """The release build, which is also what scripts/laptop has on its PATH."""
    if os.environ.get("TP_TEST_BUILT") == "1":
        return ROOT / "build/release"
    run(["cmake", "--preset", "release"], cwd=ROOT, timeout=300)
    run(["cmake", "--build", "--preset", "release"], cwd=ROOT, timeout=1200)
    return ROOT / "build/release"


@pytest.fixture(scope="session")
def cluster(product, tmp_path_factory):
    name = os.environ.get("TP_TEST_CLUSTER") or os.environ.get("TP_TEST_NEW_CLUSTER") or "test"
    cluster = Cluster(name)
    archive = tmp_path_factory.mktemp("image") / "image.tar"
    try:
        # Most of making a cluster is waiting.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            image = pool.submit(run, [ROOT / "scripts/image", "--output", archive], timeout=600)
            run([ROOT / "scripts/cluster", "up", name, "--nodes", "2", "--dual-stack"], timeout=1800)
            image.result()
        run([ROOT / "scripts/cluster", "load", "--cluster", name, archive])
        cluster.kubectl("apply", "-f", ROOT / "scripts/demo/web.yaml")
        cluster.kubectl("-n", "demo", "rollout", "status", "deployment/web", "--timeout=60s")
        yield cluster
    finally:
        if not os.environ.get("TP_TEST_CLUSTER"):
            run([ROOT / "scripts/cluster", "down", name], timeout=120)


@pytest.fixture(scope="session")
def the_laptop(cluster):
    laptop = Laptop(cluster)
    laptop.run("true")
    return laptop


@pytest.fixture
def pod_net(cluster):
    """The network namespace of the pod behind http://web.demo/."""
    pod = cluster.pods("demo", "web")[0]
    return Net(f"/proc/{pid_of(pod['metadata']['uid'], 'httpd')}/ns/net")


@pytest.fixture
def laptop_net(cluster):
    return Net(f"/run/netns/{plan.get(cluster.name).netns('laptop')}")


@pytest.fixture
def laptop(the_laptop):
    """The laptop, disconnected; after the test it must be as it was."""
    the_laptop.end()
    before = the_laptop.snapshot()
    yield the_laptop
    the_laptop.stop()
    the_laptop.assert_as(before)


@pytest.fixture
def connected(laptop):
    laptop.connect()
    return laptop


@pytest.fixture(scope="module")
def offline_afterwards(the_laptop):
    yield
    the_laptop.end()


@pytest.fixture
def online(the_laptop, offline_afterwards):
    """As `connected`, for tests that only look: one connection serves all of a file that follow each other."""
    the_laptop.stay_connected()
    return the_laptop


@pytest.fixture(scope="session")
def the_stage(cluster, the_laptop):
    """The workloads of stage.yaml, for all tests of intercepts."""
    import stage  # noqa: PLC0415  (it imports this file)

    yield stage.set_up(cluster, the_laptop)
    # Otherwise the whole cluster goes.
    if os.environ.get("TP_TEST_CLUSTER"):
        stage.tear_down(cluster)


@pytest.fixture(scope="module")
def joined(the_stage):
    """The stage with the laptop connected to it; afterwards the laptop is as it was."""
    laptop = the_stage.laptop
    laptop.end()
    before = laptop.snapshot()
    laptop.connect("--namespace", "stage")
    yield the_stage
    laptop.stop()
    laptop.assert_as(before)
    assert the_stage.objects() == []

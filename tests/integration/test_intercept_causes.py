# SPDX-License-Identifier: Apache-2.0
"""Where no agent can be placed the command ends soon, with one line that names the cause."""

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess

import pytest

from conftest import ROOT, run, wait_for
from kills import kill
from localcluster import lifecycle, workloads
from timing import best_of, comes, took

# After its cause is visible, which for most is at once.
IN_TIME = 15
MANAGER = "system:serviceaccount:ambassador:traffic-manager"
STAGE = """
apiVersion: v1
kind: Namespace
metadata: {name: causes}
"""
# Nothing here offends against any level, so what is refused is the agent.
POD = """
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: causes, labels: {app: NAME}}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: NODE
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: app
      image: node.local/busybox:1
      imagePullPolicy: IfNotPresent
      command: [httpd, -f, -p, "8080"]
      ports: [{containerPort: 8080}]
      resources: {requests: {cpu: 10m, memory: 8Mi}, limits: {cpu: 100m, memory: 32Mi}}
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"""
ADMISSION = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: causes-no-debugging}
spec:
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [pods/ephemeralcontainers]}
  validations: [{expression: "false", message: nobody debugs in this house}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: causes-no-debugging}
spec:
  policyName: causes-no-debugging
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: causes}}}
"""
LONE = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: lone, namespace: causes}
spec:
  serviceName: lone
  selector: {matchLabels: {app: lone}}
  template:
    metadata: {labels: {app: lone}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: app
          image: node.local/busybox:1
          imagePullPolicy: IfNotPresent
          command: [httpd, -f, -p, "8080"]
          ports: [{containerPort: 8080}]
"""
FULL = """
apiVersion: v1
kind: ResourceQuota
metadata: {name: full, namespace: causes}
spec: {hard: {pods: "4", requests.cpu: 40m, requests.memory: 32Mi, limits.cpu: 400m, limits.memory: 128Mi}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: narrow, namespace: causes}
spec:
  limits:
    - type: Container
      min: {cpu: 10m, memory: 8Mi}
      max: {cpu: 100m, memory: 32Mi}
      default: {cpu: 100m, memory: 32Mi}
      defaultRequest: {cpu: 10m, memory: 8Mi}
"""


@pytest.fixture(scope="module")
def causes(joined):
    """The stage's Stage; `near` is a pod on the first node, the others are on the last."""
    cluster, nodes = joined.cluster, joined.plan.nodes
    where = {"near": nodes[0]} | dict.fromkeys(("far", "farther", "late"), nodes[-1])
    pods = [POD.replace("NAME", name).replace("NODE", node.name) for name, node in where.items()]
    cluster.apply(STAGE + "".join(pods))
    cluster.kubectl("-n", "causes", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    app = workloads.container("none", 8080, command=["httpd", "-f", "-p", "8080"])
    over = workloads.pod("causes", workloads.container("ended", 8080, command=["true"]))
    over["spec"]["restartPolicy"] = "Never"
    cluster.apply(workloads.listed(workloads.deployment("causes", 0, app), over))
    yield joined
    cluster.kubectl("delete", "namespace", "causes", "--wait=false")


@pytest.fixture
def untouched(causes):
    """Whatever is refused, no object stays, and the pod is as it was but for its agent."""
    yield causes
    causes.await_objects()


def refusal(stage, name, seconds=IN_TIME, local="9000"):
    """The one line that names the cause."""
    lines = []

    def attempt():
        took_s, (_, said) = took(stage.refused, "intercept", name, "--namespace", "causes", "--port", f"{local}:8080")
        lines[:] = [line for line in said.splitlines() if "error: " in line]
        assert len(lines) == 1, said
        return took_s

    best_of(attempt, seconds, tries=3)
    return lines[0]


def agents_in_spec(stage, name):
    pod = stage.cluster.get("pod", "-n", "causes", name)
    return len(pod["spec"].get("ephemeralContainers", []))


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_a_level_of_pod_security_and_what_it_forbids(untouched, level):
    label = "pod-security.kubernetes.io/enforce"
    untouched.cluster.kubectl("label", "namespace", "causes", f"{label}={level}")
    try:
        said = refusal(untouched, "near")
        assert f'PodSecurity level "{level}" of namespace causes' in said and "NET_ADMIN" in said, said
        assert agents_in_spec(untouched, "near") == 0
    finally:
        untouched.cluster.kubectl("label", "namespace", "causes", f"{label}-")


def test_an_admission_that_refuses_ephemeral_containers(untouched):
    """As do clusters where people may not debug: their own words are repeated."""
    untouched.cluster.apply(ADMISSION)
    dry = json.dumps({"spec": {"ephemeralContainers": [{"name": "x", "image": "node.local/busybox:1"}]}})
    patch = ["-n", "causes", "patch", "pod", "near", "--subresource=ephemeralcontainers", "-p", dry]
    words = [ROOT / "scripts/cluster", "kubectl", "--cluster", untouched.cluster.name, *patch]
    try:
        holds = [*words, "--dry-run=server"]
        wait_for("the policy", lambda: "in this house" in run(holds, check=False).stderr)
        said = refusal(untouched, "near")
        assert "admission forbids the agent in pod near" in said and "nobody debugs in this house" in said, said
        assert agents_in_spec(untouched, "near") == 0
    finally:
        untouched.cluster.kubectl_input(["delete", "-f", "-"], ADMISSION)


def set_rules(cluster, rules):
    patch = json.dumps([{"op": "replace", "path": "/rules", "value": rules}])
    cluster.kubectl("patch", "clusterrole", "traffic-manager", "--type=json", "-p", patch)


@contextlib.contextmanager
def without_right(cluster, resource):
    """The manager's ClusterRole lacks the rule with this resource."""
    rules = cluster.get("clusterrole", "traffic-manager")["rules"]
    fewer = [rule for rule in rules if resource not in rule.get("resources", [])]
    (missing,) = (rule for rule in rules if rule not in fewer)
    group = missing["apiGroups"][0]
    right = missing["verbs"][0], f"{resource}.{group}" if group else resource, "causes"
    set_rules(cluster, fewer)
    try:
        cluster.let(MANAGER, right, allowed=False)
        yield
    finally:
        set_rules(cluster, rules)
        cluster.let(MANAGER, right)


def test_a_manager_that_lacks_the_right(untouched):
    with without_right(untouched.cluster, "pods/ephemeralcontainers"):
        said = refusal(untouched, "near")
        assert "traffic-manager may not patch pods/ephemeralcontainers in namespace causes" in said, said
    # One that no idle agent of an earlier intercept keeps the manager following.
    untouched.cluster.apply(LONE)
    try:
        with without_right(untouched.cluster, "statefulsets"):
            said = refusal(untouched, "lone")
            assert "the traffic-manager cannot follow StatefulSet lone" in said and "forbidden" in said, said
    finally:
        untouched.cluster.kubectl("-n", "causes", "delete", "statefulset", "lone")
        gone = ["-n", "causes", "wait", "--for=delete", "pod", "-l", "app=lone", "--timeout=60s"]
        untouched.cluster.kubectl(*gone)


def test_what_will_not_come_is_told_in_time(untouched):
    """A kubelet that stands still (the other pods of its node have no say in that), no pod wanted, one that has ended."""
    node = untouched.plan.nodes[-1]
    kubelet = int((node.dir / "pids" / "kubelet").read_text())
    ended = ["-n", "causes", "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/ended", "--timeout=60s"]
    untouched.cluster.kubectl(*ended)
    os.kill(kubelet, signal.SIGSTOP)
    try:
        ports = {"far": "9000", "none": "9001", "ended": "9002"}
        with concurrent.futures.ThreadPoolExecutor() as pool:
            far, none, ended = pool.map(lambda name: refusal(untouched, name, local=ports[name]), ports)
    finally:
        os.kill(kubelet, signal.SIGCONT)
    assert f"node {node.name} does not start the agent of pod far" in far and "kubelet" in far, far
    assert "deployment none is scaled to 0: kubectl -n causes scale deployment none --replicas=1" in none, none
    assert "pod ended has ended (Succeeded)" in ended, ended


def test_a_workload_that_is_scaled_up_meanwhile_is_intercepted(untouched):
    words = ["intercept", "none", "--namespace", "causes", "--port", "9000:8080"]
    asked = untouched.laptop.popen("telepresence", *words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    scale = ["-n", "causes", "scale", "deployment/none"]
    try:
        assert any("scaled to 0" in line for line in asked.stderr)
        untouched.cluster.kubectl(*scale, "--replicas=1")
        _, said = asked.communicate(timeout=90)
        assert asked.returncode == 0, said
        untouched.telepresence("leave", "none-causes")
    finally:
        asked.kill()
        asked.wait()
        untouched.cluster.kubectl(*scale, "--replicas=0")


def test_a_kubelet_that_has_yet_to_come_back_to_the_api_server_is_waited_for(untouched):
    """It tries again for up to a minute after the API server was away: what is slow is no cause."""
    node = untouched.plan.nodes[-1]
    kubelet = int((node.dir / "pids" / "kubelet").read_text())
    ready = ["get", "--raw", "/readyz", "--request-timeout=2s"]
    os.kill(kubelet, signal.SIGSTOP)
    try:
        assert kill("kube-apiserver", untouched.cluster.component_pid("kube-apiserver"))
        wait_for("the API server", lambda: "ok" in untouched.cluster.kubectl(*ready, check=False))
        words = ["intercept", "late", "--namespace", "causes", "--port", "9000:8080"]
        asked = untouched.laptop.popen("telepresence", *words, stderr=subprocess.PIPE)
        try:
            # After the 10 s that a kubelet has by itself.
            assert any("the API server was away" in line for line in asked.stderr)
            assert asked.poll() is None
            os.kill(kubelet, signal.SIGCONT)
            _, said = asked.communicate(timeout=90)
            assert asked.returncode == 0, said
        finally:
            asked.kill()
            asked.wait()
    finally:
        os.kill(kubelet, signal.SIGCONT)
    untouched.telepresence("leave", "late-causes")


def test_an_image_that_cannot_be_pulled(untouched):
    """The node has lost it, and nobody serves it."""
    node = untouched.plan.nodes[-1]
    image = untouched.cluster.manager_pod()["spec"]["containers"][0]["image"]
    archive = untouched.plan.dir / "taken-away.tar"
    ctr = ["ctr", "-a", lifecycle.containerd_socket(node), "-n", "k8s.io", "images"]
    run([*ctr, "export", archive, image])
    run([*ctr, "remove", "--sync", image])
    try:
        said = refusal(untouched, "farther", 60)
        assert "agent in pod farther does not start" in said and "pull" in said and image in said, said
    finally:
        run([*ctr, "import", archive])
        archive.unlink()
    # The node's kubelet sees that it is back.
    again = ["intercept", "farther", "--namespace", "causes", "--port", "9000:8080"]
    wait_for("the image", lambda: untouched.telepresence(*again, check=False).returncode == 0)
    untouched.telepresence("leave", "farther-causes")


def test_a_quota_that_is_used_up_and_a_narrow_limit_range_forbid_nothing(causes):
    """An agent requests nothing, and neither of the two counts what it does not know."""
    causes.cluster.apply(FULL)
    quota = ["-n", "causes", "resourcequota", "full"]

    def used():
        return causes.cluster.get(*quota)["status"].get("used", {}).get("pods") == "4"

    try:
        wait_for("the quota is used up", used)
        before = causes.cluster.get(*quota)["status"]
        with causes.local(9000), causes.intercept("near", "--namespace", "causes", "--port", "9000:8080"):
            address = causes.cluster.get("pod", "-n", "causes", "near")["status"]["podIP"]
            comes("laptop", lambda: causes.client.ask(address, 8080))
            assert causes.cluster.get(*quota)["status"] == before
    finally:
        causes.cluster.kubectl_input(["delete", "-f", "-"], FULL)


MIRROR = """
apiVersion: v1
kind: Pod
metadata: {name: mirrored, namespace: causes, annotations: {kubernetes.io/config.mirror: "0"}}
spec:
  nodeName: elsewhere
  containers: [{name: app, image: "node.local/busybox:1", ports: [{containerPort: 8080}]}]
"""


def test_a_static_pod_of_a_node_is_refused(untouched):
    untouched.cluster.apply(MIRROR)
    try:
        assert "static pod" in refusal(untouched, "mirrored")
    finally:
        # There is no kubelet to say that it is gone.
        untouched.cluster.kubectl_input(["delete", "--force", "--grace-period=0", "-f", "-"], MIRROR)


def ephemeral(cluster, namespace, label):
    pods = cluster.get("pods", "-n", namespace, "-l", label)["items"]
    assert pods
    return sum(len(pod["spec"].get("ephemeralContainers", [])) for pod in pods)


def test_what_a_client_does_not_refuse_the_manager_does(causes):
    """Objects made without our client: pods on their node's network, and a system namespace."""
    cluster = causes.cluster
    with causes.intercept("db", "--port", "9000"):
        mine = causes.objects()[0]
        for namespace, workload, label, why in (
            ("stage", "hostnet", "app=hostnet", "node's network"),
            ("kube-system", "coredns", "k8s-app=kube-dns", "system namespace"),
        ):
            forged = {key: mine[key] for key in ("apiVersion", "kind")}
            forged["metadata"] = {"name": "forged", "namespace": namespace}
            forged["spec"] = {**mine["spec"], "name": "forged", "workload": workload, "kind": "Deployment"}
            forged["spec"]["ports"] = [{"local": 9001, "containerPort": 18081}]
            forged["spec"].pop("service", None)
            cluster.apply(json.dumps(forged))

            def status(namespace=namespace):
                return cluster.get("intercept", "-n", namespace, "forged").get("status", {})

            try:
                wait_for("a verdict", lambda: status().get("state") == "ERROR")
                assert status()["reason"] == "Refused" and why in status()["message"], status()
                assert ephemeral(cluster, namespace, label) == 0
            finally:
                cluster.kubectl("-n", namespace, "delete", "intercept", "forged")


BYPASS = """
table inet bypass {
	chain prerouting {
		type filter hook prerouting priority mangle - 10
		tcp dport 8080 meta mark set 0x7439
	}
}
"""


def test_a_pod_whose_connections_do_not_pass_the_rules_is_not_active(untouched):
    """As with a network plug-in that goes round them; what it says is no promise that was not kept."""
    pod = untouched.pods("rs")[0]
    enter = ["nsenter", "-t", untouched.pid(pod), "-n", "nft"]
    subprocess.run([str(word) for word in [*enter, "-f", "-"]], input=BYPASS, text=True, check=True)
    try:
        _, said = untouched.refused("intercept", "rs", "--service", "rs-plain", "--port", "9000:90")
        assert "bypassed by CNI" in said and pod["metadata"]["name"] in said, said
        assert "telepresence" not in untouched.ruleset(pod)
    finally:
        run([*enter, "delete", "table", "inet", "bypass"])

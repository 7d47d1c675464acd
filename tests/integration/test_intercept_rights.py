# SPDX-License-Identifier: Apache-2.0
"""Who may intercept where is RBAC on Intercepts; whose they are is proven; what cannot be placed says why, in time."""

import json
import subprocess
import time

import pytest

from conftest import ROOT, run

EXIT_PERMISSION = 8
CONNECT = """
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: guest, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: telepresence-user}
subjects: [{kind: User, name: guest, apiGroup: rbac.authorization.k8s.io}]
"""
RESTRICTED = """
apiVersion: v1
kind: Namespace
metadata: {name: strict, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: Pod
metadata: {name: tame, namespace: strict, labels: {app: tame}}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: app
      image: node.local/busybox:1
      imagePullPolicy: IfNotPresent
      command: [httpd, -f, -p, "8080"]
      ports: [{containerPort: 8080}]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"""


@pytest.fixture
def guest(joined):
    """The laptop connected as a user who may connect and nothing else; gives a kubectl as that user."""
    cluster = joined.cluster
    joined.laptop.stop()
    binding = CONNECT.replace("NAMESPACE", "ambassador")
    cluster.apply(binding)
    argv = [ROOT / "scripts/cluster", "kubeconfig", "--cluster", cluster.name, "--user", "guest"]
    joined.telepresence("connect", "--namespace", "stage", "--kubeconfig", run(argv).stdout.strip())

    def kubectl(*args, text=None):
        words = [ROOT / "scripts/cluster", "kubectl", "--cluster", cluster.name, "--as", "guest", *args]
        return subprocess.run(words, input=text, capture_output=True, text=True, timeout=60, check=False)

    yield kubectl
    joined.laptop.stop()
    cluster.kubectl_input(["delete", "-f", "-"], binding)
    joined.laptop.connect("--namespace", "stage")


def test_the_right_to_intercept_is_given_by_namespace(joined, guest):
    code, said = joined.refused("intercept", "web", "--port", "8080:http")
    assert code == EXIT_PERMISSION and "telepresence-user" in said, said
    assert joined.objects() == []
    binding = CONNECT.replace("NAMESPACE", "stage")
    joined.cluster.apply(binding)
    try:
        with joined.local(), joined.intercept("web", "--port", "8080:http") as found:
            assert found["client"].startswith("guest@")
            joined.all_pods_say("laptop")
            mine = joined.objects()[0]
            assert mine["spec"]["owner"] == "guest"
            # The right to make Intercepts is not the right to speak for somebody else.
            forged = {key: mine[key] for key in ("apiVersion", "kind")}
            forged["metadata"] = {"name": "forged", "namespace": "stage"}
            forged["spec"] = {**mine["spec"], "owner": "admin"}
            done = guest("create", "-f", "-", text=json.dumps(forged))
            assert done.returncode != 0 and "owner" in done.stderr
        assert joined.objects() == []
    finally:
        joined.cluster.kubectl_input(["delete", "-f", "-"], binding)


def test_somebody_elses_intercept_is_not_a_users_to_delete(joined):
    """Without `revoke`, an owner's only; with the administrator's rights it goes (test_intercept.py)."""
    cluster = joined.cluster
    binding = CONNECT.replace("NAMESPACE", "stage")
    cluster.apply(binding)
    try:
        with joined.intercept("db", "--port", "9000"):
            name = joined.objects()[0]["metadata"]["name"]
            words = [ROOT / "scripts/cluster", "kubectl", "--cluster", cluster.name, "--as", "guest"]
            done = run([*words, "-n", "stage", "delete", "intercept", name], check=False)
            assert done.returncode != 0, done.stdout
            assert [one["name"] for one in joined.intercepts()] == ["db"]
    finally:
        cluster.kubectl_input(["delete", "-f", "-"], binding)


def test_a_namespace_that_forbids_the_agent_is_named_with_its_level(joined):
    cluster = joined.cluster
    cluster.apply(RESTRICTED)
    try:
        cluster.kubectl("-n", "strict", "wait", "--for=condition=Ready", "pod/tame", "--timeout=60s")
        begun = time.monotonic()
        _, said = joined.refused("intercept", "tame", "--namespace", "strict", "--port", "9000:8080")
        assert time.monotonic() - begun < 15
        assert "restricted" in said and "PodSecurity" in said, said
        assert joined.objects() == []
    finally:
        cluster.kubectl("delete", "namespace", "strict", "--wait=true", "--timeout=60s")

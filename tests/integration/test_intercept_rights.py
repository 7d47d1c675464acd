# SPDX-License-Identifier: Apache-2.0
"""Who may intercept where is RBAC on Intercepts; whose they are is proven; what cannot be placed says why, in time."""

import json
import subprocess

import pytest

from conftest import ROOT, run, wait_for

EXIT_PERMISSION = 8
INTERCEPT = "create", "intercepts.telepresence.io", "stage"
CONNECT = """
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: guest, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: telepresence-user}
subjects: [{kind: User, name: guest, apiGroup: rbac.authorization.k8s.io}]
"""


@pytest.fixture
def guest(joined):
    """The laptop connected as a user who may connect and nothing else; gives a kubectl as that user."""
    cluster = joined.cluster
    joined.laptop.stop()
    binding = CONNECT.replace("NAMESPACE", "ambassador")
    cluster.apply(binding)
    cluster.let("guest", ("create", "sessions.telepresence.io", "ambassador"))
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
    joined.cluster.let("guest", INTERCEPT, allowed=False)
    code, said = joined.refused("intercept", "web", "--port", "8080:http")
    assert code == EXIT_PERMISSION and "telepresence-user" in said, said
    joined.await_objects()
    binding = CONNECT.replace("NAMESPACE", "stage")
    joined.cluster.apply(binding)
    joined.cluster.let("guest", INTERCEPT)
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


MEDDLER = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: meddler, namespace: stage}
rules:
  - apiGroups: [telepresence.io]
    resources: [intercepts, intercepts/status]
    verbs: [get, list, update, patch, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: meddler, namespace: stage}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: meddler}
subjects: [{kind: User, name: guest, apiGroup: rbac.authorization.k8s.io}]
"""
LABEL = '{"metadata":{"labels":{"by":"guest"}}}'


def test_somebody_elses_intercept_is_changed_by_nobody_without_revoke(joined):
    """Not even with RBAC's every right on Intercepts: the policy asks for one verb more."""
    cluster = joined.cluster
    as_guest = [ROOT / "scripts/cluster", "kubectl", "--cluster", cluster.name, "--as", "guest", "-n", "stage"]
    cluster.apply(MEDDLER)
    what = ["intercepts.telepresence.io", "intercepts.telepresence.io/status"]
    try:
        cluster.let("guest", *((verb, one, "stage") for verb in ("patch", "delete") for one in what))
        with joined.local(9000), joined.intercept("db", "--port", "9000"):
            name = joined.objects()[0]["metadata"]["name"]
            change = [*as_guest, "patch", "intercept", name, "--type=merge", "-p", LABEL]
            for words in (
                change,
                [*as_guest, "patch", "intercept", name, "--subresource=status", "--type=merge", "-p", LABEL],
                [*as_guest, "delete", "intercept", name],
            ):
                done = run(words, check=False)
                assert done.returncode != 0 and "intercepts.telepresence.io" in done.stderr, done.stderr
                assert "owner" in done.stderr or "traffic-manager" in done.stderr, done.stderr
            joined.all_pods_say("laptop", "db")
            cluster.apply(MEDDLER.replace("delete]", "delete, revoke]"))
            wait_for("the right", lambda: run(change, check=False).returncode == 0)
            run([*as_guest, "delete", "intercept", name, "--wait=false"])
            joined.all_pods_say("pod ", "db")
            wait_for("status", lambda: joined.intercepts() == [])
    finally:
        cluster.kubectl_input(["delete", "-f", "-"], MEDDLER)

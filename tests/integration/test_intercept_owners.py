# SPDX-License-Identifier: Apache-2.0
"""From what was named to whose it is: pods and ReplicaSets of a Deployment or an Argo Rollout."""

import json

import pytest

from conftest import run, wait_for

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rollouts.argoproj.io}
spec:
  group: argoproj.io
  scope: Namespaced
  names: {kind: Rollout, listKind: RolloutList, plural: rollouts, singular: rollout}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
TEMPLATE = {
    "metadata": {"labels": {"app": "roll"}},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "app",
                "image": "node.local/busybox:1",
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", 'mkdir -p /www; echo "pod $HOSTNAME" >/www/index.html; httpd -f -p 8080 -h /www'],
                "ports": [{"name": "http", "containerPort": 8080}],
                "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
            }
        ],
    },
}


def replica_set(name, rollout, replicas):
    """What Argo's controller makes of a Rollout; here the test does."""
    labels = {"app": rollout["metadata"]["name"], "rollouts-pod-template-hash": name}
    owner = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "controller": True, "blockOwnerDeletion": True,
        "name": rollout["metadata"]["name"], "uid": rollout["metadata"]["uid"],
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "stage", "labels": labels, "ownerReferences": [owner]},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
            **TEMPLATE, "metadata": {"labels": labels}}},
    }  # fmt: skip


@pytest.fixture(scope="module")
def rollout(joined):
    """A Rollout `roll` with the ReplicaSet `roll-1` of two pods."""
    cluster = joined.cluster
    cluster.apply(CRD)
    cluster.kubectl("wait", "--for=condition=Established", "crd/rollouts.argoproj.io", "--timeout=30s")
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "roll"}}, "template": TEMPLATE}
    roll = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "roll", "namespace": "stage"}}
    try:
        wait_for("rollouts", lambda: "No resources" in served(cluster))
        cluster.apply(json.dumps({**roll, "spec": spec}))
        cluster.apply(json.dumps(replica_set("roll-1", cluster.get("rollout", "-n", "stage", "roll"), 2)))
        cluster.kubectl("-n", "stage", "expose", "rs", "roll-1", "--name=roll", "--port=80", "--target-port=http")
        wait_for("its pods", lambda: len(joined.ready_pods("roll")) == 2)
        yield joined
    finally:
        cluster.kubectl("-n", "stage", "delete", "service", "roll", "--ignore-not-found")
        # Not left to the garbage collector: it may not have known this kind before it was gone.
        cluster.kubectl("-n", "stage", "delete", "replicaset", "-l", "app=roll", "--ignore-not-found")
        cluster.kubectl("delete", "crd", "rollouts.argoproj.io", "--wait=true", "--timeout=60s")
        wait_for("its pods are gone", lambda: not joined.pods("roll"))


def served(cluster):
    return run([*cluster.prefix, "get", "rollouts.argoproj.io", "-n", "stage"], check=False).stderr


def test_a_rollout_is_intercepted_and_so_are_the_pods_of_its_next_revision(rollout):
    stage = rollout
    with stage.local(), stage.intercept("roll") as found:
        assert found["workload_kind"] == "Rollout"
        stage.all_pods_say("laptop", "roll")
        owner = stage.cluster.get("rollout", "-n", "stage", "roll")
        stage.cluster.apply(json.dumps(replica_set("roll-2", owner, 1)))
        wait_for("the new pod", lambda: len(stage.ready_pods("roll")) == 3)
        stage.all_pods_say("laptop", "roll")
        assert [one["id"] for one in stage.intercepts()] == [found["id"]]
    stage.all_pods_say("pod roll-", "roll")
    stage.cluster.kubectl("-n", "stage", "delete", "rs", "roll-2")


def test_the_chain_of_owners_is_climbed(rollout):
    stage = rollout
    sets = stage.cluster.get("rs", "-n", "stage", "-l", "app=web")["items"]
    web = next(one["metadata"]["name"] for one in sets if one["spec"]["replicas"])
    for name, kind, workload in (
        ("roll-1", "Rollout", "roll"),
        (stage.pods("roll")[0]["metadata"]["name"], "Rollout", "roll"),
        (web, "Deployment", "web"),
        (stage.pods("web")[0]["metadata"]["name"], "Deployment", "web"),
        ("db-0", "StatefulSet", "db"),
    ):
        port = "8080:http" if workload in ("web", "roll") else "8080:8080"
        with stage.intercept("chain", "--workload", name, "--port", port) as found:
            assert found["workload_kind"] == kind, name
            assert [one["spec"]["workload"] for one in stage.objects()] == [workload]


def test_a_rollout_may_borrow_a_template(rollout):
    """spec.workloadRef: a Deployment of the same name is scaled down, and the Rollout says nothing of its pods."""
    stage, cluster = rollout, rollout.cluster
    meta = {"name": "lent", "namespace": "stage"}
    labels = {"app": "lent"}
    template = {**TEMPLATE, "metadata": {"labels": labels}}
    borrower = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": meta}
    lenders = {
        "Deployment": {"apiVersion": "apps/v1", "spec": {
            "replicas": 0, "selector": {"matchLabels": labels}, "template": template}},
        "PodTemplate": {"apiVersion": "v1", "template": template},
    }  # fmt: skip

    def lend(kind):
        cluster.apply(json.dumps({**lenders[kind], "kind": kind, "metadata": meta}))
        reference = {"apiVersion": lenders[kind]["apiVersion"], "kind": kind, "name": "lent"}
        cluster.apply(json.dumps({**borrower, "spec": {"replicas": 1, "workloadRef": reference}}))

    try:
        lend("Deployment")
        cluster.apply(json.dumps(replica_set("lent-1", cluster.get("rollout", "-n", "stage", "lent"), 1)))
        wait_for("its pod", lambda: stage.ready_pods("lent"))
        for name in ("lent", stage.pods("lent")[0]["metadata"]["name"]):
            with stage.local(), stage.intercept("lent", "--workload", name, "--port", "8080:http") as found:
                assert found["workload_kind"] == "Rollout"
                stage.all_pods_say("laptop", "lent")
                stage.all_pods_say("pod roll-", "roll")
        cluster.kubectl("-n", "stage", "delete", "deployment", "lent")
        lend("PodTemplate")
        with stage.intercept("lent", "--port", "8080:http") as found:
            assert found["workload_kind"] == "Rollout"
    finally:
        cluster.kubectl("-n", "stage", "delete", "replicaset", "-l", "app=lent", "--ignore-not-found")
        gone = ["-n", "stage", "delete", "rollout,deployment,podtemplate", "lent", "--ignore-not-found"]
        cluster.kubectl(*gone)
        wait_for("its pods are gone", lambda: not stage.pods("lent"))


def test_list_shows_the_rollout_and_not_what_it_owns(rollout):
    def shown():
        lines = rollout.telepresence("list").stdout.splitlines()
        return {line.split(":")[0].split()[-1] for line in lines if ":" in line and not line.startswith(" ")}

    wait_for("roll", lambda: "roll" in shown())
    assert "roll-1" not in shown() and "web" in shown()

# SPDX-License-Identifier: Apache-2.0
"""Few rights are enough, and nobody without them gets a byte."""

import concurrent.futures
import json
import subprocess

import pytest

from conftest import ROOT, run
from localcluster import workloads

BINDINGS = workloads.listed(*workloads.binding("ambassador", "tester", "telepresence-user"))


@pytest.fixture
def user(connected, cluster):
    """A kubeconfig of a certificate user who has the role telepresence-user and nothing else."""
    connected.stop()
    cluster.apply(BINDINGS)
    cluster.let("tester", ("create", "sessions.telepresence.io", "ambassador"))
    path = run([ROOT / "scripts/cluster", "kubeconfig", "--cluster", cluster.name, "--user", "tester"]).stdout.strip()
    yield path
    connected.stop()
    cluster.kubectl("-n", "ambassador", "delete", "rolebinding", "tester")


PORT_FORWARD = workloads.listed(*workloads.binding("ambassador", "forwarder", rules=workloads.FORWARD_RULES))


def test_port_forward_is_the_fallback(connected, cluster):
    """A user whose services/proxy is refused comes by pods/portforward, and status says so."""
    assert connected.status()["traffic_manager"]["carrier"] == "services/proxy"
    connected.stop()
    cluster.apply(PORT_FORWARD)
    cluster.let("forwarder", ("create", "pods/portforward", "ambassador"))
    try:
        argv = [ROOT / "scripts/cluster", "kubeconfig", "--cluster", cluster.name, "--user", "forwarder"]
        connected.telepresence("connect", "--kubeconfig", run(argv).stdout.strip())
        status = connected.status()["traffic_manager"]
        assert status["carrier"] == "port-forward"
        refused = next(one for one in status["carriers"] if one["name"] == "services/proxy")
        assert refused["state"] == "failed" and 'cannot get resource "services/proxy"' in refused["reason"]
        assert "Not used          : services/proxy (failed: " in connected.telepresence("status").stdout
        assert connected.curl("http://web.demo/").startswith("hello from pod web-")
    finally:
        connected.stop()
        cluster.kubectl_input(["delete", "-f", "-"], PORT_FORWARD)


def as_user(cluster, *args):
    return run([ROOT / "scripts/cluster", "kubectl", "--cluster", cluster.name, "--as", "tester", *args], check=False)


def test_limited_user_connects(user, connected):
    connected.telepresence("connect", "--kubeconfig", user)
    assert connected.curl("http://web.demo/").startswith("hello from pod web-")


def test_limited_user_can_do_nothing_else(user, cluster):
    for verb, what in (("list", "pods"), ("get", "secrets"), ("create", "pods/portforward"), ("list", "nodes")):
        done = as_user(cluster, "auth", "can-i", verb, what, "--all-namespaces")
        assert done.stdout.strip() == "no", f"{verb} {what}"


def session(owner, name="theirs"):
    return json.dumps(
        {
            "apiVersion": "telepresence.io/v1alpha1",
            "kind": "Session",
            "metadata": {"name": name, "namespace": "ambassador"},
            "spec": {"owner": owner, "publicKey": "A" * 43 + "=", "ttlSeconds": 60},
        }
    )


def create_as(cluster, user, text):
    argv = [ROOT / "scripts/cluster", "kubectl", "--cluster", cluster.name, "--as", user, "create", "-f", "-"]
    return subprocess.run([str(a) for a in argv], input=text, capture_output=True, text=True, timeout=60)


def test_session_in_another_name_is_refused(user, cluster):
    done = create_as(cluster, "tester", session("somebody-else"))
    assert done.returncode != 0
    assert "owner" in done.stderr


def test_session_of_another_cannot_be_deleted(user, cluster):
    cluster.apply(session(admin_name(cluster)))
    try:
        done = as_user(cluster, "-n", "ambassador", "delete", "sessions.telepresence.io", "theirs")
        assert done.returncode != 0
    finally:
        cluster.kubectl("-n", "ambassador", "delete", "sessions.telepresence.io", "theirs", "--ignore-not-found")


def admin_name(cluster):
    review = json.loads(cluster.kubectl("auth", "whoami", "-o", "json"))
    return review["status"]["userInfo"]["username"]


def test_manager_runs_restricted(online, cluster):
    namespace = cluster.get("namespace", "ambassador")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = cluster.get("pods", "-n", "ambassador", "-l", "app=traffic-manager")["items"][0]
    context = pod["spec"]["containers"][0]["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"]["drop"] == ["ALL"] and "add" not in context["capabilities"]
    secrets = run(
        [ROOT / "scripts/cluster", "kubectl", "--cluster", cluster.name, "auth", "can-i", "get", "secrets"]
        + ["--all-namespaces", "--as", "system:serviceaccount:ambassador:traffic-manager"],
        check=False,
    )
    assert secrets.stdout.strip() == "no"


OPENINGS = (
    b"",
    b"TPT/1\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\0" * 1000,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


def test_stranger_gets_no_byte_of_the_tunnel(online, cluster):
    """A pod that connects to the manager's port without a proof, whatever it says first."""
    pod = cluster.pods("demo", "web")[0]["metadata"]["name"]

    def knock(opening):
        octal = "".join(f"\\{byte:03o}" for byte in opening)
        script = f"(printf '{octal}'; sleep 3) | timeout 4 nc traffic-manager.ambassador 8081 | od -An -c | head -20"
        return cluster.kubectl("-n", "demo", "exec", pod, "--", "sh", "-c", script, timeout=60)

    with concurrent.futures.ThreadPoolExecutor(len(OPENINGS)) as pool:
        for out in pool.map(knock, OPENINGS):
            assert "ACCEPT" not in out
            # At most an HTTP error or a nonce; never an HTTP/2 SETTINGS frame of an opened tunnel.
            assert len(out) < 1600
    assert online.curl("http://web.demo/")

# SPDX-License-Identifier: Apache-2.0
"""--local-only: names of a namespace as single labels, and nothing in the cluster."""

import json
import os
import signal

import pytest

from conftest import wait_for

EXIT_USAGE, EXIT_NOT_FOUND, EXIT_CONFLICT = 2, 5, 6


@pytest.fixture(scope="module")
def elsewhere(joined):
    """The laptop connected to another namespace than the stage."""
    joined.telepresence("quit")
    joined.laptop.connect("--namespace", "demo")
    return joined


@pytest.fixture
def apart(elsewhere):
    """As elsewhere; the test brings neither an object nor an agent into the cluster."""

    def agents():
        pods = elsewhere.cluster.get("pods", "-n", "stage")["items"]
        return {pod["metadata"]["name"]: len(pod["spec"].get("ephemeralContainers", [])) for pod in pods}

    before = agents()
    yield elsewhere
    elsewhere.await_objects()
    assert agents() == before


def addresses(joined, name):
    done = joined.laptop.run("getent", "ahostsv4", name, check=False)
    return {line.split()[0] for line in done.stdout.splitlines()}


def local(joined, name, *args):
    return joined.telepresence("intercept", name, "--namespace", "stage", "--local-only", *args)


def test_names_are_found_for_as_long_as_it_is_there(apart):
    pod = apart.pods("db")[0]["status"]["podIP"]
    assert addresses(apart, "db") == set()
    assert local(apart, "names").stdout == (
        "local-only intercept\n"
        "    Intercept name: names\n"
        "    State         : ACTIVE\n"
        "    Namespace     : stage\n"
        "    Intercepting  : no connections\n"
    )
    wait_for("db", lambda: addresses(apart, "db") == {pod})
    wait_for("a pod of it", lambda: addresses(apart, "db-0.db") == {pod})
    # The connection's own namespace comes first, and names with more labels are as before.
    assert addresses(apart, "web") == {apart.cluster.cluster_ip("demo", "web")}
    assert addresses(apart, "db.stage") == {pod}
    assert apart.laptop.curl("http://db:8080/").startswith("pod db-0")
    trace = json.loads(apart.telepresence("dns", "trace", "db", "--output", "json").stdout)
    assert (trace["asked_as"], trace["then_as"]) == ("db.demo.svc.cluster.local", ["db.stage.svc.cluster.local"])
    apart.telepresence("leave", "names")
    wait_for("no db", lambda: addresses(apart, "db") == addresses(apart, "db-0.db") == set())


def test_list_and_status_show_it(apart):
    local(apart, "names")
    owner = apart.intercepts()[0]["client"]
    summary = f"  Intercepts:    1 total\n    names: {owner}\n      local-only, namespace stage\n"
    assert summary in apart.telepresence("status").stdout
    assert apart.intercepts()[0]["local_only"] is True
    for args in ([], ["--namespace", "stage"], ["--intercepts"]):
        last = apart.telepresence("list", *args).stdout.splitlines()[-1]
        assert [part.strip() for part in last.split(":")] == ["names", "local-only intercept"]
    for args in (["--agents"], ["--namespace", "default"]):
        assert "names" not in apart.telepresence("list", *args).stdout
    rows = json.loads(apart.telepresence("list", "-i", "--output", "json").stdout)["stdout"]
    assert rows == [{"name": "names", "namespace": "stage", "state": "local-only"}]
    code, said = apart.refused("intercept", "names", "--local-only")
    assert code == EXIT_CONFLICT and 'Intercept with name "names" already exists' in said
    apart.telepresence("leave", "names", check=False)


def test_it_survives_a_lost_session(apart):
    local(apart, "names")
    pod = apart.pods("db")[0]["status"]["podIP"]
    wait_for("db", lambda: addresses(apart, "db") == {pod})
    session = apart.laptop.status()["user_daemon"]["session"]
    os.kill(apart.cluster.manager_pid(), signal.SIGKILL)
    apart.cluster.kubectl("-n", "ambassador", "delete", "sessions.telepresence.io", session)

    def is_back():
        daemon = apart.laptop.status()["user_daemon"]
        return daemon["status"] == "Connected" and daemon["session"] != session

    wait_for("another session", is_back)
    assert [one["name"] for one in apart.intercepts()] == ["names"]
    wait_for("db", lambda: addresses(apart, "db") == addresses(apart, "db-0.db") == {pod})
    apart.telepresence("leave", "names")


def test_a_command_lives_with_it(apart):
    script = "for i in $(seq 60); do curl -sS --max-time 9 http://db:8080/ && break; sleep 0.1; done; echo $BASE."
    done = local(apart, "names", "--", "sh", "-c", script)
    assert "pod db-0" in done.stdout and done.stdout.endswith("\n.\n"), "no environment of any pod"
    assert apart.intercepts() == []


def test_what_it_cannot_have_is_refused(apart):
    for args, what in (
        (["--workload", "web"], "a workload"),
        (["--port", "8080"], "a port"),
        (["--service", "web"], "a service"),
        (["--to-pod", "90"], "a pod's port"),
        (["--env-file", "/tmp/env"], "an environment"),
    ):
        code, said = apart.refused("intercept", "names", "--local-only", "--namespace", "stage", *args)
        assert code == EXIT_USAGE and f"a local-only intercept cannot have {what}" in said
    code, said = apart.refused("intercept", "names", "--local-only", "--namespace", "nowhere")
    assert code == EXIT_NOT_FOUND and "there is no namespace nowhere" in said


def test_an_intercept_brings_the_names_of_its_namespace_too(elsewhere):
    """What runs here in the place of a pod finds that pod's neighbours by the names that the pod uses."""
    assert addresses(elsewhere, "db") == set()
    with elsewhere.intercept("web", "--namespace", "stage", "--port", "8080:http"):
        wait_for("db", lambda: addresses(elsewhere, "db") != set())
    wait_for("no db", lambda: addresses(elsewhere, "db") == set())

# SPDX-License-Identifier: Apache-2.0
"""The commands around an intercept: names, texts, refusals before anything changes, environment, and what is left."""

import contextlib
import json
import os
import re
import signal
import subprocess

import pytest

from conftest import ROOT, run, wait_for
from localcluster import laptop as machines
from managers import installed
from nets import Net, answer, serve, until
from timing import best_of, took

EXIT_USAGE, EXIT_NOT_FOUND, EXIT_CONFLICT, EXIT_PERMISSION, EXIT_UNSUPPORTED = 2, 5, 6, 8, 9


@pytest.fixture
def untouched(joined):
    """Neither an object nor an agent is made by what the test does."""

    def agents():
        return {
            pod["metadata"]["name"]: len(pod["spec"].get("ephemeralContainers", []))
            for pod in joined.cluster.get("pods", "-n", "stage")["items"]
        }

    before = agents()
    yield joined
    joined.await_objects()
    assert agents() == before


def test_the_output_names_what_is_intercepted(joined):
    done = joined.telepresence("intercept", "web", "--port", "8080:http", "--preview-url=false", "--mechanism=tcp")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["Using deployment web", "intercepted"]
    assert [line.partition(":")[::2] for line in lines[2:]] == [
        ("    Intercept name         ", " web"),
        ("    State                  ", " ACTIVE"),
        ("    Workload kind          ", " Deployment"),
        ("    Destination            ", " 127.0.0.1:8080"),
        ("    Service Port Identifier", " http"),
        ("    Intercepting           ", " all TCP connections"),
    ]
    owner = joined.intercepts()[0]["client"]
    assert f"  Intercepts:    1 total\n    web: {owner}\n" in joined.telepresence("status").stdout
    listed = joined.telepresence("list", "--intercepts").stdout
    assert listed.startswith("web: intercepted\n   Intercept name         : web\n")
    done = joined.telepresence("leave", "web")
    assert (done.stdout, done.stderr) == ("", "")
    assert "Intercepts:    0 total" in joined.telepresence("status").stdout


def test_kubectl_shows_who_intercepts_what(joined):
    with joined.intercept("web", "--port", "8080:http"):
        header, line = joined.cluster.kubectl("get", "intercepts", "-A").splitlines()
        assert header.split() == ["NAMESPACE", "NAME", "OWNER", "WORKLOAD", "PORT", "STATE", "SINCE"]
        words = line.split()
        assert (words[0], words[3], words[4], words[5]) == ("stage", "web", "8080", "ACTIVE")


def test_all_states_of_list(joined):
    with joined.intercept("web", "--port", "8080:http"):
        listed = joined.telepresence("list", "--only-interceptable=false").stdout.splitlines()
    heads = {line.split(":")[0].strip(): line.partition(": ")[2] for line in listed if not line.startswith("   ")}
    assert heads["web"] == "intercepted"
    assert heads["hostnet"].startswith("not interceptable (traffic-agent not installed): ")
    assert "node's network" in heads["hostnet"]
    assert heads["ds"].startswith("ready to intercept (traffic-agent ")
    assert "hostnet" not in joined.telepresence("list").stdout
    # The kubelet says a moment later that an agent runs.
    line = re.compile(r"^web *: ready to intercept \(traffic-agent already installed\)$", re.MULTILINE)
    wait_for("the agent in the list", lambda: line.search(joined.telepresence("list", "--agents").stdout))


def test_names_follow_the_seeds_rules(joined):
    with joined.intercept("db", "--namespace", "stage") as found:
        assert (found["name"], found["workload"]) == ("db-stage", "db")
    with joined.intercept("mine", "--namespace", "stage", "--deployment", "web", "--port", "8080:http") as found:
        assert (found["name"], found["workload"]) == ("mine", "web")
        joined.telepresence("detach", "mine")
        assert joined.intercepts() == []


def test_detailed_output_is_the_bare_object_and_json_wraps_it(joined):
    with joined.intercept("web", "--port", "8080:http") as found:
        assert found["id"].endswith(":web") and found["environment"]["BASE"] == "base"
        assert (found["disposition"], found["target_host"], found["target_port"]) == ("ACTIVE", "127.0.0.1", 8080)
        assert len(found["pods"]) == 3 and {pod["state"] for pod in found["pods"]} == {"ACTIVE"}
    document = json.loads(joined.telepresence("intercept", "web", "--port", "8080:http", "--output", "json").stdout)
    joined.telepresence("leave", "web")
    assert document["cmd"] == "intercept" and document["stdout"]["name"] == "web"
    assert "environment" not in document["stdout"]


REFUSALS = [
    (["nothing"], EXIT_NOT_FOUND, "No interceptable deployment, replicaset, or statefulset matching nothing found"),
    (["web", "--port", "8080:nope"], EXIT_NOT_FOUND, "has no interceptable port matching nope"),
    (["web", "--port", "8080"], EXIT_USAGE, "has multiple interceptable ports"),
    (["web", "--service", "nope"], EXIT_NOT_FOUND, "nope"),
    (["web", "--port", "0"], EXIT_USAGE, "--port 0"),
    (["web", "--preview-url"], EXIT_UNSUPPORTED, "not there yet"),
    (["web", "--mechanism", "http"], EXIT_UNSUPPORTED, "not there yet"),
    (["web", "--http-match", "auto"], EXIT_UNSUPPORTED, "not there yet"),
    (["web", "--ingress-host", "x"], EXIT_UNSUPPORTED, "preview URLs are not there yet"),
    (["web", "--mount", "true"], EXIT_UNSUPPORTED, "use --mount=false"),
    (["web", "--docker-run"], EXIT_UNSUPPORTED, "--docker-run is not there yet: write --env-file"),
    (["web", "--replace"], EXIT_UNSUPPORTED, "not there yet"),
    (["web", "--port", "8080:http", "--env-file", "/nowhere/env"], EXIT_NOT_FOUND, "/nowhere/env: No such file"),
    (["web", "--port", "8080:http", "--env-json", "/tmp"], EXIT_USAGE, "/tmp is a folder"),
    (["web", "--port", "8080:http", "--env-file", "/sys/env"], EXIT_PERMISSION, "/sys/env: Permission denied"),
    (["web", "--port", "8080:http", "--env-file", "/dev/full"], None, "/dev/full: No space left"),
    (["web", "--port", "8080:http", "--env-file", "-", "--env-json", "-"], EXIT_USAGE, "both write to"),
    (["web", "--port", "8080:http", "--env-file", "same", "--env-json", "same"], EXIT_USAGE, "both write to"),
    (["web", "--port", "8080:http", "--namespace", "nowhere"], EXIT_NOT_FOUND, "there is no namespace nowhere"),
    (["web", "--env-syntax", "fish"], EXIT_USAGE, "invalid env-syntax"),
    (["coredns", "--namespace", "kube-system", "--port", "5300:53"], None, "kube-system"),
]


def test_refused_before_anything_changes(untouched):
    address = untouched.service()["spec"]["clusterIP"]
    in_cluster = (["web", "--port", "8080:http", "--address", address], EXIT_USAGE, f"{address} is in the cluster")
    for args, status, text in [*REFUSALS, in_cluster]:
        code, said = untouched.refused("intercept", *args)
        assert text in said and "telepresence intercept: error: " in said
        assert status in (None, code), said


def test_host_network_is_refused_and_says_why(untouched):
    def attempt():
        seconds, (_, said) = took(untouched.refused, "intercept", "hostnet", "--port", "8080:18081")
        assert "host" in said and "network" in said
        return seconds

    best_of(attempt, 5)


def test_what_this_laptop_intercepts_already_is_refused(joined):
    with joined.intercept("web", "--port", "8080:http"):
        code, said = joined.refused("intercept", "web", "--port", "8081:http")
        assert code == EXIT_CONFLICT and 'Intercept with name "web" already exists' in said
        code, said = joined.refused("intercept", "db", "--port", "8080")
        assert code == EXIT_CONFLICT and "Port 127.0.0.1:8080 is already in use by intercept web" in said
        assert len(joined.objects()) == 1


def test_a_wait_message_is_printed_when_it_is_active(joined):
    done = joined.telepresence("intercept", "web", "--port", "8080:http", "--mount=false", "--wait-message", "go on")
    joined.telepresence("leave", "web")
    assert done.stdout.endswith(": all TCP connections\ngo on\n")


def test_leave_of_an_unknown_name_fails(joined):
    code, said = joined.refused("leave", "nobody")
    assert code == EXIT_NOT_FOUND and 'Intercept named "nobody" not found' in said
    # The others are left all the same.
    with joined.intercept("db", "--port", "8080"):
        code, said = joined.refused("leave", "nobody", "db", "nowhere")
        assert code == EXIT_NOT_FOUND and 'Intercept named "nobody" not found, nor "nowhere"' in said
        assert joined.intercepts() == []


def test_the_environment_is_what_the_container_has(joined, tmp_path):
    """Secret, ConfigMap, field, resource and $(VAR) chains come as the kubelet resolved them."""
    pod = joined.pods()[0]
    with open(f"/proc/{joined.pid(pod)}/environ", encoding="utf-8") as stream:
        real = dict(entry.split("=", 1) for entry in stream.read().split("\0") if entry)
    done = joined.telepresence(
        "intercept", "web", "--port", "8080:http", "--env-json", tmp_path / "env.json",
        "--env-file", tmp_path / "env.sh", "--env-syntax", "sh:export",
    )  # fmt: skip
    joined.telepresence("leave", "web")
    assert "Warning" not in done.stderr
    remote = json.loads((tmp_path / "env.json").read_text())
    names = ["BASE", "PASSWORD", "PASSWORD_COPY", "CHAIN", "CHAINED", "FROM_MAP", "MULTI", "CPU"]
    assert {name: remote.get(name) for name in names} == {name: real.get(name) for name in names}
    assert remote["CHAINED"] == "base-later-$(NOT_THERE)-$(BASE)" and remote["MULTI"] == "one\ntwo"
    assert not {"HOME", "PATH", "HOSTNAME"} & set(remote)
    assert remote["TELEPRESENCE_CONTAINER"] == "web" and remote["TELEPRESENCE_INTERCEPT_ID"].endswith(":web")
    # Standard output has it alone.
    done = joined.telepresence("intercept", "web", "--port", "8080:http", "--env-json", "-")
    joined.telepresence("leave", "web")
    assert json.loads(done.stdout) == remote and "Using deployment web\nintercepted\n" in done.stderr
    script = f'. {tmp_path}/env.sh && printf %s "$PASSWORD"'
    assert run(["env", "-i", "sh", "-c", script]).stdout == real["PASSWORD"]
    assert (tmp_path / "env.json").stat().st_mode & 0o777 == 0o600


def test_a_command_lives_with_its_intercept(joined):
    script = 'echo "$BASE in $TELEPRESENCE_CONTAINER"; exit 3'
    done = joined.telepresence("intercept", "web", "--port", "8080:http", "--", "sh", "-c", script, check=False)
    assert done.stdout.endswith("base in web\n")
    assert done.returncode == 1 and "sh: exited with 3" in done.stderr
    assert joined.intercepts() == [] and joined.objects() == []


@contextlib.contextmanager
def command(joined, *argv):
    process = joined.laptop.popen(
        "telepresence", "intercept", "web", "--port", "8080:http", "--", *argv,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        for line in process.stdout:
            if line == "ready\n":
                break
        yield process
    finally:
        process.kill()
        process.wait()


LOOP = "echo ready; while :; do sleep 0.1; done"


def test_a_signal_reaches_the_command_and_its_end_ends_the_intercept(joined):
    with command(joined, "sh", "-c", f"trap 'echo caught; exit 0' TERM; {LOOP}") as process:
        assert len(joined.intercepts()) == 1
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60)[0] == "caught\n" and process.returncode == 0
    assert joined.intercepts() == []


def test_leave_ends_the_command(joined):
    with command(joined, "sh", "-c", LOOP) as process:
        joined.telepresence("leave", "web")
        assert "The intercept web has ended" in process.communicate(timeout=60)[0]
        assert process.returncode == 1


def test_a_killed_command_line_takes_intercept_and_command_along(joined):
    with command(joined, "sh", "-c", "echo $$; " + LOOP) as process:
        process.kill()
        process.wait()
        assert until(lambda: joined.intercepts() == []) is True


def test_a_command_line_that_dies_before_its_command_starts_leaves_nothing(joined):
    """It is killed where it writes the environment, into a pipe that nobody empties."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    process = joined.laptop.popen(
        "telepresence", "intercept", "web", "--port", "8080:http", "--env-file", "-", "--", "true",
        stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for("it is active", lambda: [one["disposition"] for one in joined.intercepts()] == ["ACTIVE"])
        process.terminate()
        assert process.wait(timeout=60) == -signal.SIGTERM
        assert until(lambda: joined.intercepts() == []) is True
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)


@pytest.fixture
def second(joined):
    """Another person at another laptop, as the cluster's administrator too; runs telepresence there."""
    other = machines.Laptop(joined.plan, "laptop2")
    other.create()
    client = ROOT / "build/release/src/client"
    env = {
        **os.environ,
        "PATH": f"{client}:{client}/rootd:{os.environ['PATH']}",
        "KUBECONFIG": str(joined.plan.admin_kubeconfig),
        "XDG_CACHE_HOME": str(joined.plan.dir / "laptop2"),
    }

    def telepresence(*args, check=True):
        return run(other.exec_argv(["telepresence", *args]), check=check, env=env)

    try:
        telepresence("connect", "--namespace", "stage")
        telepresence.net = Net(f"/run/netns/{other.netns}")
        yield telepresence
    finally:
        telepresence("quit", "-s", check=False)
        other.remove()


def test_a_second_user_is_refused_until_the_first_has_left(joined, second):
    with joined.intercept("web", "--port", "8080:http"):
        owner = joined.intercepts()[0]
        done = second("intercept", "web", "--port", "8080:http", check=False)
        assert done.returncode == EXIT_CONFLICT, done.stderr
        assert "Conflicts with" in done.stderr
        assert owner["client"].split("@")[0] in done.stderr
        assert "leave web" in done.stderr, "how to ask for it"
        joined.await_objects(1)
        # Another port of the same workload is free, and `list` shows both people's.
        second("intercept", "web", "--port", "9090:side")
        assert second("list", "-i").stdout.count("Intercept name") == 2
        second("leave", "web")
    second("intercept", "web", "--port", "8080:http")
    with serve(second.net, "127.0.0.1", 8080, answer("second laptop")):
        joined.all_pods_say("second laptop")
    second("leave", "web")


def test_quit_ends_the_intercepts(joined):
    before = joined.rulesets()
    joined.telepresence("intercept", "web", "--port", "8080:http")
    joined.telepresence("quit")
    assert joined.objects() == []
    assert until(lambda: joined.rulesets() == before)
    joined.laptop.connect("--namespace", "stage")
    assert joined.intercepts() == []


def agents_of(joined, app="web"):
    """Names of pods in which an agent runs."""
    return {
        pod["metadata"]["name"]
        for pod in joined.pods(app)
        for one in pod["status"].get("ephemeralContainerStatuses", [])
        if "running" in one["state"]
    }


def test_uninstall_ends_agents_and_a_later_intercept_brings_fresh_ones(joined):
    with joined.intercept("web", "--port", "8080:http"), joined.intercept("db", "--port", "8081:8080"):
        pass
    # The kubelet says so a moment after they have.
    wait_for("they run", lambda: len(agents_of(joined)) == 3 and len(agents_of(joined, "db")) == 1)
    joined.telepresence("uninstall", "--agent", "web")
    wait_for("no agent in web", lambda: not agents_of(joined))
    assert len(agents_of(joined, "db")) == 1
    joined.telepresence("uninstall", "--all-agents")
    wait_for("no agent in db", lambda: not agents_of(joined, "db"))
    with joined.local(), joined.intercept("web", "--port", "8080:http"):
        joined.all_pods_say("laptop")


def test_a_manager_that_has_just_started_ends_agents_that_it_has_not_met(joined):
    """It knows only the pods of intercepts; the others are found by their pods. What is intercepted keeps its agent."""
    with joined.intercept("web", "--port", "8080:http"):
        pass
    with joined.local(8081), joined.intercept("db", "--port", "8081:8080"):
        wait_for("they run", lambda: len(agents_of(joined)) == 3 and len(agents_of(joined, "db")) == 1)
        os.kill(joined.cluster.manager_pid(), signal.SIGKILL)

        def uninstall():
            done = joined.telepresence("uninstall", "--all-agents", check=False)
            return done.returncode == 0 and done

        assert wait_for("the next manager", uninstall).stdout == "Traffic-agents that end: 3\n"
        wait_for("no agent in web", lambda: not agents_of(joined))
        joined.all_pods_say("laptop", "db")
        assert len(agents_of(joined, "db")) == 1
    # It is idle now, and goes by its workload's name.
    assert joined.telepresence("uninstall", "--agent", "db").stdout == "Traffic-agents that end: 1\n"
    wait_for("no agent in db", lambda: not agents_of(joined, "db"))


def test_uninstall_of_what_is_not_there_says_so(untouched):
    code, said = untouched.refused("uninstall", "--agent", "web", "nothing")
    assert code == EXIT_NOT_FOUND and "there is no workload named nothing" in said
    code, said = untouched.refused("list", "--namespace", "nowhere")
    assert code == EXIT_NOT_FOUND and "there is no namespace nowhere" in said


def test_uninstall_needs_exactly_one_choice(untouched):
    for args in ([], ["--everything", "--all-agents"], ["--agent"], ["--all-agents", "web"]):
        code, _ = untouched.refused("uninstall", *args)
        assert code == EXIT_USAGE, args


def test_uninstall_everything_leaves_nothing(joined):
    """Last in this file: even an intercept that is active goes, and with it all that telepresence has put there."""
    before = joined.rulesets("db")
    joined.telepresence("intercept", "db", "--port", "8080")
    joined.telepresence("uninstall", "--everything")
    assert joined.laptop.daemons() == {}
    assert joined.rulesets("db") == before
    assert installed(joined.cluster) == []
    wait_for("no agent", lambda: not agents_of(joined, "db") and not agents_of(joined))
    joined.laptop.connect("--namespace", "stage")

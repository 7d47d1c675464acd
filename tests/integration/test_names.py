# SPDX-License-Identifier: Apache-2.0
"""Names of the cluster and of everybody else, asked by every kind of resolver through a connected laptop."""

import contextlib
import itertools
import json
import os
import pathlib
import subprocess

import pytest

from conftest import run, wait_for
from localcluster import plan
from timing import best_of

HERE = pathlib.Path(__file__).parent
OUTSIDE = ["outside.names.svc.cluster.local", "CNAME"]
PUBLIC = ["www.example.com", "example.org", "static.example.net"]
# Of each resolver; what being connected may add to the slowest but one in a hundred.
LOOKUPS, ADDED_MS = 1000, 5
# Endpoints with host names are what a StatefulSet's pods have.
MANIFEST = """
{"apiVersion":"v1","kind":"List","items":[
 {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"names"}},
 {"apiVersion":"v1","kind":"Service","metadata":{"name":"api","namespace":"names"},
  "spec":{"ports":[{"name":"http","port":80}]}},
 {"apiVersion":"v1","kind":"Service","metadata":{"name":"db","namespace":"names"},
  "spec":{"clusterIP":"None","ports":[{"name":"sql","port":5432}]}},
 {"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice",
  "metadata":{"name":"db-1","namespace":"names","labels":{"kubernetes.io/service-name":"db"}},
  "addressType":"IPv4","ports":[{"name":"sql","port":5432}],
  "endpoints":[{"addresses":["10.99.0.1"],"hostname":"db-0"},{"addresses":["10.99.0.2"],"hostname":"db-1"}]},
 {"apiVersion":"v1","kind":"Service","metadata":{"name":"outside","namespace":"names"},
  "spec":{"type":"ExternalName","externalName":"www.example.com"}}]}
"""


@pytest.fixture(scope="module")
def names(cluster):
    cluster.apply(MANIFEST)
    server = cluster.cluster_ip("kube-system", "kube-dns")
    node = ["ip", "netns", "exec", plan.get(cluster.name).nodes[0].netns]
    # The nameserver of the cluster learns of them by a watch of its own.
    for question in (["-x", cluster.cluster_ip("names", "api")], ["db-1.db.names.svc.cluster.local"], OUTSIDE):
        argv = [*node, "dig", "+short", f"@{server}", *question]
        # Controllers that an API server was away from wait for up to a minute before they make the pods.
        wait_for(f"{question} in the cluster", lambda argv=argv: run(argv, check=False).stdout.strip(), 120)
    yield "names"
    cluster.kubectl("delete", "namespace", "names", "--wait=false")


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """Programs that look names up, one for each resolver."""
    folder = tmp_path_factory.mktemp("clients")
    go = next(path for path in ("/usr/local/go/bin/go", "/usr/bin/go") if pathlib.Path(path).exists())
    source = str(HERE / "lookups.c")
    builds = [
        ["gcc", "-O2", "-D_GNU_SOURCE", "-o", folder / "glibc", source],
        ["musl-gcc", "-O2", "-D_GNU_SOURCE", "-static", "-o", folder / "musl", source],
        [go, "build", "-tags", "netgo", "-o", folder / "go", HERE / "lookups.go"],
    ]
    for argv in builds:
        subprocess.run([str(arg) for arg in argv], check=True, timeout=300)
    python = ["/usr/bin/python3", str(HERE / "lookups.py")]
    return {name: [str(folder / name)] for name in ("glibc", "musl", "go")} | {"python": python}


def look_up(laptop, client, count, names):
    lines = laptop.run(*client, str(count), *names, timeout=300).stdout.splitlines()
    found = {words[0]: words[1:] for words in (line.split() for line in lines[: len(names)])}
    return found, [int(us) / 1000 for us in lines[len(names)].split()] if count else []


@contextlib.contextmanager
def first_in_line(*pids):
    """These have a processor as soon as they want one: what is measured is theirs, not that of what else runs here."""
    for pid in pids:
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def nameserver_pids(cluster):
    """Of the laptop's own nameserver."""
    pids = run(["ip", "netns", "pids", plan.get(cluster.name).netns("wan")]).stdout.split()
    return [int(pid) for pid in pids if pathlib.Path(f"/proc/{pid}/comm").read_text() == "dnsmasq\n"]


def public_names(laptop, client):
    """What is found, and the 99th percentile in ms."""
    found, times = look_up(laptop, ["chrt", "--rr", "1", *client], LOOKUPS // len(PUBLIC) + 1, PUBLIC)
    return found, percentile(times, 0.99)


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def short(laptop, *args):
    return laptop.run("dig", "+short", "+tries=1", "+time=20", *args).stdout.split()


def with_dns(cluster, folder, dns):
    """The cluster's kubeconfig with settings of ours, as a file."""
    config = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))
    config["clusters"][0]["cluster"]["extensions"] = [{"name": "telepresence.io", "extension": {"dns": dns}}]
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


def test_names_of_every_kind(laptop, cluster, names):
    laptop.connect("--namespace", names)
    ip = cluster.cluster_ip(names, "api")
    for name in ("api", "api.names", "api.names.svc", "api.names.svc.cluster.local", "API.Names.SVC"):
        for transport in ("+notcp", "+tcp", "+noedns", "+bufsize=512"):
            assert short(laptop, transport, name) == [ip], (name, transport)
    for name in ("db", "db.names", "db.names.svc", "db.names.svc.cluster.local"):
        assert sorted(short(laptop, name)) == ["10.99.0.1", "10.99.0.2"], name
    for suffix in ("names", "names.svc", "names.svc.cluster.local"):
        assert short(laptop, f"db-0.db.{suffix}") == ["10.99.0.1"]
    assert short(laptop, "db-0.db") == ["10.99.0.1"] and short(laptop, "absent.db") == []
    assert short(laptop, "outside.names")[:1] == ["www.example.com."]
    assert short(laptop, "outside.names", "CNAME") == ["www.example.com."]
    assert "api.names.svc.cluster.local." in short(laptop, "-x", ip)
    srv = short(laptop, "_sql._tcp.db.names.svc", "SRV")
    assert "5432" in srv and "db-0.db.names.svc.cluster.local." in srv
    for name in ("_http._tcp.api", "_http._tcp.api.names"):
        assert short(laptop, name, "SRV")[2:] == ["80", "api.names.svc.cluster.local."], name
    assert short(laptop, "cluster.local", "NS")
    for kind in ("AAAA", "MX", "TXT"):
        assert "status: NOERROR" in laptop.run("dig", "+noall", "+comments", "api.names.svc", kind).stdout
    pod = cluster.pods("demo", "web")[0]["status"]["podIP"].replace(".", "-")
    trace = json.loads(laptop.telepresence("dns", "trace", f"{pod}.demo.pod", "--output", "json").stdout)
    assert trace["rule"] == "pod" and trace["asked_as"] == f"{pod}.demo.pod.cluster.local"
    assert trace["rcode"] in ("NOERROR", "NXDOMAIN")  # CoreDNS may have pod names off


def headless(laptop, name):
    """Whether names below it are looked up in the connection's namespace."""
    return json.loads(laptop.telepresence("dns", "trace", f"x.{name}", "--output", "json").stdout)["rule"] == "headless"


def test_pods_of_a_headless_service(laptop, cluster, names):
    """By two labels, as in a pod of the namespace; other names of two labels are asked of nobody else than before."""
    laptop.connect("--namespace", names)
    wait_for("the Service to be told", lambda: headless(laptop, "db"))
    trace = json.loads(laptop.telepresence("dns", "trace", "db-0.db", "--output", "json").stdout)
    assert trace["asked_as"] == "db-0.db.names.svc.cluster.local" and trace["then_as"] == []
    before = laptop.status()["root_daemon"]["dns"]["cluster"]
    for name in ("example.com", "db-0.other", "db-0.api", "a.db-0.db"):
        short(laptop, name)
    assert laptop.status()["root_daemon"]["dns"]["cluster"] == before
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "late", "namespace": names},
                              "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}))
    wait_for("the new one", lambda: headless(laptop, "late"))
    cluster.delete("service", "-n", names, "late")
    wait_for("its end", lambda: not headless(laptop, "late"))
    assert headless(laptop, "db")


def test_every_resolver_agrees(laptop, cluster, names, clients):
    """Before and after connect: the same answers to everybody, and public names at the same speed."""
    with first_in_line(*nameserver_pids(cluster)):
        before = {name: public_names(laptop, client) for name, client in clients.items()}
    laptop.connect("--namespace", names)
    ip = cluster.cluster_ip(names, "api")
    wanted = {name: [ip] for name in ("api", "api.names", "api.names.svc", "api.names.svc.cluster.local")}
    wanted |= {"db.names": ["10.99.0.1", "10.99.0.2"], "db-1.db.names": ["10.99.0.2"], "absent.names.svc": []}
    wanted |= {"db-1.db": ["10.99.0.2"]}
    for name, client in clients.items():
        assert look_up(laptop, client, 0, wanted)[0] == wanted, name

        def attempt(name=name, client=client):
            """How much more than before it took."""
            found, p99 = public_names(laptop, client)
            assert found == before[name][0], name
            print(f"{name}: public name, p99 {before[name][1]:.2f} ms before, {p99:.2f} ms connected")
            return max(0, p99 - before[name][1]) / 1000

        with first_in_line(laptop.daemons()["userd"], *nameserver_pids(cluster)):
            best_of(attempt, ADDED_MS / 1000)


def test_settings_of_the_kubeconfig(laptop, cluster, names, tmp_path):
    ip = cluster.cluster_ip(names, "api")
    dns = {
        "include-suffixes": [".in.example.org"],
        "exclude-suffixes": [".io", ".example.org"],
        "excludes": ["api.names"],
        "mappings": [{"name": "api.corp", "aliasFor": "api.names.svc"}, {"name": "old.corp", "aliasFor": "192.0.2.9"}],
        "lookup-timeout": "1500ms",
    }
    laptop.connect("--kubeconfig", with_dns(cluster, tmp_path, dns), "--namespace", names)
    assert short(laptop, "api.names") == [] and short(laptop, "api.names.svc") == [ip]
    assert short(laptop, "api.corp") == ["api.names.svc.", ip] and short(laptop, "old.corp") == ["192.0.2.9"]
    told = laptop.status()["root_daemon"]["dns"]
    assert told["include_suffixes"] == [".in.example.org"] and told["exclude_suffixes"] == [".io", ".example.org"]
    assert told["excludes"] == ["api.names"] and told["mappings"] == dns["mappings"]
    assert told["lookup_timeout"] == "1500ms" and told["loops"] == 0
    text = laptop.telepresence("status").stdout
    for line in ("Exclude suffixes: [.io .example.org]", "Excludes        : [api.names]", "old.corp -> 192.0.2.9"):
        assert line in text, text
    rules = {"wpad.x": "wpad", "api.names": "excludes", "api.corp": "mappings", "api": "search", "a.io": "exclude-suffixes"}
    rules |= {"db.names": "namespace", "x.cluster.local": "cluster-domain", "example.com": "other"}
    rules |= {"a.in.example.org": "include-suffixes", "a.example.org": "exclude-suffixes", "x.y.svc": "svc"}
    for name, rule in rules.items():
        trace = json.loads(laptop.telepresence("dns", "trace", name, "--output", "json").stdout)
        assert (trace["rule"], trace["name"]) == (rule, name)
    text = laptop.telepresence("dns", "trace", "api.corp").stdout
    assert "mappings, stands for api.names.svc" in text and "asked for api.names.svc.cluster.local" in text
    assert f" IN A {ip}\n" in text
    for args in (["trace"], ["trace", "a b"], ["trace", "a", "NONSENSE"], ["look", "a"]):
        assert laptop.telepresence("dns", *args, check=False).returncode == 2, args


def test_broken_settings_are_named(laptop, cluster, tmp_path):
    path = with_dns(cluster, tmp_path, {"mappings": [{"name": "x"}]})
    done = laptop.telepresence("connect", "--kubeconfig", path, check=False)
    assert done.returncode == 3 and "a mapping needs name and aliasFor" in done.stderr
    done = laptop.telepresence("dns", "trace", "web.demo", check=False)
    assert done.returncode == 7 and "connect" in done.stderr


def test_speed_of_cluster_names(laptop, names, clients):
    laptop.connect("--namespace", names)
    rtt_ms = laptop.status()["traffic_manager"]["rtt_us"] / 1000
    absent = (f"absent-{i}.names.svc" for i in itertools.count())

    def cold():
        return look_up(laptop, clients["glibc"], 1, [next(absent)])[1][0] / 1000

    def warm():
        return percentile(look_up(laptop, clients["glibc"], 50, ["api.names.svc"])[1], 0.5) / 1000

    best_of(cold, (rtt_ms + 20) / 1000)
    best_of(warm, 0.001)
    before = laptop.status()["root_daemon"]["dns"]
    assert short(laptop, "no.names.svc") == short(laptop, "no.names.svc") == []
    after = laptop.status()["root_daemon"]["dns"]
    assert after["queries"] - before["queries"] == 2


# A nameserver ADDRESS that knows one name and says of all others that they do not exist.
SECOND = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 53))
print("up", flush=True)
while True:
    query, peer = sock.recvfrom(512)
    end = query.index(0, 12) + 5
    known = query[12:end] == b"\\6second\\7example\\0\\0\\1\\0\\1"
    head = query[:2] + (b"\\x81\\x80" if known else b"\\x81\\x83") + bytes([0, 1, 0, known, 0, 0, 0, 0])
    sock.sendto(head + query[12:end] + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\0\\0\\4\\xc0\\0\\2\\x63" * known, peer)
"""


@pytest.fixture
def second(laptop):
    """Of the laptop's own; it answers before anybody else does."""
    server = laptop.popen("/usr/bin/python3", "-c", SECOND, "127.0.0.9", stdout=subprocess.PIPE)
    assert server.stdout.readline() == "up\n"
    yield "127.0.0.9"
    server.kill()
    server.wait()
    server.stdout.close()


def test_a_second_nameserver_hides_no_name(laptop, cluster, names, clients, second, tmp_path):
    """musl asks all at once and believes the first answer; with `rotate` every other question begins with the second.

    What that one says of other names is what it said before.
    """
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(f"{laptop.run('cat', '/etc/resolv.conf').stdout}\nnameserver {second}\noptions rotate\n")
    asks = [f"{' '.join(argv)} 0 api.names.svc api.names.svc.cluster.local db-0.db.names" for argv in clients.values()]
    asks += [f"dig +short @{second} second.example", f"dig +noall +comments @{second} www.example.com"]
    begin = f"mount --bind {resolv} /etc/resolv.conf; telepresence connect --namespace {names} >&2"
    done = laptop.run("unshare", "--mount", "sh", "-ec", "; ".join([begin, *asks, "telepresence quit -s >&2"]))
    lines = [line for line in done.stdout.splitlines() if line]
    ip = cluster.cluster_ip(names, "api")
    found = [f"api.names.svc {ip}", f"api.names.svc.cluster.local {ip}", "db-0.db.names 10.99.0.1"]
    assert lines[: 3 * len(clients)] == found * len(clients)
    assert lines[3 * len(clients)] == "192.0.2.99" and "NXDOMAIN" in "".join(lines[3 * len(clients) :])


def test_resolver_that_does_not_ask(laptop, tmp_path):
    """An nsswitch.conf without dns: connect fails, says that, and what to do."""
    broken = tmp_path / "nsswitch.conf"
    broken.write_text("hosts: files\n")
    script = f"mount --bind {broken} /etc/nsswitch.conf && telepresence connect"
    done = laptop.run("unshare", "--mount", "sh", "-c", script, check=False)
    assert done.returncode == 9, done.stderr
    assert "did not ask the nameserver" in done.stderr and "nsswitch.conf" in done.stderr


def test_command_is_documented(laptop):
    for shown in ("help", "man"):
        assert "trace NAME [TYPE]" in laptop.telepresence(*(["help", "dns"] if shown == "help" else ["man"])).stdout
    assert laptop.telepresence("complete", "--", "dns", "").stdout == "trace\n"

# SPDX-License-Identifier: Apache-2.0
"""Ways to a cluster that other people have: by proxies, by credential programs, by several kubeconfig files."""

import base64
import contextlib
import datetime
import json
import os
import re
import subprocess

import pytest
from conftest import LONG, run, wait_for
from localcluster import plan

PROXY = __file__.replace("test_kubeconfigs", "proxy")
NOBODY = "65534"
SECRET = "somebody:pass word"


@pytest.fixture
def kubeconfig(cluster, tmp_path):
    """Gives a function: the administrator's kubeconfig, changed by another one, as a file."""

    def write(change, name="config"):
        config = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))
        change(config, config["clusters"][0]["cluster"], config["users"][0]["user"])
        path = tmp_path / name
        path.write_text(json.dumps(config))
        return path

    return write


@contextlib.contextmanager
def nothing_but_proxies(laptop, cluster):
    """The firewall of a company: who is not the proxy, which is nobody's, does not get out to the API server."""
    server = re.fullmatch(r"https://(.*):(\d+)", plan.get(cluster.name).server)
    rule = f"ip daddr {server[1]} tcp dport {server[2]} meta skuid != {NOBODY} reject with tcp reset"
    laptop.run("nft", f"table inet only {{ chain o {{ type filter hook output priority 0; {rule}; }}; }}")
    try:
        yield
    finally:
        laptop.run("nft", "delete table inet only")


@contextlib.contextmanager
def proxy(laptop, kind, *more):
    """Its port, and a function: the lines that it has said when it ends."""
    words = ["setpriv", "--reuid", NOBODY, "--clear-groups", "/usr/bin/python3", "-I", "-B", "-c", open(PROXY).read()]
    with laptop.popen(*words, kind, SECRET, *more, stdout=subprocess.PIPE) as process:

        def said():
            process.kill()
            return process.stdout.read().splitlines()

        try:
            yield int(process.stdout.readline()), said
        finally:
            process.kill()


@pytest.mark.parametrize("kind", ["http", "socks5", "environment"])
def test_a_proxy_that_asks_who_one_is(laptop, cluster, kubeconfig, kind):
    """All that leaves the laptop goes by it: requests, watches and the tunnel."""
    with nothing_but_proxies(laptop, cluster), proxy(laptop, "http" if kind == "environment" else kind) as (port, said):
        assert "refused" in laptop.telepresence("connect", check=False).stderr
        laptop.stop()
        url = f"{'http' if kind == 'environment' else kind}://somebody:pass%20word@127.0.0.1:{port}"
        if kind == "environment":
            laptop.run("env", f"HTTPS_PROXY={url}", "NO_PROXY=example.com", "telepresence", "connect")
        else:
            config = kubeconfig(lambda config, it, user: it.update({"proxy-url": url}))
            laptop.connect("--kubeconfig", config)
        assert laptop.curl("http://web.demo/").startswith("hello from pod web-")
        assert "web: ready to intercept" in laptop.telepresence("list", "-n", "demo").stdout
        assert laptop.telepresence("quit", "-s").stdout == "Telepresence Daemons quitting...done\n"
        targets = said()
    server = plan.get(cluster.name).server.removeprefix("https://").replace(":", " ")
    assert len(targets) > 1 and set(targets) == {server}


def test_a_proxy_that_refuses_is_named(laptop, cluster, kubeconfig):
    with proxy(laptop, "http") as (port, _):
        config = kubeconfig(lambda config, it, user: it.update({"proxy-url": f"http://127.0.0.1:{port}"}))
        done = laptop.telepresence("connect", "--kubeconfig", config, check=False)
    assert done.returncode == 4 and "407" in done.stderr and "check the user" in done.stderr, done.stderr
    # And when nobody is there.
    done = laptop.telepresence("connect", "--kubeconfig", config, check=False)
    assert done.returncode == 7 and f"127.0.0.1 port {port}" in done.stderr and "check proxy-url" in done.stderr, done.stderr


@pytest.fixture
def company(cluster, tmp_path):
    """An authority that only the company's machines know, and its certificate for the API server: PEM texts."""
    host = re.fullmatch(r"https://(.*):\d+", plan.get(cluster.name).server)[1]
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    ca, key, certificate = (tmp_path / name for name in ("company-ca", "key", "certificate"))
    run([*new, "-keyout", tmp_path / "ca-key", "-out", ca, "-subj", "/CN=Company Inspection"])
    run([*new, "-keyout", key, "-out", certificate, "-subj", "/CN=inspected", "-CA", ca, "-CAkey", tmp_path / "ca-key"]
        + ["-addext", f"subjectAltName=IP:{host}"])
    return ca.read_bytes(), certificate.read_text() + key.read_text()


def test_a_proxy_that_looks_into_tls(laptop, cluster, kubeconfig, company, tokens):
    """Who does not know the company's authority is told so; who does has everything: a token passes, a certificate would not. A
    port-forward goes by WebSocket where SPDY does not pass."""
    authority, pem = company

    def change(known):
        def by_token(config, it, user):
            it["proxy-url"] = f"http://somebody:pass%20word@127.0.0.1:{port}"
            if known:
                it["certificate-authority-data"] = base64.b64encode(authority).decode()
            user.clear()
            user["token"] = tokens[0]

        return by_token

    with nothing_but_proxies(laptop, cluster), proxy(laptop, "inspect", pem) as (port, said):
        done = laptop.telepresence("connect", "--kubeconfig", kubeconfig(change(False), "unknown"), check=False)
        assert done.returncode == 3 and "local issuer certificate; check certificate-authority" in done.stderr, done.stderr
        laptop.stop()
        laptop.connect("--kubeconfig", kubeconfig(change(True)))
        assert laptop.curl("http://web.demo/").startswith("hello from pod web-")
        assert laptop.telepresence("quit", "-s").stdout == "Telepresence Daemons quitting...done\n"
        laptop.connect("--kubeconfig", kubeconfig(change(True)), "--carrier", "port-forward")
        assert laptop.curl("http://web.demo/").startswith("hello from pod web-")
        laptop.stop()
        lines = said()
    asked = [line.split()[0] for line in lines if "/portforward?" in line]
    assert asked == ["POST", "GET"], lines


def credential_program(folder, user):
    """As of a cloud: beside the kubeconfig, with arguments and environment of its own, and a certificate in its answer."""
    status = {
        "clientCertificateData": base64.b64decode(user.pop("client-certificate-data")).decode(),
        "clientKeyData": base64.b64decode(user.pop("client-key-data")).decode(),
        "expirationTimestamp": (datetime.datetime.utcnow() + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    (folder / "answer").write_text(json.dumps(answer))
    program = folder / "credentials"
    program.write_text(f'#!/bin/sh\n[ "$1" = get ] && [ "$REGION" = north ] && cat "{folder}/answer" && echo x >>"{folder}/calls"\n')
    program.chmod(0o755)
    return {
        "apiVersion": answer["apiVersion"],
        "command": "./credentials",
        "args": ["get"],
        "env": [{"name": "REGION", "value": "north"}],
        "interactiveMode": "IfAvailable",
    }


def test_a_credential_program_gives_the_certificate(laptop, kubeconfig, tmp_path):
    def by_program(config, it, user):
        program = credential_program(tmp_path, user)
        user.clear()
        user["exec"] = program

    laptop.connect("--kubeconfig", kubeconfig(by_program))
    assert laptop.curl("http://web.demo/").startswith("hello from pod web-")
    assert len((tmp_path / "calls").read_text().splitlines()) <= 2


NAME, SECRETS = "robot", ("first", "second")
# Less than what a credential is renewed before its end.
SOON_S = 20


@pytest.fixture
def tokens(cluster):
    """Of an administrator, each good for as long as a Secret of its own is there."""
    kubectl = cluster.kubectl
    kubectl("create", "serviceaccount", NAME)
    kubectl("create", "clusterrolebinding", NAME, "--clusterrole=cluster-admin", f"--serviceaccount=default:{NAME}")
    try:
        for secret in SECRETS:
            kubectl("create", "secret", "generic", secret)
        yield [kubectl("create", "token", NAME, "--bound-object-kind=Secret", f"--bound-object-name={one}").strip() for one in SECRETS]
    finally:
        kubectl("delete", "serviceaccount", NAME)
        kubectl("delete", "clusterrolebinding", NAME)
        kubectl("delete", "secret", *SECRETS, "--ignore-not-found")


def test_a_credential_programs_token_ends_while_connected(laptop, cluster, kubeconfig, tmp_path, tokens):
    """The next one is asked for before it is needed; neither the connection nor a new tunnel hear of the end of the former."""

    def answer(token):
        ends = datetime.datetime.utcnow() + datetime.timedelta(seconds=SOON_S)
        status = {"token": token, "expirationTimestamp": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}
        body = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        (tmp_path / "answer.new").write_text(json.dumps(body))
        (tmp_path / "answer.new").rename(tmp_path / "answer")

    def by_program(config, it, user):
        program = ["-c", f"echo >>{tmp_path}/calls; cat {tmp_path}/answer"]
        user.clear()
        user["exec"] = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": program, "interactiveMode": "Never"}

    def calls():
        return (tmp_path / "calls").stat().st_size

    answer(tokens[0])
    laptop.connect("--kubeconfig", kubeconfig(by_program))
    session = laptop.status()["user_daemon"]["session"]
    answer(tokens[1])
    cluster.kubectl("delete", "secret", SECRETS[0])
    if LONG:  # the API server believes for ten seconds what it has seen
        ask = ["curl", "-sk", "-H", f"Authorization: Bearer {tokens[0]}", f"{plan.get(cluster.name).server}/version/x"]
        wait_for("the end of the first token", lambda: '"Unauthorized"' in laptop.run(*ask).stdout, 40, pause=0.5)
    called = calls()
    assert "web: ready to intercept" in laptop.telepresence("list", "-n", "demo").stdout
    assert calls() > called
    os.kill(cluster.manager_pid(), 9)
    wait_for("another tunnel", lambda: laptop.curl("http://web.demo/", check=False).startswith("hello from pod web-"), 30)
    assert laptop.status()["user_daemon"]["session"] == session
    assert laptop.telepresence("quit", "-s").stdout == "Telepresence Daemons quitting...done\n"
    assert not [one for one in cluster.get("sessions.telepresence.io", "-n", "ambassador")["items"] if one["metadata"]["name"] == session]


def test_several_files_make_one_kubeconfig(laptop, cluster, kubeconfig, tmp_path):
    """As kubectl merges them: the first that says something wins, and one that is missing says nothing."""
    parts = {"contexts": [], "clusters": [], "users": []}

    def only(kind):
        return lambda config, it, user: [config.update({other: None}) for other in parts if other != kind]

    paths = [kubeconfig(only(kind), f"{kind}.yaml") for kind in parts]
    joined = ":".join(map(str, [tmp_path / "missing", *paths]))
    done = laptop.run("env", f"KUBECONFIG={joined}", "telepresence", "connect")
    assert f"Connected to context {cluster.name}, namespace default" in done.stdout
    assert laptop.curl("http://web.demo/").startswith("hello from pod web-")


def test_credentials_that_have_expired_are_named(laptop, cluster, kubeconfig, tmp_path):
    pki = plan.get(cluster.name).dir / "pki"
    key, request, certificate = (tmp_path / name for name in ("key", "request", "certificate"))
    run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        + ["-keyout", key, "-out", request, "-subj", "/CN=late"])
    run(["openssl", "x509", "-req", "-in", request, "-CA", pki / "ca.crt", "-CAkey", pki / "ca.key"]
        + ["-days", "-1", "-set_serial", "7", "-out", certificate])
    files = {"client-certificate": str(certificate), "client-key": str(key)}
    config = kubeconfig(lambda config, it, user: (user.clear(), user.update(files)))
    done = laptop.telepresence("connect", "--kubeconfig", config, check=False)
    assert done.returncode == 4 and "certificate has expired on 20" in done.stderr, done.stderr


STRANGERS = {
    "nothing": ({}, "has no credentials in the kubeconfig: log in"),
    "a token": ({"token": "wrong"}, "its token has expired or is wrong; log in"),
    "a program": (
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./credentials", "installHint": "ask --me", "interactiveMode": "Never"}},
        "credential plugin credentials has expired or is wrong; log in with its own command, then try again; ask --me",
    ),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_strangers_are_told_to_log_in(laptop, kubeconfig, tmp_path, who):
    """Nothing that an administrator could do about it with a role."""
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "wrong"}}
    program = tmp_path / "credentials"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    program.chmod(0o755)
    user, words = STRANGERS[who]
    config = kubeconfig(lambda config, it, before: (before.clear(), before.update(user)))
    done = laptop.telepresence("connect", "--kubeconfig", config, check=False)
    assert done.returncode == 4 and words in done.stderr and "dministrator" not in done.stderr, done.stderr


OTHERS = "not arp and not icmp6 and not (host {server} and tcp port 6443) and not (host {resolver} and port 53)"


def test_nobody_is_spoken_to_but_the_api_server_and_the_resolver(laptop, cluster):
    """Whatever is done, no packet leaves the laptop for anybody else."""
    the_plan = plan.get(cluster.name)
    words = OTHERS.format(server=the_plan.nodes[0].addresses[0], resolver=the_plan.lan_nets[0][1])
    argv = ["tcpdump", "-i", "eth0", "-nn", "-l", "--immediate-mode", *words.split()]
    with laptop.popen(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as seen:
        try:
            assert any("listening on eth0" in line for line in seen.stderr)
            laptop.connect()
            for url in ("http://web.demo/", f"http://{cluster.cluster_ip()}/", f"http://{cluster.pod_ip()}:8080/"):
                laptop.curl(url)
            laptop.telepresence("list", "-n", "demo")
            laptop.telepresence("status")
            laptop.telepresence("version")
            laptop.telepresence("quit", "-s")
            # What it does see is seen.
            laptop.run("ping", "-c1", "-W1", "192.0.2.77", check=False)
            packets = []
            for line in seen.stdout:
                if "192.0.2.77" in line:
                    break
                packets.append(line)
            assert packets == []
        finally:
            seen.kill()

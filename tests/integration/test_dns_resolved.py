# SPDX-License-Identifier: Apache-2.0
"""A laptop whose resolver is the real systemd-resolved, asked by its stub and by glibc's module for it."""

import os
import signal
import time

import pytest
from conftest import wait_for
from resolved import ResolvedLaptop
from timing import best_of, took

FOLLOWED = 5
DOMAINS = ("demo.svc.cluster.local", "~cluster.local", "~svc", "~demo", "~kube-system")


@pytest.fixture(params=[False, True], ids=["stub", "nss"])
def resolved(request, laptop, tmp_path):
    made = ResolvedLaptop(laptop, tmp_path / "resolved", nss=request.param)
    made.nss = request.param
    yield made
    made.close()


def addresses(laptop, name):
    """As any program of glibc's asks."""
    out = laptop.run("getent", "ahostsv4", name, check=False).stdout
    return sorted({line.split()[0] for line in out.splitlines()})


def test_names_by_resolved(resolved, cluster):
    public = addresses(resolved, "www.example.com")
    before = resolved.links(), resolved.run("cat", "/etc/resolv.conf").stdout, resolved.run("nft", "list", "ruleset").stdout
    assert public
    resolved.connect("--namespace", "demo")
    ip = cluster.cluster_ip()
    told = resolved.status()["root_daemon"]
    assert told["dns"]["by"] == "systemd-resolved"
    assert resolved.words("dns", told["device"]) == [f"127.0.0.1:{told['dns']['local_port']}"]
    assert set(DOMAINS) <= set(resolved.words("domain", told["device"]))
    protocols = resolved.resolvectl("status", told["device"]).stdout.split()
    assert {"-DefaultRoute", "-LLMNR", "-mDNS", "-DNSOverTLS", "DNSSEC=no/unsupported"} <= set(protocols)
    for name in ("web.demo", "web.demo.svc", "web.demo.svc.cluster.local"):
        assert addresses(resolved, name) == [ip], name
    if resolved.nss:
        assert addresses(resolved, "web") == [ip]
    assert resolved.curl("http://web.demo/").startswith("hello from pod")
    assert addresses(resolved, "absent.demo") == []
    # The redirect is not used, resolv.conf is as it was, and other names do not come to us.
    assert resolved.run("nft", "list", "ruleset").stdout == before[2]
    assert resolved.run("cat", "/etc/resolv.conf").stdout == before[1]
    asked = resolved.status()["root_daemon"]["dns"]["queries"]
    resolved.resolvectl("flush-caches")
    assert addresses(resolved, "www.example.com") == public
    assert resolved.status()["root_daemon"]["dns"]["queries"] == asked
    resolved.stop()
    assert resolved.links() == before[0]
    assert addresses(resolved, "web.demo") == []


def test_daemons_die_and_resolved_restarts(resolved, cluster):
    before = resolved.links()
    resolved.connect("--namespace", "demo")
    ip = cluster.cluster_ip()
    device = resolved.status()["root_daemon"]["device"]
    assert addresses(resolved, "web.demo") == [ip]
    # A resolved that forgot all it was told: its state is gone too.
    resolved.stop_resolved()
    resolved.run("rm", "-rf", "/run/systemd/resolve/netif")
    resolved.start_resolved()
    wait_for("the domains anew", lambda: "~svc" in resolved.words("domain", device))
    assert addresses(resolved, "web.demo") == [ip]
    os.kill(resolved.daemons()["rootd"], signal.SIGKILL)
    wait_for("the link's end", lambda: resolved.links() == before)
    resolved.stop()
    resolved.connect("--namespace", "demo")
    assert addresses(resolved, "web.demo") == [ip]


def test_new_address_within_a_second(resolved, cluster):
    """Through resolved's own cache, which goes by the TTL."""
    manifest = (
        '{"apiVersion":"v1","kind":"Service","metadata":{"name":"cached","namespace":"demo"},"spec":{"ports":[{"port":80}]}}'
    )
    resolved.connect("--namespace", "demo")
    assert addresses(resolved, "cached.demo") == []
    try:

        def attempt():
            cluster.apply(manifest)
            changed = asked = time.monotonic()
            ip = cluster.cluster_ip("demo", "cached")
            while addresses(resolved, "cached.demo") != [ip]:
                asked = time.monotonic()
                assert asked <= changed + 60
            cluster.kubectl("-n", "demo", "delete", "service", "cached")
            return asked - changed

        # Where nothing was known of the name, and where its last address was.
        for _ in range(2):
            best_of(attempt, 1)
    finally:
        cluster.kubectl("-n", "demo", "delete", "service", "cached", "--ignore-not-found")


def test_names_of_a_further_namespace(resolved, cluster):
    """A single label is searched in the connection's namespace, and then in that of an intercept, for as long as it is there."""
    resolved.connect("--namespace", "demo")
    device = resolved.status()["root_daemon"]["device"]
    told = ["demo.svc.cluster.local", "kube-system.svc.cluster.local"]
    dns = cluster.get("service", "-n", "kube-system", "kube-dns")["spec"]["clusterIP"]

    def searched():
        return [name for name in resolved.words("domain", device) if not name.startswith("~")]

    def is_so(domains, found):
        """The stub searches nothing: that is its clients' part."""
        return searched() == domains and (not resolved.nss or addresses(resolved, "kube-dns") == found)

    assert is_so(told[:1], [])

    def attempt():
        """The longer one of coming and going, for the domains and for the names."""
        resolved.telepresence("intercept", "names", "--namespace", "kube-system", "--local-only")
        come, _ = took(wait_for, "the namespace", lambda: is_so(told, [dns]))
        if resolved.nss:
            assert addresses(resolved, "web") == [cluster.cluster_ip()]
        resolved.telepresence("leave", "names")
        return max(come, took(wait_for, "its end", lambda: is_so(told[:1], []))[0])

    best_of(attempt, FOLLOWED, tries=3)


def test_another_resolver_while_connected(resolved, cluster):
    """resolv.conf names a nameserver directly from now on, and then the stub again: names are found all the time."""
    before = resolved.run("nft", "list", "ruleset").stdout
    public, path = addresses(resolved, "www.example.com"), resolved.folder / "resolv.conf"
    stub, nameserver = path.read_text(), resolved.upstream
    resolved.connect("--namespace", "demo")
    ip = cluster.cluster_ip()
    redirected = "systemd-resolved and redirect" if resolved.nss else "redirect"

    def how():
        return resolved.status()["root_daemon"]["dns"]["by"]

    def names():
        return addresses(resolved, "web.demo"), addresses(resolved, "www.example.com")

    def redirect():
        path.write_text(f"nameserver {nameserver}\n")
        seconds, _ = took(wait_for, "the redirect", lambda: asked_directly() == [ip] and how() == redirected)
        assert names() == ([ip], public)
        return seconds

    def give_back():
        path.write_text(stub)
        return took(wait_for, "the stub", lambda: how() == "systemd-resolved" and asked_directly() == [])[0]

    def attempt():
        """The longer one of both ways."""
        seconds = max(redirect(), give_back())
        assert names() == ([ip], public)
        return seconds

    def asked_directly():
        return resolved.run("dig", "+short", "+tries=1", "+time=2", f"@{nameserver}", "web.demo", check=False).stdout.split()

    assert how() == "systemd-resolved" and names() == ([ip], public)
    # A second time, too.
    for _ in range(2):
        best_of(attempt, FOLLOWED, tries=3)
    resolved.stop()
    assert resolved.run("nft", "list", "ruleset").stdout == before

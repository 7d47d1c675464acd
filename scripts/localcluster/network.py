# SPDX-License-Identifier: Apache-2.0
"""network - the nodes' network and the router between it and the laptop's

    laptop --- [lan] router [nodes] --- node1, node2
                     tp-NAME-wan

The router knows no pod or service network, and forwards from the laptop's side only to the API
server's port. It is the laptop's resolver too, and serves a few names of a small public internet.
"""

import subprocess

from .shell import run, succeeds, wait_for, write_file

# The tests' public internet: documentation addresses (RFC 5737, RFC 3849) on the router itself.
WEB_V4 = "203.0.113.80"
WEB_V6 = "2001:db8:80::80"
WEB_NAMES = ("www.example.com", "example.org", "static.example.net")

RULES = """\
table inet router {{
	chain forward {{
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		iifname "lan" ip daddr {api} tcp dport 6443 accept
	}}
}}
"""
NODE_RULES = """\
table {family} node {{
	set inside {{
		type {kind}; flags interval; elements = {{ {inside} }}
	}}
	chain postrouting {{
		type nat hook postrouting priority srcnat;
		{family} saddr {pods} {family} daddr != @inside oifname "eth0" masquerade
	}}
}}
"""


def ip(netns, *words):
    return run(["ip", "-n", netns, *words])


def in_netns(netns, argv):
    """The argument list that runs argv in the network namespace, with the machine's files."""
    return ["nsenter", f"--net=/run/netns/{netns}", "--", *argv]


def add_netns(netns, sysctls=()):
    run(["ip", "netns", "add", netns])
    ip(netns, "link", "set", "lo", "up")
    # Duplicate address detection would keep IPv6 addresses unusable for a second.
    settings = ["net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.accept_ra=0"]
    run(in_netns(netns, ["sysctl", "-qw", *settings, *sysctls]))


def add_address(netns, device, address, network):
    ip(netns, "addr", "add", f"{address}/{network.prefixlen}", "dev", device)


def add_link(netns, device, peer_netns, peer, bridge):
    """A cable from a device to a port of the router's bridge."""
    ip(netns, "link", "add", device, "type", "veth", "peer", "name", peer, "netns", peer_netns)
    ip(peer_netns, "link", "set", peer, "master", bridge, "up")
    ip(netns, "link", "set", device, "up")


def _spawn(netns, argv, log):
    """Starts a daemon in the namespace; `down` finds it there."""
    with open(log, "ab") as stream:
        subprocess.Popen(
            in_netns(netns, argv),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def _start_services(plan, wan):
    """dnsmasq as the resolver of laptop and nodes, and a web server as the public internet."""
    folder = plan.dir / "router"
    (folder / "www").mkdir(parents=True)
    write_file(folder / "www" / "index.html", "the public internet\n")
    web_addresses = [WEB_V4, WEB_V6] if plan.dual_stack else [WEB_V4]
    answers = [f"--host-record={name},{','.join(web_addresses)}" for name in WEB_NAMES]
    # "#" stands for every other name: dnsmasq alone answers for it, and knows none.
    dnsmasq = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv"]
    dnsmasq += ["--no-hosts", "--user=root", "--pid-file", "--log-facility=-", "--bind-interfaces"]
    dnsmasq += ["--interface=lan", "--interface=nodes", "--local=/#/"]
    _spawn(wan, [*dnsmasq, *answers], folder / "dnsmasq.log")
    web = ["/bin/busybox", "httpd", "-f", "-p", f"{WEB_V4}:80", "-h", folder / "www"]
    _spawn(wan, web, folder / "web.log")
    if plan.dual_stack:
        web[4] = f"[{WEB_V6}]:80"
        _spawn(wan, web, folder / "web.log")


def resolver_answers(plan):
    """True when the router's resolver listens."""
    listening = run(["ip", "netns", "exec", plan.netns("wan"), "ss", "-Hlun", "sport", "=", ":53"])
    return str(plan.lan_nets[0][1]) in listening


def make_router(plan):
    wan = plan.netns("wan")
    add_netns(wan, ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
    # Frames within a bridge are no business of the router's rules.
    if succeeds(in_netns(wan, ["test", "-e", "/proc/sys/net/bridge/bridge-nf-call-iptables"])):
        names = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables")
        run(in_netns(wan, ["sysctl", "-qw", *(f"net.bridge.{name}=0" for name in names)]))
    for number, bridge, networks in ((1, "lan", plan.lan_nets), (2, "nodes", plan.node_nets)):
        # Without an address of its own a bridge takes its ports' lowest, and changes with them.
        address = f"02:74:70:{plan.slot:02x}:00:{number:02x}"
        ip(wan, "link", "add", bridge, "address", address, "type", "bridge")
        for network in networks:
            add_address(wan, bridge, network[1], network)
        ip(wan, "link", "set", bridge, "up")
    ip(wan, "addr", "add", f"{WEB_V4}/32", "dev", "lo")
    ip(wan, "addr", "add", f"{WEB_V6}/128", "dev", "lo")
    rules = RULES.format(api=plan.nodes[0].addresses[0])
    run(in_netns(wan, ["nft", "-f", "-"]), stdin=rules)
    _start_services(plan, wan)
    wait_for("the router's resolver", lambda: resolver_answers(plan), 60)


def _node_rules(plan, node):
    families = (("ip", "ipv4_addr"), ("ip6", "ipv6_addr"))
    text = ""
    for index, network in enumerate(node.pod_nets):
        # The router is outside: it has no route back to a pod.
        inside = [plan.pod_nets[index], plan.service_nets[index]]
        inside += [other.addresses[index] for other in plan.nodes]
        text += NODE_RULES.format(
            family=families[index][0],
            kind=families[index][1],
            pods=network,
            inside=", ".join(str(net) for net in inside),
        )
    return text


def make_node(plan, node):
    """A node's namespace: its address, a default route, routes to the pods of the other nodes."""
    sysctls = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]
    add_netns(node.netns, sysctls)
    add_link(node.netns, "eth0", plan.netns("wan"), node.name, "nodes")
    for address, network in zip(node.addresses, plan.node_nets, strict=True):
        add_address(node.netns, "eth0", address, network)
        # Without a default route a ClusterIP is unreachable before kube-proxy's rules see it.
        ip(node.netns, "route", "add", "default", "via", str(network[1]))
    for other in plan.nodes:
        if other.index != node.index:
            for pods, via in zip(other.pod_nets, other.addresses, strict=True):
                ip(node.netns, "route", "add", str(pods), "via", str(via))
    run(in_netns(node.netns, ["nft", "-f", "-"]), stdin=_node_rules(plan, node))


def kubectl(plan, bin_dir, *words):
    """The argument list of a kubectl command as the administrator."""
    command = [f"{bin_dir}/kubectl", "--kubeconfig", str(plan.admin_kubeconfig), *words]
    return in_netns(plan.netns("wan"), command)

# SPDX-License-Identifier: Apache-2.0
"""What happens to the path between laptop and cluster while connected: other routes, sleep, small packets."""

import ipaddress

from conftest import wait_for


def test_status_names_conflicts(laptop):
    """A VPN that comes later and takes a part of the cluster's subnets: said by name, and over when it goes."""
    laptop.connect()
    assert "Conflicts" not in laptop.telepresence("status").stdout
    subnet = next(s for s in laptop.status()["root_daemon"]["subnets"] if ipaddress.ip_network(s).version == 4)
    half = next(ipaddress.ip_network(subnet).subnets())
    laptop.run("ip", "route", "add", half, "dev", "eth0")
    try:
        conflict = wait_for("the conflict", lambda: laptop.status()["root_daemon"]["conflicts"], 5)
        assert conflict == [{"subnet": subnet, "route": f"{half} dev eth0"}]
        text = laptop.telepresence("status").stdout
        assert "Conflicts         : (1 not routed to the cluster)" in text
        assert f"    - {subnet} has the route {half} dev eth0\n" in text
    finally:
        laptop.run("ip", "route", "del", half, "dev", "eth0")
    wait_for("its end", lambda: "Conflicts" not in laptop.telepresence("status").stdout, 5)

# SPDX-License-Identifier: Apache-2.0
"""kill -9, again and again, of everything that an intercept is made of, while it is asked 200 times a second.

What is in flight inside the killed process may be cut. Every request begun later is answered, by the laptop or by the
app, within a second; after an agent's death alone, within a tenth. Two more loads, which nothing of ours is in the way
of, tell how late pods and laptop themselves are meanwhile; that is added to what is allowed. In the end nothing is left.
"""

import pathlib
import time

import pytest

from conftest import LONG, wait_for
from kills import ON_THE_WAY, Person, World, dice, kill, started, wrong
from load import Load, Server, lateness
from managers import installed, placed
from shop import RATE, laptop_net, shop as open_shop

KILLS = 100 if LONG else 20
BURST = 5
VICTIMS = ("userd", "rootd", "cli", "manager", "agent", "kubelet", "kube-apiserver")
OWN_PORT = 8079
BACK = 3.0
# Of that, what a kubelet has to start an agent that was placed. One that has just come back, or that the API server was
# away from, takes longer: its client waits for up to half a minute between two tries.
KUBELET = 1.0
# No kubelet waits longer between two tries; whose wait it was is told apart afterwards.
LATEST = 90


@pytest.fixture(scope="module")
def shop(cluster):
    with open_shop(cluster, "random-kills") as made:
        yield made


def remains(world, shop):
    """All that is left on the cluster's side: objects, rules in the pods, processes."""
    return installed(shop.cluster) + [one for one in shop.rulesets() if one] + shop.agents() + [world.manager() or ""]


class Killer:
    """Kills in bursts, and waits after each until all is well again."""

    def __init__(self, world, person, load, rng):
        self.world, self.person, self.load, self.rng = world, person, load, rng
        self.deaths, self.settled, self.slow = [], [], []
        self.left = (VICTIMS * (KILLS // len(VICTIMS) + 1))[:KILLS]
        self.left = rng.sample(self.left, KILLS)

    def victim(self, name):
        """Whoever has that name, waited for if it is just being started again."""
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            pid = self.person.busy(self.world) if name == "cli" else self.world.pid(name, self.rng)
            if pid:
                # A command lives for some hundredths of a second.
                time.sleep(self.rng.uniform(0, 0.05) if name == "cli" else 0)
                return pid
            time.sleep(0.02)
        return None

    def burst(self):
        for name in [self.left.pop() for _ in range(min(BURST, len(self.left)))]:
            pid = self.victim(name)
            death = kill(name, pid) if pid else None
            if death:
                self.deaths.append(death)
            else:
                self.left.insert(0, name)
            time.sleep(self.rng.uniform(0, 1))

    def kubelet(self, shop, began):
        """How much longer than KUBELET the agent that was started last waited for its kubelet since."""
        names = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in shop.pods}
        asked, now = placed(self.world.cluster), time.time() - time.monotonic()
        last = max(self.world.agents(), key=started)
        argv = pathlib.Path(f"/proc/{last}/cmdline").read_text().split("\0")
        options = dict(arg.lstrip("-").split("=", 1) for arg in argv if "=" in arg)
        # One that neither manager tells of was placed by a former one, which died before.
        moment = asked.get((names[options["pod-uid"]], options["name"]), 0)
        return max(0.0, started(last) - max(began, moment - now) - KUBELET)

    def recover(self, shop):
        """Waits until everything that was killed runs again; then the intercept is back soon."""
        wait_for("all parts of the cluster", self.world.healthy, 120)
        well = time.monotonic()
        wait_for("the person's commands", self.person.whole, 150)
        back = self.load.wait_answered_by("laptop", LATEST)
        began = max(well, self.person.began)
        excused = 0 if back - began < BACK else self.kubelet(shop, began)
        self.settled.append(back)
        self.slow.append((began, back, excused))


def test_whatever_is_killed_every_request_is_answered(laptop, cluster, shop):
    rng = dice("random kills of an intercept")
    world = World(cluster, shop.agents)
    person = Person(world, "shop", *shop.args)
    load, control = shop.loads()
    own = Load(laptop_net(cluster), "127.0.0.1", OWN_PORT, RATE)
    killer = Killer(world, person, load, rng)
    with shop.laptop_serves(), Server(laptop_net(cluster), "127.0.0.1", OWN_PORT, "own"), load, control, own:
        person.start()
        try:
            load.wait_answered_by("laptop", 60)
            killer.settled = [time.monotonic()]
            while killer.left:
                killer.burst()
                killer.recover(shop)
        finally:
            person.stop()
            for one in (load, control, own):
                one.stop()
            print(person.story(killer.deaths))
    assert len(killer.deaths) == KILLS
    late = [control.requests, own.requests]
    bad = wrong(load.requests, late, killer.deaths, killer.settled)
    assert not bad, f"{len(bad)} of {len(load.requests)}: {bad[:20]}"
    print(f"back after {[round(back - began, 2) for began, back, _ in killer.slow]} s")
    slow = [
        (began, back, excused)
        for began, back, excused in killer.slow
        if back - began - excused - ON_THE_WAY * max(lateness(each, began, back) for each in late) > BACK
    ]
    assert not slow, slow
    laptop.telepresence("leave", "shop")
    laptop.telepresence("uninstall", "--everything", timeout=120)
    deadline = time.monotonic() + 20
    while left := [one for one in remains(world, shop) if one]:
        assert time.monotonic() < deadline, f"left: {left}"
        time.sleep(0.2)

#!/usr/bin/env python
# SPDX-License-Identifier: GPL-2.0-or-later
"""
test_nhrp_restart.py: nhrpd or zebra ends and comes back, on a hub and on a spoke

Its configuration is read by every release from 8.4.
"""

import os
import sys

import pytest

CWD = os.path.dirname(os.path.realpath(__file__))
sys.path.append(os.path.join(CWD, "../"))

# pylint: disable=C0413
from lib import nhrp
from lib.topogen import Topogen, get_topogen

pytestmark = [pytest.mark.nhrpd]

MEMBERS = ["hub", "s1", "s2"]


def build_topo(tgen):
    "Builds the network of lib/nhrp.py."
    nhrp.build_dmvpn(tgen, MEMBERS)


def setup_module(mod):
    "Starts it."
    tgen = Topogen(build_topo, mod.__name__)
    tgen.start_topology()
    nhrp.start(tgen, CWD, MEMBERS)


def teardown_module(_mod):
    "Ends it."
    get_topogen().stop_topology()


def test_before():
    "A network with a shortcut."
    tgen = nhrp.running()
    nhrp.wait_registered(tgen, ["s1", "s2"])
    nhrp.wait_direct(tgen.gears["s1"], 2, 3)


def test_hub_crashes():
    "A hub whose nhrpd was killed knows its spokes again, and shows them the direct way."
    tgen = nhrp.running()
    hub = tgen.gears["hub"]
    nhrp.stop(hub, "nhrpd", "KILL")
    for number in (2, 3):
        nhrp.wait_known(hub, number, False)
    nhrp.start_again(hub, "nhrpd")
    nhrp.wait_registered(tgen, ["s1", "s2"], seconds=120)
    nhrp.wait_ping(tgen.gears["s1"], nhrp.lan(2), nhrp.lan(1))
    nhrp.wait_direct(tgen.gears["s2"], 3, 2)


def test_spoke_crashes():
    "A spoke whose nhrpd was killed registers again and finds its direct way."
    tgen = nhrp.running()
    s1 = tgen.gears["s1"]
    nhrp.stop(s1, "nhrpd", "KILL")
    nhrp.wait_known(s1, 1, False)
    nhrp.start_again(s1, "nhrpd")
    nhrp.wait_registered(tgen, ["s1", "s2"], seconds=90)
    nhrp.wait_direct(s1, 2, 3)


def test_clean_stop():
    "A nhrpd that is told to stop takes its routes with it, and brings them again."
    tgen = nhrp.running()
    s1 = tgen.gears["s1"]
    nhrp.wait_direct(s1, 2, 3)
    nhrp.stop(s1, "nhrpd", "TERM")

    def condition():
        routes = s1.run("ip route show proto {}".format(nhrp.PROTO_NHRP))
        return routes.strip() or None

    nhrp.wait("no route of NHRP's on s1", condition, 30)
    gone = [{"protocol": nhrp.overlay(2)}]
    nhrp.wait_rows(tgen.gears["hub"], "show ip nhrp cache json", [], gone)
    nhrp.start_again(s1, "nhrpd")
    nhrp.wait_registered(tgen, ["s1", "s2"], seconds=90)
    nhrp.wait_direct(s1, 2, 3)


@nhrp.beyond_frr("it makes no shortcut when zebra has come back")
def test_zebra_restarts():
    "A zebra that was killed hears everything again from a nhrpd that kept running."
    tgen = nhrp.running()
    s1 = tgen.gears["s1"]
    process = nhrp.pid(s1, "nhrpd")
    nhrp.stop(s1, "zebra", "KILL")
    nhrp.start_again(s1, "zebra")
    # Static routes are not zebra's; watchfrr starts the others again with it. The staticd of 10.7, kept running, asks the
    # new zebra for no next hop that it had asked the old one for, and a route by one that comes later stays inactive.
    nhrp.stop(s1, "staticd", "TERM")
    nhrp.start_again(s1, "staticd")
    s1.run("vtysh -f /etc/frr/frr.conf")
    nhrp.wait_registered(tgen, ["s1", "s2"], seconds=90)
    nhrp.wait_direct(s1, 2, 3)
    assert nhrp.pid(s1, "nhrpd") == process


if __name__ == "__main__":
    sys.exit(pytest.main(["-s"] + sys.argv[1:]))

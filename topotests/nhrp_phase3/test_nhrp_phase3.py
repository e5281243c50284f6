#!/usr/bin/env python
# SPDX-License-Identifier: GPL-2.0-or-later
"""
test_nhrp_phase3.py: spokes register, are redirected by the hub and talk directly

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


def test_registration():
    "Hub and spokes agree on who is registered."
    tgen = nhrp.running()
    nhrp.wait_registered(tgen, ["s1", "s2"])


def test_through_the_hub():
    "Without a shortcut the hub is on the way: it takes two hops."
    tgen = nhrp.running()
    s1 = tgen.gears["s1"]
    nhrp.wait_ping(s1, nhrp.lan(2), nhrp.lan(1))
    shortcuts = nhrp.table(s1, "show ip nhrp shortcut json")
    assert shortcuts == [], shortcuts


def test_shortcut():
    "Traffic between the LANs of spokes finds the direct way, in both directions."
    tgen = nhrp.running()
    nhrp.wait_direct(tgen.gears["s1"], 2, 3)
    nhrp.wait_direct(tgen.gears["s2"], 3, 2)


def test_no_packet_is_lost():
    "The direct way carries every packet."
    tgen = nhrp.running()
    output = tgen.gears["s1"].run("ping -f -c 500 -I 10.2.0.1 10.3.0.1")
    assert "500 packets transmitted, 500 received" in output, output


def test_shortcut_ends():
    "A shortcut that is not used ends with its holding time, and the hub is on the way again."
    tgen = nhrp.running()
    s1 = tgen.gears["s1"]
    gone = {"prefix": "10.3.0.0/24"}
    nhrp.wait_rows(s1, "show ip nhrp shortcut json", [], [gone], seconds=60)
    nhrp.wait_ping(s1, nhrp.lan(2), nhrp.lan(3))


def test_clear():
    "`clear ip nhrp` takes a shortcut at once, and traffic brings it back."
    tgen = nhrp.running()
    s1 = tgen.gears["s1"]
    nhrp.wait_direct(s1, 2, 3)
    s1.vtysh_cmd("clear ip nhrp shortcut")
    nhrp.wait_rows(s1, "show ip nhrp shortcut json", [], [{"prefix": "10.3.0.0/24"}], 5)
    nhrp.wait_direct(s1, 2, 3)


if __name__ == "__main__":
    sys.exit(pytest.main(["-s"] + sys.argv[1:]))

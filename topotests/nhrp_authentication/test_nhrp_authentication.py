#!/usr/bin/env python
# SPDX-License-Identifier: GPL-2.0-or-later
"""
test_nhrp_authentication.py: who has another password is not registered, and is once it has the same

The password is a command since release 10.2. Before it the test is skipped.
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
    nhrp.needs_release((10, 2, 0), "`ip nhrp authentication`")
    tgen = Topogen(build_topo, mod.__name__)
    tgen.start_topology()
    nhrp.start(tgen, CWD, MEMBERS)


def teardown_module(_mod):
    "Ends it."
    get_topogen().stop_topology()


def _unknown(tgen):
    "To hub, zebra and the kernel the second spoke is not there, and it knows that."
    hub, s2 = tgen.gears["hub"], tgen.gears["s2"]
    gone = [{"protocol": nhrp.overlay(3)}]
    nhrp.wait_rows(hub, "show ip nhrp cache json", [], gone)
    nhrp.wait_known(hub, 3, False)
    nhrp.wait_rows(s2, "show ip nhrp cache json", [], [{"type": "nhs"}])
    nhrp.wait_known(s2, 1, False)
    output = s2.run("ping -c 1 -W 1 {}".format(nhrp.overlay(1)))
    assert " 1 received" not in output, output


def test_same_password():
    "A spoke with the hub's password is registered."
    tgen = nhrp.running()
    nhrp.wait_registered(tgen, ["s1"])
    nhrp.wait_ping(tgen.gears["s1"], nhrp.lan(2), nhrp.lan(1))


def test_other_password():
    "One with another password is not, however often it asks."
    tgen = nhrp.running()
    hub = tgen.gears["hub"]
    # Who is not registered has nothing to send but requests.
    nhrp.count_from(hub, 3)
    nhrp.wait_counted(hub, 3, 3, seconds=90)
    _unknown(tgen)


def test_corrected_password():
    "It is as soon as it has the right one, without a restart, and finds direct ways."
    tgen = nhrp.running()
    s2 = tgen.gears["s2"]
    nhrp.configure(s2, "interface s2-gre0", "ip nhrp authentication secret")
    nhrp.wait_registered(tgen, ["s1", "s2"], seconds=90)
    nhrp.wait_direct(tgen.gears["s1"], 2, 3)


def test_no_password():
    "Without any it is out again when its holding time is over, and the other one stays."
    tgen = nhrp.running()
    s2 = tgen.gears["s2"]
    nhrp.configure(s2, "interface s2-gre0", "no ip nhrp authentication secret")
    _unknown(tgen)
    nhrp.wait_registered(tgen, ["s1"])


def test_running_config():
    "The running configuration says who has which password."
    tgen = nhrp.running()
    for name, line in (("hub", True), ("s1", True), ("s2", False)):
        said = tgen.gears[name].vtysh_cmd("show running-config")
        assert ("ip nhrp authentication secret" in said) == line, said


if __name__ == "__main__":
    sys.exit(pytest.main(["-s"] + sys.argv[1:]))

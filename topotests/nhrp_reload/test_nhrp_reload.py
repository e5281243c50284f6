#!/usr/bin/env python
# SPDX-License-Identifier: GPL-2.0-or-later
"""
test_nhrp_reload.py: frr-reload.py makes a running nhrpd conduct itself as another file says

Its configuration is read by every release from 8.4. It needs frr-reload.py among
the daemons, where packages and `make install` have it.
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
SCRIPT = "frr-reload.py"


def build_topo(tgen):
    "Builds the network of lib/nhrp.py."
    nhrp.build_dmvpn(tgen, MEMBERS)


def setup_module(mod):
    "Starts it."
    if not os.path.exists(nhrp.installed(SCRIPT)):
        pytest.skip("no {} among the daemons".format(SCRIPT))
    tgen = Topogen(build_topo, mod.__name__)
    tgen.start_topology()
    nhrp.start(tgen, CWD, MEMBERS)


def teardown_module(_mod):
    "Ends it."
    get_topogen().stop_topology()


def _reload(router, mode, file):
    "Runs FRR's script."
    command = "{} --{} --stdout {} 2>&1"
    return router.run(command.format(nhrp.installed(SCRIPT), mode, file))


def _to_do(router, file):
    "The script's commands that are about NHRP; those about logs are the test suite's."
    said = _reload(router, "test", file)
    assert "Lines To Delete" in said and "Lines To Add" in said, said
    lines = [line.strip() for line in said.splitlines()]
    return [line for line in lines if "nhrp " in line and not line.startswith("20")]


def _change(router, file):
    # Of a line that is there already the management daemon says that nothing changes.
    note = "% Configuration applied with notes:"
    said = _reload(router, "reload", file).replace(note, "")
    for word in ("Failed", "failed", "% ", "ERROR", "Traceback"):
        assert word not in said, said
    assert _to_do(router, file) == [], said


def _static(router, there):
    "Whether the NHRP daemon, zebra and the kernel have what other.conf maps."
    address, way = "10.255.255.77", "192.0.2.77"
    row = {"type": "static", "protocol": address, "nbma": way}
    rows = [row] if there else []
    nhrp.wait_rows(router, "show ip nhrp cache json", rows, [] if there else [row])

    def condition():
        route = router.run("ip route show {}/32 proto {}".format(address, nhrp.PROTO_NHRP))
        neighbour = router.run("ip neigh show {} dev s1-gre0".format(address))
        mapped = "lladdr {} ".format(way) in neighbour
        right = (bool(route.strip()) and mapped) if there else not route.strip()
        return None if right else [route, neighbour]

    nhrp.wait("s1's kernel to know {}: {}".format(address, there), condition, 30)


def test_nothing_to_do():
    "The running configuration is the file's: the script has nothing to send."
    tgen = nhrp.running()
    nhrp.wait_registered(tgen, ["s1", "s2"])
    for name in ("hub", "s1"):
        commands = _to_do(tgen.gears[name], os.path.join(CWD, name, "frr.conf"))
        assert commands == [], commands


@nhrp.beyond_frr("it refuses a line of the script's, which sends new ones twice")
def test_there_and_back():
    "To another configuration and back: the spoke does as each says, without a restart."
    tgen = nhrp.running()
    s1 = tgen.gears["s1"]
    process = nhrp.pid(s1, "nhrpd")
    first, other = [os.path.join(CWD, "s1", name) for name in ("frr.conf", "other.conf")]
    assert _to_do(s1, other) != []
    _change(s1, other)
    _static(s1, True)
    nhrp.wait_registered(tgen, ["s1", "s2"])
    _change(s1, first)
    _static(s1, False)
    nhrp.wait_registered(tgen, ["s1", "s2"])
    nhrp.wait_direct(s1, 2, 3)
    assert nhrp.pid(s1, "nhrpd") == process


@nhrp.beyond_frr("it refuses a line of the script's, which sends new ones twice")
def test_none():
    "To no NHRP at all, and back."
    tgen = nhrp.running()
    s1 = tgen.gears["s1"]
    first = os.path.join(CWD, "s1/frr.conf")
    s1.run("grep -v 'nhrp ' {} > /etc/frr/none.conf".format(first))
    _change(s1, "/etc/frr/none.conf")
    nhrp.wait_rows(s1, "show ip nhrp cache json", [], [{"type": "nhs"}])
    nhrp.wait_known(s1, 1, False)
    gone = [{"protocol": nhrp.overlay(2)}]
    nhrp.wait_rows(tgen.gears["hub"], "show ip nhrp cache json", [], gone)
    _change(s1, first)
    nhrp.wait_registered(tgen, ["s1", "s2"], seconds=90)
    nhrp.wait_direct(s1, 2, 3)


if __name__ == "__main__":
    sys.exit(pytest.main(["-s"] + sys.argv[1:]))

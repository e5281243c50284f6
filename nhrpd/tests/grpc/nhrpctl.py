"""nhrpctl get, diff and commit, on a unix socket and by TLS.

    python3 nhrpctl.py NHRPD PROTO NHRPCTL FOLDER

FOLDER as for tls.py. Needs what client.py needs, and an nhrpctl with feature grpc. Exits 0 if every check held.
"""

import json
import os
import subprocess
import sys
import tempfile

from client import Vty, start

CONFIG = {
    "frr-nhrpd:nhrp": {"multicast-nflog-group": 7},
    "frr-interface:lib": {"interface": [{"name": "gre1", "frr-nhrpd:nhrp": {"ipv4": {"network-id": 1}}}]},
}
ADDED = ["+nhrp multicast-nflog-group 7", "+interface gre1", "+ ip nhrp network-id 1"]


class Nhrpctl:
    def __init__(self, program, *place):
        self.start = [program, *place]

    def __call__(self, code, *words, document=None):
        """Both outputs of a command, which ends with that code."""
        text = None if document is None else json.dumps(document)
        ended = subprocess.run(self.start + list(words), capture_output=True, text=True, timeout=30, input=text)
        assert ended.returncode == code, (words, ended)
        return ended.stdout, ended.stderr


def check(ask, vty, folder):
    file = os.path.join(folder, "new.json")
    with open(file, "w", encoding="ascii") as out:
        json.dump(CONFIG, out)
    before = vty.ask("show running-config")[0]
    assert ask(1, "diff", file)[0].splitlines() == ADDED
    assert vty.ask("show running-config")[0] == before
    assert ask(0, "commit", file, "--comment", "by nhrpctl")[0] == "transaction 1\n"
    assert "multicast-nflog-group 7" in vty.ask("show running-config")[0]
    assert ask(0, "diff", file) == ("", "")
    assert ask(0, "commit", file)[0] == "nothing to change\n"
    shown = json.loads(ask(0, "get", "--config")[0])
    assert shown["frr-nhrpd:nhrp"]["multicast-nflog-group"] == 7, shown
    assert json.loads(ask(0, "get", "/frr-nhrpd:nhrp", "--state")[0])["frr-nhrpd:nhrp"]
    assert ask(1, "get", "/nothing:here")[1].startswith("nhrpctl: ")

    # What is not named stays, unless the file is to be all there is.
    part = {"frr-nhrpd:nhrp": {"multicast-nflog-group": 8}}
    assert ask(1, "diff", "-", document=part)[0].splitlines() == [
        "-nhrp multicast-nflog-group 7", "+nhrp multicast-nflog-group 8"]
    assert "-interface gre1" in ask(1, "diff", "-", "--replace", document=part)[0].splitlines()

    # What is not valid, or of the wrong kind, leaves all as it was.
    running = vty.ask("show running-config")[0]
    invalid = {"frr-interface:lib": {"interface": [
        {"name": "gre1", "frr-nhrpd:nhrp": {"tunnel": {"protection": {"fallback-profile": "x"}}}}]}}
    for document, word in ((invalid, "profile"), ({"frr-nhrpd:nhrp": {"multicast-nflog-group": "x"}}, "multicast-nflog-group")):
        for code, words in ((1, ["commit", "-"]), (2, ["diff", "-"])):
            out, problem = ask(code, *words, document=document)
            assert out == "" and word in problem and problem.startswith("nhrpctl: "), (out, problem)
    assert "/nowhere.json" in ask(1, "commit", "/nowhere.json")[1]
    assert vty.ask("show running-config")[0] == running
    # Nothing is left that would keep others from it.
    assert vty.ask("configure terminal")[1] == 0 and vty.ask("nhrp multicast-nflog-group 9")[1] == 0
    assert ask(0, "commit", file)[0] == "transaction 2\n"


def with_daemon(nhrpd, options, checks):
    with tempfile.TemporaryDirectory() as folder:
        daemon = start(nhrpd, folder, *(option.replace("FOLDER", folder) for option in options))
        try:
            checks(folder, Vty(os.path.join(folder, "nhrpd.vty")))
        finally:
            daemon.kill()
            daemon.wait()


def main():
    nhrpd, _, nhrpctl, files = sys.argv[1:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    file = lambda name: os.path.join(files, name)

    def on_unix(folder, vty):
        check(Nhrpctl(nhrpctl, "--grpc", f"unix:{folder}/grpc"), vty, folder)

    def by_tls(folder, vty):
        tls = ["--cacert", file("ca.crt"), "--cert", file("operator.crt"), "--key", file("operator.key")]
        check(Nhrpctl(nhrpctl, *tls), vty, folder)
        check_words = {
            ("--cacert",): [],
            ("certificate",): ["--cacert", file("ca.crt")],
            ("certificate", "127.0.0.1"): ["--cacert", file("stranger.crt"), *tls[2:]],
            ("there is no TLS",): [*tls, "--grpc", "unix:/x"],
            ("--cacert /nowhere.crt",): ["--cacert", "/nowhere.crt"],
            ("cannot reach 127.0.0.1:1:",): ["--grpc", "127.0.0.1:1"],
        }
        for words, place in check_words.items():
            problem = Nhrpctl(nhrpctl, *place)(1, "get")[1]
            assert all(word in problem for word in words) and problem.count("\n") == 1, (words, problem)

    with_daemon(nhrpd, ["--grpc-listen", "unix:FOLDER/grpc"], on_unix)
    with_daemon(nhrpd, ["-M", "grpc", "--grpc-tls-cert", file("hub1.crt"), "--grpc-tls-key", file("hub1.key"),
                        "--grpc-tls-ca", file("ca.crt")], by_tls)
    print("every check held")


main()

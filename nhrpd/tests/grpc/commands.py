"""A Python client of nhrpd.v1.Show and nhrpd.v1.Exec: the same answers as by the vty, and what is refused.

    python3 commands.py NHRPD PROTO

starts NHRPD in a folder of its own, as client.py does. Exits 0 if every check held.
"""

import json
import os
import sys
import tempfile
import threading

import grpc

from client import Vty, make_stubs, refused, start

SPOKE = ["configure terminal", "interface gre1", " ip nhrp network-id 1", " ip nhrp nhs dynamic nbma 192.0.2.1", "end"]


class Session:
    """What a program needs of Exec: text and code of each line."""

    def __init__(self, stub, pb):
        self.stub, self.pb = stub, pb

    def run(self, *lines, **options):
        answers = []
        for part in self.stub.Run(self.pb.ExecRequest(lines=lines, **options)):
            if part.line == len(answers):
                answers.append(["", None])
            assert part.line == len(answers) - 1 and answers[-1][1] is None, part
            answers[-1][0] += part.text
            if part.last:
                answers[-1][1] = self.pb.ExecResponse.ReturnCode.Name(part.code)
        assert all(code for _, code in answers), answers
        return [tuple(answer) for answer in answers]


def check_show(show, session, pb, vty):
    def text(line):
        return "".join(part.text for part in show.Run(pb.ShowRequest(line=line)))

    for line in ("show version", "show running-config", "sh ip nhrp cache", "show ip nhrp nhs detail",
                 "show nhrp ipsec", "write terminal", "show ip nhrp shortcut json"):
        assert text(line) == vty.ask(line)[0], line
    servers = json.loads(text("show ip nhrp nhs detail json"))
    assert "192.0.2.1" in json.dumps(servers), servers
    # A long answer comes in parts, and is whole.
    before = ["configure terminal", "interface gre1"]
    many = [f" ip nhrp map 10.255.{n // 256}.{n % 256} 192.0.2.9" for n in range(5000)]
    assert {code for _, code in session.run(*before, *many)} == {"SUCCESS"}
    parts = [part.text for part in show.Run(pb.ShowRequest(line="show running-config"))]
    assert len(parts) > 2 and max(map(len, parts)) <= 65536, list(map(len, parts))
    assert "".join(parts) == vty.ask("show running-config")[0] and "10.255.19.135" in "".join(parts)
    session.run(*before, *(" no" + line for line in many))

    for line, words in (
        ("show bogus", "% [NHRP] Unknown command: show bogus"), ("show", "% Command incomplete."),
        ("show m", "% Ambiguous command."), ("clear ip nhrp cache", "Exec"), ("configure terminal", "Exec"),
        ("", "Exec"), ("show version\nconfigure terminal", "one line"), ("show \0 version", "one line"),
        ("show version" + " " * 9000, "octets"),
    ):
        error = refused("stream", lambda: show.Run(pb.ShowRequest(line=line)))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and words in error.details(), (line, error)


def check_exec(stub, session, northbound, pb, vty):
    # FRR's words and numbers; what comes behind is left out.
    answers = session.run("show version", "bogus one", "show version")
    assert answers[1:] == [("% [NHRP] Unknown command: bogus one\n", "NO_MATCH")], answers
    answers = session.run("bogus", "show version", keep_going=True)
    assert [code for _, code in answers] == ["NO_MATCH", "SUCCESS"] and "nhrpd" in answers[1][0], answers
    assert session.run("clear ip nhrp")[0] == ("% Command incomplete.\n", "INCOMPLETE")
    assert session.run("terminal monitor")[0] == ("% not supported\n", "WARNING")
    refusal = session.run("configure terminal", "interface gre1", "ip nhrp holdtime 0", "ip nhrp holdtime 60")
    assert [code for _, code in refusal] == ["SUCCESS", "SUCCESS", "NO_MATCH"], refusal
    # A session ends with its call.
    assert session.run("interface gre1")[0][1] == "NO_MATCH"
    assert [code for _, code in session.run("exit", "show version")] == ["SUCCESS"]
    for lines in ([], ["show version", "bell \a"]):
        error = refused("stream", lambda: stub.Run(pb.ExecRequest(lines=lines)))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, (lines, error)

    # The lock keeps these out as it does vtysh.
    vty.ask("configure terminal")
    northbound("LockConfig")
    code = session.run("configure terminal", "nhrp nflog-group 3")[1]
    assert code[1] == "CONFIG_FAILED" and "locked by another client" in code[0], code
    assert code == (vty.ask("nhrp nflog-group 3")[0], "CONFIG_FAILED")
    northbound("UnlockConfig")
    assert session.run("configure terminal", "nhrp nflog-group 3")[1][1] == "SUCCESS"
    vty.ask("end")
    assert "nhrp nflog-group 3" in vty.ask("show running-config")[0]


def check_complete(stub, pb):
    def ask(line, mode=pb.CompleteRequest.ENABLE):
        return stub.Complete(pb.CompleteRequest(line=line, mode=mode))

    def words(answer):
        return [candidate.word for candidate in answer.candidates]

    answer = ask("sh ip nh")
    assert words(answer) == ["nhrp"] and answer.tab == "rp " and not answer.may_end, answer
    assert answer.candidates[0].keyword and answer.candidates[0].help == "Next Hop Resolution Protocol", answer
    answer = ask("show ip nhrp ")
    assert {"cache", "nhs", "shortcut"} < set(words(answer)) and answer.may_end and answer.tab == "", answer
    assert ask("show ip nhrp c").tab == "ache "
    answer = ask("ip nhrp holdtime ", pb.CompleteRequest.INTERFACE)
    assert words(answer) == ["(1-65000)"] and not answer.candidates[0].keyword, answer
    answer = ask("interface gr", pb.CompleteRequest.CONFIGURE)
    assert [list(candidate.values) for candidate in answer.candidates] == [["gre1"]], answer
    assert ask("bogus ").outcome == pb.CompleteResponse.NO_MATCH
    assert ask("c ").outcome == pb.CompleteResponse.AMBIGUOUS
    error = refused("unary", lambda: ask("x", 99))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error


def check_many(show, pb):
    """Everybody is answered, or told that there are too many."""
    outcomes = []

    def one():
        try:
            outcomes.append("".join(part.text for part in show.Run(pb.ShowRequest(line="show memory json")))[:1])
        except grpc.RpcError as error:
            outcomes.append(error.code())

    threads = [threading.Thread(target=one) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 200 and set(outcomes) <= {"{", grpc.StatusCode.RESOURCE_EXHAUSTED}, outcomes
    assert outcomes.count("{") >= 64, outcomes


def check_standard(channel):
    """Reflection and health. Their messages are written by hand: not every grpcio comes with stubs."""
    def octets(value):
        return value

    def health(service):
        check = channel.unary_unary("/grpc.health.v1.Health/Check", octets, octets)
        return check(bytes([0x0A, len(service)]) + service)

    # SERVING is 1.
    assert health(b"") == b"\x08\x01" and health(b"nhrpd.v1.Events") == b"\x08\x01"
    assert refused("unary", lambda: health(b"bogus")).code() == grpc.StatusCode.NOT_FOUND
    for version in ("v1", "v1alpha"):
        name = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        ask = channel.stream_stream(name, octets, octets)
        # list_services, and file_containing_symbol.
        services, description = ask(iter([b"\x3a\x00", b"\x22\x0d" + b"nhrpd.v1.Show"]))
        for service in (b"frr.Northbound", b"nhrpd.v1.Show", b"nhrpd.v1.Exec", b"nhrpd.v1.Events"):
            assert service in services, services
        assert b"ShowRequest" in description, description


def check_logged(session, show, pb, path):
    """log commands: what is typed, by whom, mistakes included."""
    def said():
        with open(path, encoding="utf-8") as file:
            return [line.split("gRPC ", 1)[1].strip() for line in file if "gRPC (" in line]

    assert said() == [], said()
    session.run("show version", "configure terminal", "log commands", "interface gre1", "ip nhrp bogus")
    assert list(show.Run(pb.ShowRequest(line="show version")))
    session.run("configure terminal", "no log commands", "show version")
    who = f"(uid {os.getuid()}, pid {os.getpid()})"
    assert said() == [f"{who}{line}" for line in (
        "(config)# interface gre1", "(config-if)# ip nhrp bogus", "# show version", "# configure terminal",
        "(config)# no log commands",
    )], said()


def main():
    nhrpd, proto = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        make_stubs(proto, folder)
        make_stubs(os.path.join(os.path.dirname(proto), "frr-northbound.proto"), folder)
        import frr_northbound_pb2 as frr
        import frr_northbound_pb2_grpc as frr_rpc
        import nhrpd_v1_pb2 as pb
        import nhrpd_v1_pb2_grpc as rpc

        grpc_socket = os.path.join(folder, "grpc")
        daemon = start(nhrpd, folder, "--grpc-listen", "unix:" + grpc_socket, "--grpc-reflection",
                       "--log", "file:" + os.path.join(folder, "log"))
        try:
            options = [("grpc.default_authority", "localhost")]
            with grpc.insecure_channel("unix:" + grpc_socket, options=options) as channel:
                show, stub, northbound = rpc.ShowStub(channel), rpc.ExecStub(channel), frr_rpc.NorthboundStub(channel)
                session, vty = Session(stub, pb), Vty(os.path.join(folder, "nhrpd.vty"))
                assert {code for _, code in session.run(*SPOKE)} == {"SUCCESS"}
                check_show(show, session, pb, vty)
                check_exec(stub, session, lambda call: getattr(northbound, call)(getattr(frr, call + "Request")()),
                           pb, vty)
                check_logged(session, show, pb, os.path.join(folder, "log"))
                check_complete(stub, pb)
                check_many(show, pb)
                check_standard(channel)
                # It ends while calls are under way.
                calls = [stub.Run(pb.ExecRequest(lines=["show running-config"] * 1000)) for _ in range(20)]
                daemon.terminate()
                assert daemon.wait(10) == 0, daemon.returncode
                for call in calls:
                    call.cancel()
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
    print("every check held")


main()

"""A Python client of frr.Northbound, with stubs from the project's own description of the service: configures a spoke
and reads it back by the vty, as vtysh does.

    python3 client.py NHRPD PROTO

starts NHRPD in a folder of its own. Needs grpcio and grpcio-tools, root, and a network namespace that may be changed
(unshare -n). Exits 0 if every check held.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time

import grpc
from grpc_tools import protoc

GRE1 = "/frr-interface:lib/interface[name='gre1']"
NHRP = GRE1 + "/frr-nhrpd:nhrp"
SPOKE = {
    NHRP + "/tunnel/source": "eth0",
    NHRP + "/ipv4/network-id": "1",
    NHRP + "/ipv4/holdtime": "300",
    NHRP + "/ipv4/shortcut": "true",
    NHRP + "/ipv4/nhs[nbma='192.0.2.1']/protocol-address": "10.255.255.1",
    NHRP + "/ipv4/multicast[.='192.0.2.1']": "",
}
LINES = [
    "interface gre1",
    " tunnel source eth0",
    " ip nhrp network-id 1",
    " ip nhrp holdtime 300",
    " ip nhrp shortcut",
    " ip nhrp nhs 10.255.255.1 nbma 192.0.2.1",
    " ip nhrp map multicast 192.0.2.1",
    "exit",
]


class Vty:
    """The socket of vtysh: a request ends with NUL, an answer with three NULs and the return code."""

    def __init__(self, path):
        self.path, self.socket = path, socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)
        assert self.ask("enable")[1] == 0

    def ask(self, line):
        self.socket.sendall(line.encode() + b"\0")
        answer = b""
        while len(answer) < 4 or answer[-4:-1] != b"\0\0\0":
            part = self.socket.recv(65536)
            if not part:
                raise EOFError(line)
            answer += part
        return answer[:-4].decode(), answer[-1]


def until(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.05)
    raise TimeoutError(what)


def refused(code, call):
    try:
        list(call()) if code == "stream" else call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("was not refused")


def check(stub, pb, vty):
    capabilities = stub.GetCapabilities(pb.GetCapabilitiesRequest())
    names = [module.name for module in capabilities.supported_modules]
    assert names == [
        "frr-filter", "frr-host", "frr-interface", "frr-logging", "frr-nhrpd", "frr-vrf", "ietf-syslog-types",
    ], names
    assert list(capabilities.supported_encodings) == [pb.JSON, pb.XML]

    candidate = stub.CreateCandidate(pb.CreateCandidateRequest()).candidate_id
    stub.EditCandidate(pb.EditCandidateRequest(
        candidate_id=candidate,
        update=[pb.PathValue(path=path, value=value) for path, value in SPOKE.items()],
    ))
    assert "gre1" not in vty.ask("show running-config")[0]
    done = stub.Commit(pb.CommitRequest(candidate_id=candidate, phase=pb.CommitRequest.ALL, comment="a spoke"))
    assert done.transaction_id == 1
    running = vty.ask("show running-config")[0]
    assert "\n".join(LINES) in running, running

    # The other way round: what is typed is data.
    for line in ("configure terminal", "interface gre1", "ip nhrp holdtime 60", "end"):
        assert vty.ask(line)[1] == 0, line
    request = pb.GetRequest(type=pb.GetRequest.CONFIG, encoding=pb.JSON, path=[NHRP + "/ipv4/holdtime", GRE1])
    answers = list(stub.Get(request))
    assert [answer.data.encoding for answer in answers] == [pb.JSON, pb.JSON]
    whole, part = (json.loads(answer.data.data) for answer in answers)
    assert whole["frr-interface:lib"]["interface"][0]["frr-nhrpd:nhrp"]["ipv4"]["nhs"] == [
        {"nbma": "192.0.2.1", "protocol-address": "10.255.255.1"}
    ], whole
    assert part["frr-interface:lib"]["interface"][0]["frr-nhrpd:nhrp"] == {"ipv4": {"holdtime": 60}}, part

    # The candidate does not know; brought up to date it keeps what was typed, but for its own changes.
    stub.EditCandidate(pb.EditCandidateRequest(
        candidate_id=candidate, delete=[pb.PathValue(path=NHRP + "/ipv4/holdtime")],
    ))
    stub.UpdateCandidate(pb.UpdateCandidateRequest(candidate_id=candidate))
    nothing = refused("unary", lambda: stub.Commit(
        pb.CommitRequest(candidate_id=candidate, phase=pb.CommitRequest.ALL)))
    assert nothing.code() == grpc.StatusCode.ABORTED, nothing

    # State.
    request = pb.GetRequest(type=pb.GetRequest.STATE, encoding=pb.JSON, path=[NHRP + "/state", "/frr-nhrpd:nhrp/state"])
    statistics, known = (json.loads(answer.data.data) for answer in stub.Get(request))
    types = [row["type"] for row in statistics["frr-nhrpd:nhrp"]["state"]["statistics"]["packets"]]
    assert types[0] == "resolution-request" and len(types) == 8, types
    state = known["frr-interface:lib"]["interface"][0]["frr-nhrpd:nhrp"]["state"]
    assert state["registration"][0]["state"] == "stopped" and state["registration"][0]["reason"], state
    request = pb.GetRequest(type=pb.GetRequest.ALL, encoding=pb.XML, path=["/"])
    xml = next(iter(stub.Get(request))).data.data
    assert "<holdtime>60</holdtime>" in xml and "<registration>" in xml, xml

    # The lock keeps the command line out, and two phases do as well.
    stub.LockConfig(pb.LockConfigRequest())
    vty.ask("configure terminal")
    text, code = vty.ask("nhrp nflog-group 3")
    assert code == 13 and "locked by another client" in text, (text, code)
    # A file would be lost: vtysh asks until it may send it.
    file = Vty(vty.path)
    text, code = file.ask("conf term file-lock")
    assert code == 13 and "locked by another client" in text, (text, code)
    assert file.ask("XFRR_start_configuration")[1] != 0
    again = refused("unary", lambda: stub.LockConfig(pb.LockConfigRequest()))
    assert again.code() == grpc.StatusCode.FAILED_PRECONDITION, again
    stub.UnlockConfig(pb.UnlockConfigRequest())
    assert file.ask("conf term file-lock")[1] == 0
    assert file.ask("XFRR_start_configuration")[1] == 0
    assert Vty(vty.path).ask("configure terminal")[1] == 0
    assert file.ask("XFRR_end_configuration")[1] == 0
    assert vty.ask("nhrp nflog-group 3")[1] == 0
    second = stub.CreateCandidate(pb.CreateCandidateRequest()).candidate_id
    stub.LoadToCandidate(pb.LoadToCandidateRequest(
        candidate_id=second, type=pb.LoadToCandidateRequest.REPLACE,
        config=pb.DataTree(encoding=pb.JSON, data='{"frr-nhrpd:nhrp":{"multicast-nflog-group":2}}'),
    ))
    stub.Commit(pb.CommitRequest(candidate_id=second, phase=pb.CommitRequest.PREPARE))
    assert vty.ask("nhrp nflog-group 4")[1] == 13
    stub.Commit(pb.CommitRequest(candidate_id=second, phase=pb.CommitRequest.APPLY))
    assert vty.ask("nhrp nflog-group 4")[1] == 0
    vty.ask("end")
    running = vty.ask("show running-config")[0]
    assert "gre1" not in running and "nhrp multicast-nflog-group 2" in running, running

    # What is not valid leaves everything as it was.
    third = stub.CreateCandidate(pb.CreateCandidateRequest()).candidate_id
    stub.EditCandidate(pb.EditCandidateRequest(
        candidate_id=third, update=[pb.PathValue(path=NHRP + "/tunnel/protection/fallback-profile", value="x")],
    ))
    invalid = refused("unary", lambda: stub.Commit(
        pb.CommitRequest(candidate_id=third, phase=pb.CommitRequest.ALL)))
    assert invalid.code() == grpc.StatusCode.INVALID_ARGUMENT and "profile" in invalid.details(), invalid
    assert vty.ask("show running-config")[0] == running

    # Octets that libyang must not see, and paths that are nothing.
    for path, code in (("/frr-nhrpd:nhrp\0", "INVALID_ARGUMENT"), ("/x:y", "INVALID_ARGUMENT")):
        request = pb.GetRequest(type=pb.GetRequest.CONFIG, path=[path])
        error = refused("stream", lambda: stub.Get(request))
        assert error.code() == grpc.StatusCode[code], error
        error = refused("unary", lambda: stub.EditCandidate(pb.EditCandidateRequest(
            candidate_id=third, update=[pb.PathValue(path=path, value="\0")])))
        assert error.code() == grpc.StatusCode[code] and "Failed to update" in error.details(), error

    cleared = stub.Execute(pb.ExecuteRequest(path="/frr-nhrpd:clear-nhrp-cache"))
    assert [(pair.path, pair.value) for pair in cleared.output] == [("/frr-nhrpd:clear-nhrp-cache/cleared", "0")]

    listed = list(stub.ListTransactions(pb.ListTransactionsRequest()))
    # Who it was, the kernel has told the daemon.
    me = f"gRPC (uid {os.getuid()}, pid {os.getpid()})"
    assert [(t.id, t.client, t.comment) for t in listed] == [(1, me, "a spoke"), (2, me, "")], listed
    first = stub.GetTransaction(pb.GetTransactionRequest(transaction_id=1, encoding=pb.JSON)).config.data
    stub.LoadToCandidate(pb.LoadToCandidateRequest(
        candidate_id=second, type=pb.LoadToCandidateRequest.REPLACE,
        config=pb.DataTree(encoding=pb.JSON, data=first),
    ))
    stub.Commit(pb.CommitRequest(candidate_id=second, phase=pb.CommitRequest.ALL, comment="back"))
    assert "\n".join(LINES) in vty.ask("show running-config")[0]


def check_strangers(folder, path):
    """Who is neither root nor in the group is sent away, also where the mode of the socket lets everybody in."""
    os.chmod(folder, 0o755)
    os.chmod(path, 0o777)
    program = (
        "import socket, sys\n"
        "connection = socket.socket(socket.AF_UNIX)\n"
        "connection.settimeout(5)\n"
        "connection.connect(sys.argv[1])\n"
        "sys.exit(len(connection.recv(1)))\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, path], user=65534, group=65534, extra_groups=[], check=True)


def make_stubs(proto, folder):
    """Modules of a description, to be imported by its name."""
    protoc.main([
        "protoc", "-I" + os.path.dirname(proto), "--python_out=" + folder, "--grpc_python_out=" + folder, proto,
    ])
    if folder not in sys.path:
        sys.path.insert(0, folder)


def start(nhrpd, folder, *options):
    """The daemon, with all of its files in the folder; its vty listens."""
    open(os.path.join(folder, "nhrpd.conf"), "w", encoding="ascii").close()
    daemon = subprocess.Popen([
        nhrpd, "--vty_socket", folder, "-i", os.path.join(folder, "pid"), "-z", os.path.join(folder, "zebra"),
        "-f", os.path.join(folder, "nhrpd.conf"), "-u", "root", "-g", "root", "-P", "0", "--log", "stdout",
        "--vici-socket", os.path.join(folder, "vici"), "--zebra-release", "10.3", *options,
    ])
    vty_socket = os.path.join(folder, "nhrpd.vty")

    def answers():
        # It listens there before it does for gRPC, and answers after that.
        try:
            Vty(vty_socket).socket.close()
            return True
        except OSError:
            return daemon.poll() is not None

    try:
        until(answers, "an answer on the vty socket")
        assert daemon.poll() is None, "nhrpd has ended"
    except BaseException:
        daemon.kill()
        raise
    return daemon


def main():
    nhrpd, proto = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        make_stubs(proto, folder)
        import frr_northbound_pb2 as pb
        import frr_northbound_pb2_grpc as rpc

        grpc_socket, vty_socket = os.path.join(folder, "grpc"), os.path.join(folder, "nhrpd.vty")
        daemon = start(nhrpd, folder, "-M", "grpc", "--grpc-listen", "unix:" + grpc_socket)
        try:
            # Without this grpcio names the authority after the path, in a form that the server's HTTP/2 does not take.
            options = [("grpc.default_authority", "localhost")]
            with grpc.insecure_channel("unix:" + grpc_socket, options=options) as channel:
                check(rpc.NorthboundStub(channel), pb, Vty(vty_socket))
                check_strangers(folder, grpc_socket)
                # It ends while calls are under way.
                stub = rpc.NorthboundStub(channel)
                request = pb.GetRequest(type=pb.GetRequest.ALL, path=["/"] * 20)
                calls = [stub.Get(request) for _ in range(50)]
                daemon.terminate()
                assert daemon.wait(10) == 0, daemon.returncode
                for call in calls:
                    call.cancel()
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
    print("every check held")


if __name__ == "__main__":
    main()

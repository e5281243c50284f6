"""Clients of frr.Northbound that send too much, too deep, too long, half of it or nothing: each is refused with a reason, the
others are answered, memory is bounded, and the configuration is what it was.

    python3 hostile.py NHRPD PROTO

starts NHRPD in a folder of its own, as client.py does. Exits 0 if every check held.
"""

import os
import socket
import sys
import tempfile
import threading
import time

import grpc

from client import GRE1, NHRP, Vty, make_stubs, refused, start, until

OPTIONS = [
    ("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1),
]
MIB = 1 << 20
# Octets of the largest message that is taken.
LARGEST = 4 * MIB
CONNECTIONS, STREAMS = 256, 100


def peak(daemon):
    """The most memory that it ever had, kB."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def check_large(stub, pb, candidate):
    """A document of 100 MB, and one that is as long as can be and means nothing."""
    def load(text):
        stub.LoadToCandidate(pb.LoadToCandidateRequest(
            candidate_id=candidate, type=pb.LoadToCandidateRequest.REPLACE,
            config=pb.DataTree(encoding=pb.JSON, data=text)), timeout=60)

    error = refused("unary", lambda: load("x" * (100 * MIB)))
    assert error.code() in (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED), error
    assert str(LARGEST) in error.details(), error
    for text in ("x" * (LARGEST - 100), "[" * (LARGEST - 100), '{"a":' * 10000, "\0" * 1000,
                 '{"frr-interface:lib":{"interface":[{"name":"gre1\0"}]}}'):
        error = refused("unary", lambda: load(text))
        assert error.code() == grpc.StatusCode.INTERNAL, error
        assert error.details().startswith("Failed to parse the configuration: "), error
        assert len(error.details()) < 2000, len(error.details())


def check_paths(stub, pb, candidate):
    """Paths of 10,000 levels and of 1 MB, and with NUL octets, in every call that takes one."""
    for path in ("/a" * 10000, "/frr-interface:lib" * 10000, GRE1 + "[" * 10000, "/" + "x" * MIB, "(" * MIB,
                 NHRP + "/ipv4/nhs[nbma='" + "y" * MIB + "']", NHRP + "/ipv4\0", "\0"):
        value = [pb.PathValue(path=path, value="1")]
        for kind, call in (
            ("unary", lambda: stub.EditCandidate(
                pb.EditCandidateRequest(candidate_id=candidate, update=value), timeout=60)),
            ("unary", lambda: stub.EditCandidate(
                pb.EditCandidateRequest(candidate_id=candidate, delete=value), timeout=60)),
            ("stream", lambda: stub.Get(pb.GetRequest(path=[path]), timeout=60)),
            ("unary", lambda: stub.Execute(pb.ExecuteRequest(path=path), timeout=60)),
        ):
            error = refused(kind, call)
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, (path[:40], error)
            assert len(error.details()) < 2000, len(error.details())
    error = refused("unary", lambda: stub.EditCandidate(pb.EditCandidateRequest(
        candidate_id=candidate, update=[pb.PathValue(path=NHRP + "/tunnel/source", value="eth\0")])))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error


def check_half_open(where, pb, ask):
    """Calls that begin and say nothing more: a connection has so many, and the others are answered."""
    with grpc.insecure_channel(where, options=OPTIONS) as other:
        end = threading.Event()

        def nothing():
            end.wait()
            return
            yield

        call = other.stream_unary("/frr.Northbound/CreateCandidate")
        calls = [call.future(nothing()) for _ in range(STREAMS)]
        time.sleep(0.5)
        # One more does not get as far, and is not refused either: the client has it wait, as HTTP/2 says.
        late = other.unary_unary(
            "/frr.Northbound/GetCapabilities", pb.GetCapabilitiesRequest.SerializeToString)
        error = refused("unary", lambda: late(pb.GetCapabilitiesRequest(), timeout=1))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        ask()
        for half in calls:
            half.cancel()
        end.set()
        late(pb.GetCapabilitiesRequest(), timeout=20)


def check_connections(path, where, pb, rpc, ask, log):
    """More connections than may be, which say nothing: they do not stay, and who was there before is answered."""
    silent = []
    for number in range(CONNECTIONS + 50):
        # A crowd at once is given up before anyone has looked at who they are.
        if number % 64 == 0:
            time.sleep(0.2)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(path)
        silent.append(connection)
    ask()

    def logged():
        with open(log, encoding="utf-8") as file:
            text = file.read()
        return "is turned away: there are" in text and text

    text = until(logged, "a word about it")
    assert f"there are {CONNECTIONS} connections" in text, text
    began = time.monotonic()
    for connection in silent:
        try:
            # What the server says first, and then the end.
            while connection.recv(1000):
                pass
        except ConnectionResetError:
            pass
        connection.close()
    assert time.monotonic() - began < 15
    with grpc.insecure_channel(where, options=OPTIONS) as other:
        rpc.NorthboundStub(other).GetCapabilities(pb.GetCapabilitiesRequest(), timeout=10)


def main():
    nhrpd, proto = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        make_stubs(proto, folder)
        import frr_northbound_pb2 as pb
        import frr_northbound_pb2_grpc as rpc

        path, log = os.path.join(folder, "grpc"), os.path.join(folder, "log")
        where = "unix:" + path
        daemon = start(nhrpd, folder, "--grpc-listen", where, "--log", "file:" + log)
        try:
            vty = Vty(os.path.join(folder, "nhrpd.vty"))
            for line in ("configure terminal", "interface gre1", "ip nhrp network-id 1", "end"):
                assert vty.ask(line)[1] == 0, line
            before = vty.ask("show running-config")[0]
            with grpc.insecure_channel(where, options=OPTIONS) as channel:
                stub = rpc.NorthboundStub(channel)
                candidate = stub.CreateCandidate(pb.CreateCandidateRequest()).candidate_id

                def ask():
                    stub.GetCapabilities(pb.GetCapabilitiesRequest(), timeout=5)

                first = peak(daemon)
                check_large(stub, pb, candidate)
                check_paths(stub, pb, candidate)
                check_half_open(where, pb, ask)
                check_connections(path, where, pb, rpc, ask, log)
                grown = peak(daemon) - first
                # A message or two, as octets and as text, and what libyang makes of them.
                assert grown < 64 * 1024, grown
                # Nothing of all that is in the candidate, either.
                error = refused("unary", lambda: stub.Commit(
                    pb.CommitRequest(candidate_id=candidate, phase=pb.CommitRequest.ALL)))
                assert error.code() == grpc.StatusCode.ABORTED, error
            assert vty.ask("show running-config")[0] == before
            daemon.terminate()
            assert daemon.wait(10) == 0, daemon.returncode
            with open(log, encoding="utf-8") as file:
                assert "panicked" not in file.read()
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
    print(f"every check held; memory has grown by {grown} kB")


main()

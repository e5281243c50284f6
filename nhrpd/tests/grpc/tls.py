"""gRPC by TLS: who has a certificate of the authority configures, nobody else does, and nobody holds others up.

    python3 tls.py NHRPD PROTO FOLDER

FOLDER has ca.crt and, as NAME.crt and NAME.key, hub1 and operator, signed by it, and stranger, signed by other-ca.crt.
Needs what client.py needs. Exits 0 if every check held.
"""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import grpc

from client import make_stubs, refused, start, until

PORT = 50051
NFLOG = "/frr-nhrpd:nhrp/multicast-nflog-group"


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def channel(files, name=None):
    """With the certificate of that name, if any."""
    pair = [read(files, name + end) for end in (".key", ".crt")] if name else [None, None]
    credentials = grpc.ssl_channel_credentials(read(files, "ca.crt"), *pair)
    return grpc.secure_channel(f"localhost:{PORT}", credentials)


def refuses(nhrpd, folder, words, *options):
    """The daemon ends at once and says why."""
    arguments = [
        nhrpd, "--vty_socket", folder, "-i", os.path.join(folder, "pid"), "-z", os.path.join(folder, "zebra"),
        "-u", "root", "-g", "root", "-P", "0", "--zebra-release", "10.3",
    ]
    ended = subprocess.run(arguments + list(options), capture_output=True, timeout=20, text=True)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1, (options, ended)
    for word in words:
        assert word in ended.stderr, (word, ended.stderr)


def check_refusals(nhrpd, folder, files):
    cert, key, ca = ("--grpc-tls-" + option for option in ("cert", "key", "ca"))
    hub = [cert, os.path.join(files, "hub1.crt"), key, os.path.join(files, "hub1.key")]
    everywhere = ["--grpc-listen", "0.0.0.0"]
    refuses(nhrpd, folder, [ca, "--grpc-insecure"], *everywhere)
    refuses(nhrpd, folder, [ca, "--grpc-insecure"], *everywhere, *hub)
    refuses(nhrpd, folder, [key], "-M", "grpc", *hub[:2])
    refuses(nhrpd, folder, [cert], "-M", "grpc", *hub[2:])
    refuses(nhrpd, folder, ["-M grpc"], *hub)
    refuses(nhrpd, folder, ["unix"], "--grpc-listen", "unix:" + os.path.join(folder, "s"), *hub)
    refuses(nhrpd, folder, ["nowhere.crt", "No such file"], "-M", "grpc", cert, "/nowhere.crt", *hub[2:])
    refuses(nhrpd, folder, ["hub1.key", "PEM"], "-M", "grpc", cert, hub[3], *hub[2:])
    refuses(nhrpd, folder, ["operator.key", "hub1.crt", "fit"], "-M", "grpc", *hub[:2], key,
            os.path.join(files, "operator.key"))
    refuses(nhrpd, folder, [ca, "hub1.key"], "-M", "grpc", *hub, ca, hub[3])


def commit(stub, pb, group):
    candidate = stub.CreateCandidate(pb.CreateCandidateRequest()).candidate_id
    stub.EditCandidate(pb.EditCandidateRequest(
        candidate_id=candidate, update=[pb.PathValue(path=NFLOG, value=str(group))]))
    return stub.Commit(pb.CommitRequest(candidate_id=candidate, phase=pb.CommitRequest.ALL))


def check(files, pb, rpc):
    with channel(files, "operator") as known:
        stub = rpc.NorthboundStub(known)
        assert commit(stub, pb, 7).transaction_id == 1
        listed = list(stub.ListTransactions(pb.ListTransactionsRequest()))
        assert [t.client.rsplit(":", 1)[0] for t in listed] == ["gRPC (CN=operator, from 127.0.0.1"], listed

    # No certificate, one of somebody else's, and no TLS.
    for other in (channel(files), channel(files, "stranger"), grpc.insecure_channel(f"localhost:{PORT}")):
        with other:
            stub = rpc.NorthboundStub(other)
            error = refused("unary", lambda: stub.CreateCandidate(pb.CreateCandidateRequest(), timeout=10))
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error

    # Hundreds that begin a handshake and say nothing more, and one that says nonsense.
    silent = []
    for _ in range(300):
        connection = socket.create_connection(("127.0.0.1", PORT))
        connection.sendall(b"\x16\x03\x01")
        silent.append(connection)
    silent[0].sendall(b"nonsense" * 100)
    began = time.monotonic()
    with channel(files, "operator") as known:
        assert commit(rpc.NorthboundStub(known), pb, 8).transaction_id == 2
    took = time.monotonic() - began
    assert took < 3, took
    # They are not kept for ever.
    for connection in silent:
        connection.settimeout(15)
        try:
            while connection.recv(100):
                pass
        except ConnectionResetError:
            pass
        connection.close()


def check_renewal(daemon, files, used, log, pb, rpc):
    """SIGHUP: other files are used if they can be, and nothing that is under way ends."""
    def put(name, as_name):
        shutil.copy(os.path.join(files, name), os.path.join(used, as_name))

    def said(words):
        with open(log, encoding="utf-8") as file:
            return sum(words in line for line in file)

    def renew(words):
        before = said(words)
        daemon.send_signal(signal.SIGHUP)
        until(lambda: said(words) > before, words)
        assert said(words) == before + 1

    def shown():
        return ssl.get_server_certificate(("127.0.0.1", PORT), timeout=10)

    def may(name):
        with channel(files, name) as other:
            try:
                rpc.NorthboundStub(other).CreateCandidate(pb.CreateCandidateRequest(), timeout=10)
                return True
            except grpc.RpcError:
                return False

    old, new = (read(files, name).decode() for name in ("hub1.crt", "operator.crt"))
    before = channel(files, "operator")
    stub = rpc.NorthboundStub(before)
    assert stub.CreateCandidate(pb.CreateCandidateRequest(), timeout=10).candidate_id
    # Half of a renewal, nonsense, and nothing: each is named, once, and changes nothing.
    put("operator.crt", "hub1.crt")
    renew("hub1.key: the key does not fit the certificate in")
    with open(os.path.join(used, "hub1.crt"), "w", encoding="ascii") as file:
        file.write("nonsense")
    renew("hub1.crt: no certificate in PEM form")
    os.remove(os.path.join(used, "hub1.crt"))
    renew("hub1.crt: cannot read it")
    assert shown().strip() == old.strip() and may("operator") and not may("stranger")
    # The whole of it, and then another authority.
    put("operator.crt", "hub1.crt")
    put("operator.key", "hub1.key")
    renew("have been read anew")
    assert shown().strip() == new.strip() and may("operator")
    put("other-ca.crt", "ca.crt")
    renew("have been read anew")
    assert may("stranger") and not may("operator")
    # Who had a connection has it still.
    assert stub.CreateCandidate(pb.CreateCandidateRequest(), timeout=10).candidate_id
    before.close()


def main():
    nhrpd, proto, files = sys.argv[1:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        make_stubs(proto, folder)
        import frr_northbound_pb2 as pb
        import frr_northbound_pb2_grpc as rpc

        check_refusals(nhrpd, folder, files)
        used, log = os.path.join(folder, "used"), os.path.join(folder, "log")
        shutil.copytree(files, used)
        tls = [f"--grpc-tls-{option}={os.path.join(used, file)}" for option, file in (
            ("cert", "hub1.crt"), ("key", "hub1.key"), ("ca", "ca.crt"))]
        daemon = start(nhrpd, folder, "--grpc-listen", f"0.0.0.0:{PORT}", *tls, "--log", "file:" + log)
        try:
            check(files, pb, rpc)
            check_renewal(daemon, files, used, log, pb, rpc)
            daemon.terminate()
            assert daemon.wait(10) == 0, daemon.returncode
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
    print("every check held")


main()

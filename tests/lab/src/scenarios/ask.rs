//! Asks nhrpd's vty socket itself, for what vtysh would answer or refuse on its own.

use crate::failure::{Context, Result, ensure};
use crate::net::Node;

/// Sends `enable` and lines; prints the return code of the last one, a blank and the text.
const ASK: &str = "
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
for line in ['enable', *sys.argv[2:]]:
    s.sendall(line.encode() + b'\\0')
    answer = b''
    while answer[-4:-1] != bytes(3):
        answer += s.recv(65536)
sys.stdout.buffer.write(str(answer[-1]).encode() + b' ' + answer[:-4])
";

/// The return code and the text of the answer to `line`, sent in enable mode.
pub(super) fn ask(node: &Node, socket: &str, line: &str) -> Result<(u8, String)> {
    ask_all(node, socket, &[line])
}

/// The same for several lines in one session: the answer to the last one.
pub(super) fn ask_all(node: &Node, socket: &str, lines: &[&str]) -> Result<(u8, String)> {
    let command = [&["python3", "-c", ASK, socket], lines].concat();
    let output = node.run(&command)?;
    ensure!(output.status == 0, "asking {socket} for {lines:?}: {}", output.stderr);
    let (code, text) = output.stdout.split_once(' ').context(|| format!("no answer to {lines:?}"))?;
    let code = code.parse().context(|| format!("return code {code:?}"))?;
    Ok((code, text.to_owned()))
}

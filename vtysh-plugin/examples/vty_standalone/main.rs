//! `vty_standalone SOCKET [VERSION]`: answers vtysh on SOCKET as the nhrpd of that FRR release, with a real
//! configuration and made-up tables, and locked while there is a file SOCKET.lock. Ends with SIGTERM.

mod handler;

use std::path::Path;

use handler::Standalone;
use tokio::sync::mpsc;
use vtysh_plugin::{Handler, VtyServer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next() else {
        return Err(std::io::Error::other("usage: vty_standalone SOCKET [VERSION]"));
    };
    let mut handler = Standalone::new(&arguments.next().unwrap_or_else(|| "10.3".to_owned()));
    handler.lock = Some(format!("{path}.lock").into());
    let server = VtyServer::bind(Path::new(&path), None)?;
    let (sender, mut requests) = mpsc::channel(16);
    let server = tokio::spawn(server.run(sender));
    while let Some(request) = requests.recv().await {
        let reply = handler.execute(request.command);
        // Nobody waits any more if the client has gone.
        let _ = request.reply.send(reply);
    }
    server.await?
}

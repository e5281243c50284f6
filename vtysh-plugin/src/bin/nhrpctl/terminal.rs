//! The prompt: keys go to the daemon as they are typed, and what it answers is shown. Owns the mode of the local
//! terminal, which is put back whatever happens.

use std::io::{Read, Write};
use std::net::Shutdown;

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::client::Client;

/// The terminal in raw mode until this goes.
struct Raw(Termios);

impl Raw {
    fn begin() -> Result<Self, String> {
        let before =
            tcgetattr(std::io::stdin()).map_err(|e| format!("cannot read the terminal's mode: {e}"))?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(std::io::stdin(), SetArg::TCSANOW, &raw)
            .map_err(|e| format!("cannot set the terminal's mode: {e}"))?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// Until the user leaves, or the daemon does.
pub(crate) fn run(client: Client) -> Result<(), String> {
    let mut stream = client.into_terminal()?;
    let mut keys = stream.try_clone().map_err(|e| format!("cannot use the connection twice: {e}"))?;
    let raw = Raw::begin()?;
    // It waits for a key, and ends with the program.
    std::thread::spawn(move || {
        let (mut input, mut buffer) = (std::io::stdin(), [0; 256]);
        while let Ok(count @ 1..) = input.read(&mut buffer) {
            if keys.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
                return;
            }
        }
        // The user's terminal is gone.
        let _ = keys.shutdown(Shutdown::Both);
    });
    let mut buffer = [0; 65536];
    let mut out = std::io::stdout().lock();
    let ended = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                let text = buffer.get(..count).unwrap_or_default();
                if out.write_all(text).and_then(|()| out.flush()).is_err() {
                    break Ok(());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => break Err(format!("the connection is lost: {error}")),
        }
    };
    drop(raw);
    ended
}

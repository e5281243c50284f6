//! In place of the northbound, where it was not built in: nothing, and an error for who wants it.

use std::convert::Infallible;

use tokio::sync::{mpsc, watch};
use vtysh_plugin::TerminalSettings;

use crate::daemon::Daemon;
use crate::options::Grpc;

/// There is none.
pub(crate) type Request = Infallible;

/// There is none.
pub(crate) type Northbound = Infallible;

/// There are none.
pub(crate) type Followers = ();

pub(crate) fn start(
    grpc: Option<&Grpc>,
    _version: &str,
    _group: Option<u32>,
) -> Result<Option<(Northbound, mpsc::Receiver<Request>)>, String> {
    match grpc {
        None => Ok(None),
        Some(_) => Err("this nhrpd was built without gRPC; build it with 'cargo build --release -p nhrpd --features grpc' (needs cmake and libpcre2-dev)".to_owned()),
    }
}

pub(crate) fn go_by(northbound: &Northbound, _settings: watch::Receiver<TerminalSettings>) {
    match *northbound {}
}

impl Daemon {
    pub(crate) fn on_northbound(&mut self, request: Request) {
        match request {}
    }

    pub(crate) fn tell_followers(&mut self) {
        let () = self.followers;
    }

    pub(crate) fn follow_ipsec(&mut self, _event: &nhrp_vici::Event) {}
}

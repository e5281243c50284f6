//! In place of the client of gRPC, where it was not built in.

use crate::data::{Data, Place};

/// Says how to get one.
pub(crate) fn run(_: &Place, _: &Data) -> Result<bool, String> {
    Err("this nhrpctl was built without gRPC; build it with 'cargo build --release -p vtysh-plugin --features grpc'"
        .to_owned())
}

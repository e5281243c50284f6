//! FRR's northbound: candidates, two-phase commits, transactions, the lock, and `frr.Northbound`, the gRPC service
//! by which FRR's tools speak to its daemons.
//!
//! Two halves. [`Datastores`] is the behaviour: no socket, no task, no clock of its own, one call after the other, so
//! that tests need no daemon. The other, of feature `grpc`, is the transport: `serve`, and `Job` between the two. What
//! is configured and known is a [`Device`]'s, which the daemon implements; nothing here knows the protocol engine.
//!
//! Beside it `nhrpd.v1`, which needs no datastores: its calls go to the daemon's loop, an `EventLoop`.

#[cfg(feature = "grpc")]
mod accept;
#[cfg(feature = "datastores")]
mod candidate;
#[cfg(feature = "grpc")]
mod compare;
#[cfg(feature = "grpc")]
mod credentials;
#[cfg(feature = "datastores")]
mod datastores;
#[cfg(feature = "datastores")]
mod device;
#[cfg(feature = "datastores")]
mod fault;
#[cfg(feature = "grpc")]
mod gets;
#[cfg(feature = "datastores")]
mod history;
#[cfg(feature = "grpc")]
mod job;
#[cfg(feature = "grpc")]
mod server;
#[cfg(feature = "grpc")]
mod service;
#[cfg(feature = "grpc")]
mod subject;
#[cfg(feature = "grpc")]
mod tls;
#[cfg(feature = "grpc")]
mod v1;

#[cfg(feature = "grpc")]
pub use credentials::Caller;
#[cfg(feature = "datastores")]
pub use datastores::{Datastores, Limits, Phase, What};
#[cfg(feature = "datastores")]
pub use device::{Device, Gone, Refusal};
#[cfg(feature = "datastores")]
pub use fault::{Code, Fault};
#[cfg(feature = "datastores")]
pub use history::Transaction;
#[cfg(feature = "grpc")]
pub use job::{AnyDevice, Job, Stores};
#[cfg(feature = "grpc")]
pub use server::{DEFAULT_PORT, Listener, Server, serve};
#[cfg(feature = "grpc")]
pub use tls::{Tls, TlsProblem};
#[cfg(feature = "grpc")]
pub use v1::{EventLoop, Filter, Followers, Handing, Operation, Row, Subscribe};

/// What the description of FRR's service was turned into.
#[cfg(feature = "grpc")]
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated from the description, which has the words"
)]
pub mod proto {
    tonic::include_proto!("frr");
}

/// What the description of our own services was turned into.
#[cfg(feature = "grpc")]
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::large_enum_variant,
    clippy::allow_attributes,
    reason = "generated from the description, which has the words"
)]
pub mod proto_v1 {
    tonic::include_proto!("nhrpd.v1");
}

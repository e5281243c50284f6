//! What nhrpd says to the Linux kernel. Owns sockets and the bytes on them; never decides anything about NHRP.
//!
//! Seven facilities: [`packet_socket`] (NHRP itself, ethertype 0x2001), [`replicator`] (copies of multicast packets),
//! [`nflog`] (packets that the firewall points at), [`neighbour`] (overlay address to NBMA address), [`sysctl`],
//! [`link`] and [`guard`] (no GRE in clear where IPsec is configured). None knows another, but that the two packet sockets name addresses alike. No facility starts a task.
//! Whatever can be awaited is cancel-safe, so that it can be a branch of one `select!`: a future that is dropped has
//! either done nothing or left its result for the next call.
//!
//! This is the only crate of the project with `unsafe`: system calls that no safe wrapper offers.

pub mod guard;
pub mod link;
mod mmsg;
pub mod neighbour;
mod netlink;
pub mod nflog;
pub mod packet_socket;
pub mod replicator;
mod sockopt;
pub mod sysctl;

//! Networks of namespaces: nodes, links between them, and what is run in them.

mod node;
mod process;
mod wait;

pub(crate) use node::{Network, Node};
pub(crate) use process::Process;
pub(crate) use wait::{be_patient, wait_until};

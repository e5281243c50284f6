//! The way of one data packet.

use nhrp_engine::Instant;

use crate::network::NodeId;

/// Nodes that a data packet passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// When it was sent.
    pub at: Instant,
    /// Nodes in order, beginning with the sender.
    pub nodes: Vec<NodeId>,
    /// Why it did not arrive.
    pub lost: Option<String>,
}

impl Trace {
    /// It reached its destination.
    #[must_use]
    pub fn delivered(&self) -> bool {
        self.lost.is_none()
    }

    /// It reached its destination over one tunnel hop.
    #[must_use]
    pub fn direct(&self) -> bool {
        self.delivered() && self.nodes.len() == 2
    }
}

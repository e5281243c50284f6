//! How the engine's outputs are carried out: sorted to zebra, kernel, charon and the others, and handed over at the end of a
//! turn.
//!
//! Owns the sorting and its order. What comes back is [`super::inputs`]'s.

use nhrp_engine::{Level, Output};
use nhrp_zapi::Request;

use super::{Daemon, SETTLE};
use crate::zebra;

impl Daemon {
    /// A zebra that has just started knows nothing of ours.
    pub(super) fn tell_zebra_all(&mut self) {
        let running: Vec<u32> = self.engine.running_interfaces().map(|(ifindex, ..)| ifindex).collect();
        for ifindex in running {
            self.clear_noarp(ifindex);
        }
        for request in self.zebra_side.everything(self.zebra.table(), &self.engine) {
            self.zebra.send(request);
        }
        self.settle_at = Some(tokio::time::Instant::now() + SETTLE);
    }

    pub(super) fn announce_routes(&mut self) {
        for route in self.engine.routes() {
            self.zebra.send(self.zebra_side.route_request(&route, &self.engine));
        }
    }

    /// Where zebra cannot do it.
    pub(super) fn clear_noarp(&mut self, ifindex: u32) {
        if !self.zebra.table().is_some_and(nhrp_zapi::ReleaseTable::has_set_arp)
            && let Err(error) = self.sockets.links.clear_noarp(ifindex)
        {
            tracing::warn!(target: "nhrp::kernel", "cannot make the kernel resolve neighbours on interface {ifindex}: {error}");
        }
    }

    /// Sorts the engine's outputs to those who carry them out. Nothing here waits.
    pub(super) fn collect(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            if let Some(request) = self.zebra_side.request(&output, &self.engine, self.own_neighbours) {
                self.zebra.send(request);
                continue;
            }
            match output {
                Output::Send { ifindex, destination, octets } => {
                    self.kernel.queue_packet(ifindex, destination, octets);
                }
                order @ Output::Replicate { .. } => self.multicast.replicate(order),
                Output::NeighbourSet(neighbour) if self.own_neighbours => self.kernel.queue_set(&neighbour),
                Output::NeighbourDelete { ifindex, protocol } => {
                    self.kernel.queue_delete(ifindex, protocol);
                }
                Output::NeighbourUnreachable { ifindex, protocol } if self.own_neighbours => {
                    self.kernel.queue_refusal(ifindex, protocol);
                }
                // zebra's, see above; the last two are what zebra has no message for: neighbours with NBMA addresses
                // of IPv6, and refusals, which the kernel makes by itself after a second.
                Output::RouteAdd(_)
                | Output::RouteDelete { .. }
                | Output::QueryGre { .. }
                | Output::NeighbourSet(_)
                | Output::NeighbourUnreachable { .. } => {}
                Output::Enable { ifindex, name, afi } => {
                    self.kernel.enable(&name);
                    self.clear_noarp(ifindex);
                    for request in zebra::arp_requests(self.zebra.table(), ifindex, afi) {
                        self.zebra.send(request);
                    }
                    if self.own_neighbours {
                        self.to_adopt.push(ifindex);
                    }
                }
                Output::BindGre { ifindex, link } => {
                    if let Err(error) = self.sockets.links.bind_gre(ifindex, link) {
                        tracing::warn!(
                            target: "nhrp::interface",
                            "cannot bind tunnel {ifindex} to interface {link}: {error}; \
                             create it with 'dev' instead of 'tunnel source'"
                        );
                    }
                    self.zebra.send(Request::GreGet { ifindex });
                }
                Output::Guard { name, local } => {
                    if let Some(answer) = self.ipsec.guard(name, local) {
                        self.feed(answer);
                    }
                    self.ipsec.tidy(&self.applied);
                }
                Output::Protect { local, remote, protection, eager } => {
                    self.ipsec.want(local, remote, protection, eager);
                }
                Output::Unprotect { local, remote, terminate } => {
                    self.ipsec.release(local, remote, terminate);
                }
                Output::Authorise(question) => {
                    if let Some(loss) = self.events.ask(&question) {
                        self.say("event socket slow", Level::Warning, "event", &loss);
                    }
                }
                Output::Resolve { token, name } => self.resolver.start(token, name),
                Output::Cleared { count } => self.cleared = count,
                Output::Notice(notice) => self.tell(&notice),
            }
        }
    }

    /// Hands over what was collected, and does what needs a look into the kernel.
    pub(super) async fn carry_out(&mut self) {
        for ifindex in std::mem::take(&mut self.to_adopt) {
            let inputs = self.kernel.adopt(&mut self.sockets.neighbours, ifindex, &self.engine).await;
            for input in inputs {
                self.feed(input);
            }
        }
        self.tell_followers();
        self.kernel.flush(&mut self.sockets, |octets| self.engine.reuse(octets));
        // What is still to be written is no difference.
        if !self.kernel.is_behind() && std::mem::take(&mut self.compare_now) {
            self.kernel.compare(&mut self.sockets.neighbours, &self.engine).await;
            self.kernel.flush(&mut self.sockets, |octets| self.engine.reuse(octets));
        }
        self.zebra.flush();
    }
}

//! How what comes from outside becomes inputs of the engine: packets, flows, multicast, neighbours, zebra's and charon's
//! events.
//!
//! Owns the translation, and how much of one kind is taken in one turn. What the engine answers is [`super::outputs`]'s.

use std::time::Duration;

use nhrp_engine::{Input, Level};
use nhrp_kernel::neighbour::NeighbourEvent;
use nhrp_kernel::nflog::NflogPacket;
use nhrp_kernel::packet_socket::RecvBatch;
use nhrp_zapi::Event;

use super::Daemon;
use crate::event_socket::News;
use crate::kernel;
use crate::multicast::Happened;
use crate::zebra::Reaction;

/// So many packets at once are a crowd's, and more are looked for at the end of the same turn, for so long.
const CROWD: usize = 8;
const BURST: Duration = Duration::from_millis(5);

impl Daemon {
    /// A turn with all that it looks at costs as much as several packets. When many peers are at it, those that came in
    /// meanwhile are taken in the same one, up to a limit: everybody else has to wait for the turn's end.
    pub(super) async fn on_burst(&mut self, received: std::io::Result<usize>, batch: &mut RecvBatch) {
        let mut came = received.as_ref().copied().unwrap_or_default();
        self.on_packets(received, batch);
        let until = tokio::time::Instant::now() + BURST;
        while came >= CROWD && tokio::time::Instant::now() < until {
            self.carry_out().await;
            match self.sockets.packets.try_recv(batch) {
                Ok(None) => return,
                Ok(Some(more)) => {
                    came = more;
                    self.on_packets(Ok(more), batch);
                }
                Err(error) => return self.on_packets(Err(error), batch),
            }
        }
    }

    pub(super) fn on_packets(&mut self, received: std::io::Result<usize>, batch: &RecvBatch) {
        if let Err(error) = received {
            self.say(
                "packet socket",
                Level::Warning,
                "kernel",
                format_args!("cannot receive NHRP packets: {error}"),
            );
            return;
        }
        let now = self.now();
        for packet in batch.packets() {
            let (ifindex, source) = (packet.ifindex, packet.source);
            let mut octets = self.engine.buffer();
            octets.extend_from_slice(packet.octets);
            self.engine.handle(now, Input::Packet { ifindex, source, octets });
        }
        self.collect();
        if batch.is_full()
            && let Some(loss) = self.kernel.loss(&mut self.sockets)
        {
            self.say("packets lost", Level::Warning, "kernel", &loss);
        }
    }

    pub(super) fn on_event_socket(&mut self, news: News) {
        match news {
            News::Answer { event, accepted } => self.feed(Input::Authorised { event, accepted }),
            // FRR's words.
            News::Connected => tracing::info!(target: "nhrp::event", "Connected to Event Manager"),
            News::Unreachable(problem) => tracing::warn!(target: "nhrp::event", "{problem}"),
            News::Lost(problem) => self.say("event socket lost", Level::Warning, "event", &problem),
        }
    }

    pub(super) fn on_flows(&mut self, received: std::io::Result<()>, flows: &mut Vec<NflogPacket>) {
        if let Err(error) = received {
            self.say("nflog", Level::Warning, "kernel", format_args!("cannot receive from NFLOG: {error}"));
        }
        let now = self.now();
        for flow in flows.drain(..) {
            if let Some(ifindex) = flow.in_ifindex {
                self.engine.handle(now, Input::Flow { ifindex, octets: flow.payload });
            }
        }
        self.collect();
    }

    pub(super) fn on_multicast(&mut self, happened: Happened) {
        match happened {
            Happened::Logged => {
                let now = self.now();
                for (ifindex, octets) in self.multicast.logged() {
                    self.engine.handle(now, Input::Multicast { ifindex, octets });
                }
                self.collect();
                if let Some(loss) = self.multicast.loss() {
                    self.say("multicast lost", Level::Warning, "kernel", &loss);
                }
            }
            Happened::Sent(None) => {}
            Happened::Sent(Some(error)) => {
                let text = format!("a copy of a multicast packet was not sent: {error}");
                self.say("multicast copies", Level::Warning, "kernel", &text);
            }
            Happened::Broken(error) => {
                let text = format!("cannot receive from the multicast NFLOG group: {error}");
                self.say("multicast nflog", Level::Warning, "kernel", &text);
            }
        }
    }

    pub(super) fn on_ipsec(&mut self, event: nhrp_vici::Event) {
        self.follow_ipsec(&event);
        match event {
            nhrp_vici::Event::Up { pair, identity } => {
                self.feed(Input::Protected { local: pair.local, remote: pair.remote, identity });
            }
            nhrp_vici::Event::Down { pair } => {
                self.feed(Input::Unprotected { local: pair.local, remote: pair.remote });
            }
            nhrp_vici::Event::Remade { pair } => {
                self.feed(Input::Reprotected { local: pair.local, remote: pair.remote });
            }
            nhrp_vici::Event::Notice { warning, kind, text } => {
                let level = if warning { Level::Warning } else { Level::Info };
                self.say(kind, level, "vici", text);
            }
        }
    }

    pub(super) fn on_neighbour(&mut self, event: std::io::Result<NeighbourEvent>) {
        match event {
            Ok(NeighbourEvent::Overrun) => {
                tracing::warn!(target: "nhrp::kernel", "neighbour events were lost; comparing the whole table");
                self.compare_now = true;
            }
            Ok(event) => {
                if let Some(input) = kernel::neighbour_input(&self.engine, &event) {
                    self.feed(input);
                }
            }
            Err(error) => {
                self.say(
                    "neighbours",
                    Level::Warning,
                    "kernel",
                    format_args!("cannot watch neighbours: {error}"),
                );
                self.compare_now = true;
            }
        }
    }

    pub(super) fn on_zebra(&mut self, event: Event) {
        if let Event::Connected { running: Some(running), .. } = &event {
            self.frr.follow(running);
            self.tell_terminals();
        }
        let mut inputs = Vec::new();
        let reaction = self.zebra_side.translate(event, &self.engine, self.own_neighbours, &mut inputs);
        let now = self.now();
        for input in inputs {
            self.engine.handle(now, input);
        }
        self.collect();
        match reaction {
            Reaction::Nothing => {}
            Reaction::TellAll => self.tell_zebra_all(),
            Reaction::TellRoutes => self.announce_routes(),
        }
    }
}

//! Counters since the start: plain integers that the daemon reads.

use nhrp_wire::PacketType;
use serde::Serialize;

/// What happened how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Packets received, by type number minus one.
    pub packets_received: [u64; 8],
    /// Packets sent, by type number minus one.
    pub packets_sent: [u64; 8],
    /// Packets that could not be decoded (also counted as refused).
    pub packets_malformed: u64,
    /// Packets that were not handled: malformed, for an interface without NHRP, without password …
    pub packets_refused: u64,
    /// Packets without the interface's password.
    pub authentication_failures: u64,
    /// Packets for an address to which there is no way.
    pub packets_unreachable: u64,
    /// Packets sent on as transit NHS.
    pub forwarded: u64,
    /// Packets that had no hop left.
    pub hop_count_exceeded: u64,
    /// Packets that came back to us.
    pub loops_detected: u64,
    /// Packets that were too long to be written.
    pub encode_errors: u64,
    /// Registration requests answered.
    pub registrations_served: u64,
    /// Entries of registration requests refused, because another station has the address as its own.
    pub registrations_contested: u64,
    /// Entries of registration requests refused, because the client's identity may not have the address.
    pub registrations_of_others: u64,
    /// Questions to a registered station whether it is still there.
    pub holders_asked: u64,
    /// Own registrations accepted by an NHS.
    pub registrations_accepted: u64,
    /// Resolution requests answered.
    pub resolutions_served: u64,
    /// Own resolution requests answered.
    pub resolutions_answered: u64,
    /// Own resolution requests answered with a refusal.
    pub resolutions_refused: u64,
    /// Own resolution requests given up.
    pub resolutions_unanswered: u64,
    /// Resolution requests refused (no `shortcut`, too short a route, no way to the target), or without a way back.
    pub requests_not_answered: u64,
    /// Replies to nothing that was asked.
    pub replies_unexpected: u64,
    /// Replies from somebody who was not asked.
    pub replies_from_stranger: u64,
    /// Traffic indications sent.
    pub indications_sent: u64,
    /// Traffic indications not sent, because the same was sent a moment ago.
    pub indications_suppressed: u64,
    /// Traffic indications received.
    pub indications_received: u64,
    /// Those not acted on: about a packet that came out of the NBMA network here, too, or of an unknown kind.
    pub indications_passed_over: u64,
    /// Error indications sent.
    pub errors_sent: u64,
    /// Error indications not sent because of their rate.
    pub errors_suppressed: u64,
    /// Error indications received.
    pub errors_received: u64,
    /// Purge requests sent, repetitions apart.
    pub purges_sent: u64,
    /// Purge requests that were acknowledged.
    pub purges_acknowledged: u64,
    /// Purge requests given up: FRR's nhrpd answers none.
    pub purges_unanswered: u64,
    /// Purge requests followed.
    pub purges_served: u64,
    /// Purge requests about what is not their sender's.
    pub purges_refused: u64,
    /// Bindings and shortcuts removed because a purge request said so.
    pub purged: u64,
    /// Multicast packets handed out to be replicated.
    pub multicast_packets: u64,
    /// Copies of them asked for.
    pub multicast_copies: u64,
    /// Multicast packets that nobody was to get at the time.
    pub multicast_without_receiver: u64,
    /// Packets that the firewall handed over for replication and that were not: unicast, cut short, for an interface
    /// without NHRP or without a line `map multicast`.
    pub multicast_refused: u64,
    /// Neighbour entries that the kernel had lost.
    pub neighbours_repaired: u64,
    /// Unknown next hops that the kernel asked for and that became requests.
    pub next_hops_wanted: u64,
    /// Next hops that could not be resolved.
    pub next_hops_unresolvable: u64,
    /// Questions of the kernel about a next hop that is known to be unresolvable.
    pub next_hops_negative: u64,
    /// Peers of shortcuts given up because there was no route to their NBMA address.
    pub gateways_unreachable: u64,
    /// Bindings refused because the cache is full.
    pub limit_cache: u64,
    /// Resolutions not started because too many are under way.
    pub limit_resolutions: u64,
    /// Questions of the kernel about next hops, too many in a second.
    pub limit_next_hops: u64,
    /// Shortcuts not made because there are too many.
    pub limit_shortcuts: u64,
    /// Packets with more entries than are looked at.
    pub limit_entries: u64,
    /// Conflicts about an address in which nobody was asked, because too many are under way.
    pub limit_contests: u64,
    /// Purge requests that asked for no reply, because too many wait for one.
    pub limit_purges: u64,
    /// Bindings that the event socket was asked about.
    pub authorisations_asked: u64,
    /// Of these, those that it refused, or did not answer in time.
    pub authorisations_refused: u64,
    /// Bindings refused because too many wait for the event socket.
    pub limit_waiting: u64,
    /// Requesters that will not be told of a change, because too many are to be already.
    pub limit_told: u64,
    /// Packets dropped because others wait for IPsec with too many peers.
    pub limit_protection: u64,
}

impl Stats {
    pub(crate) fn sent(&mut self, kind: PacketType) {
        if let Some(counter) = self.packets_sent.get_mut(kind as usize - 1) {
            *counter += 1;
        }
    }

    pub(crate) fn received(&mut self, kind: PacketType) {
        if let Some(counter) = self.packets_received.get_mut(kind as usize - 1) {
            *counter += 1;
        }
    }
}

//! Counters of the daemon's whole life, by name: those of the engine and of the drivers in one list, for `show ... nhrp
//! statistics`, the model and the metrics.
//!
//! Owns the names, which programs rely on. Never counts, and never clears: who shows them since a moment keeps what they
//! were.

use nhrp_engine::Stats;

use crate::daemon::Daemon;
use crate::multicast;

/// Key for programs, words for people, and a number.
pub(crate) type Counter = (&'static str, &'static str, u64);

/// Packet types by number, as in counters of them.
const RECEIVED: [(&str, &str); 8] = [
    ("resolutionRequestsReceived", "resolution requests received"),
    ("resolutionRepliesReceived", "resolution replies received"),
    ("registrationRequestsReceived", "registration requests received"),
    ("registrationRepliesReceived", "registration replies received"),
    ("purgeRequestsReceived", "purge requests received"),
    ("purgeRepliesReceived", "purge replies received"),
    ("errorIndicationsReceived", "error indications received"),
    ("trafficIndicationsReceived", "traffic indications received"),
];

const SENT: [(&str, &str); 8] = [
    ("resolutionRequestsSent", "resolution requests sent"),
    ("resolutionRepliesSent", "resolution replies sent"),
    ("registrationRequestsSent", "registration requests sent"),
    ("registrationRepliesSent", "registration replies sent"),
    ("purgeRequestsSent", "purge requests sent"),
    ("purgeRepliesSent", "purge replies sent"),
    ("errorIndicationsSent", "error indications sent"),
    ("trafficIndicationsSent", "traffic indications sent"),
];

/// Everything that is counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) stats: Stats,
    pub(crate) multicast: multicast::Counters,
    /// Neighbour entries that the kernel refused.
    pub(crate) neighbour_failures: u64,
    /// Packets that it refused.
    pub(crate) send_failures: u64,
    /// Packets for which its queue had no room.
    pub(crate) packets_lost: u64,
    /// Questions that the event socket did not read.
    pub(crate) event_socket_lost: u64,
}

impl Counts {
    /// Packets by type, then the rest.
    pub(crate) fn all(&self) -> Vec<Counter> {
        let named = |names: [(&'static str, &'static str); 8], counts: [u64; 8]| {
            names.into_iter().zip(counts).map(|((key, words), count)| (key, words, count))
        };
        let stats = &self.stats;
        let packets = named(RECEIVED, stats.packets_received).chain(named(SENT, stats.packets_sent));
        packets.chain(self.others()).collect()
    }

    /// What is not packets by type.
    pub(crate) fn others(&self) -> Vec<Counter> {
        let stats = &self.stats;
        vec![
            ("packetsMalformed", "packets malformed", stats.packets_malformed),
            ("packetsRefused", "packets refused", stats.packets_refused),
            ("authenticationFailures", "authentication failures", stats.authentication_failures),
            ("packetsUnreachable", "packets without a way", stats.packets_unreachable),
            ("packetsForwarded", "packets passed on", stats.forwarded),
            ("hopCountExceeded", "packets without a hop left", stats.hop_count_exceeded),
            ("loopsDetected", "loops detected", stats.loops_detected),
            ("registrationsServed", "registrations served", stats.registrations_served),
            ("registrationsContested", "registrations contested", stats.registrations_contested),
            ("registrationsOfOthers", "registrations of others' addresses", stats.registrations_of_others),
            ("registrationsAccepted", "own registrations accepted", stats.registrations_accepted),
            ("resolutionsServed", "resolutions served", stats.resolutions_served),
            ("resolutionsAnswered", "own resolutions answered", stats.resolutions_answered),
            ("resolutionsRefused", "own resolutions refused", stats.resolutions_refused),
            ("resolutionsUnanswered", "own resolutions given up", stats.resolutions_unanswered),
            ("requestsNotAnswered", "resolution requests refused", stats.requests_not_answered),
            ("repliesUnexpected", "replies to nothing asked", stats.replies_unexpected),
            ("repliesFromStranger", "replies from a stranger", stats.replies_from_stranger),
            ("indicationsSuppressed", "indications suppressed", stats.indications_suppressed),
            ("indicationsPassedOver", "indications passed over", stats.indications_passed_over),
            ("errorsSuppressed", "errors suppressed", stats.errors_suppressed),
            ("purgesServed", "purges followed", stats.purges_served),
            ("purgesRefused", "purges refused", stats.purges_refused),
            ("purged", "entries purged", stats.purged),
            ("multicastPackets", "multicast packets replicated", stats.multicast_packets),
            ("multicastCopies", "multicast copies sent", self.multicast.sent),
            ("multicastWithoutReceiver", "multicast without receiver", stats.multicast_without_receiver),
            ("multicastRefused", "multicast packets refused", stats.multicast_refused),
            ("multicastLost", "multicast packets lost", self.multicast.lost),
            ("multicastCopiesRefused", "multicast copies refused", self.multicast.failed),
            ("neighboursRepaired", "neighbours repaired", stats.neighbours_repaired),
            ("neighboursRefused", "neighbours the kernel refused", self.neighbour_failures),
            ("sendFailures", "packets the kernel refused", self.send_failures),
            ("packetsLost", "packets lost in the queue", self.packets_lost),
            ("nextHopsUnresolvable", "next hops unresolvable", stats.next_hops_unresolvable),
            ("authorisationsAsked", "questions to the event socket", stats.authorisations_asked),
            ("authorisationsRefused", "refused by the event socket", stats.authorisations_refused),
            ("authorisationsLost", "not read by the event socket", self.event_socket_lost),
            ("limitWaiting", "authorisations over the limit", stats.limit_waiting),
            ("limitPeers", "peers over the limit", stats.limit_cache),
            ("limitShortcuts", "shortcuts over the limit", stats.limit_shortcuts),
            ("limitResolutions", "resolutions over the limit", stats.limit_resolutions),
            ("limitNextHops", "next hops over the limit", stats.limit_next_hops),
            ("limitContests", "contests over the limit", stats.limit_contests),
            ("limitPurges", "purges over the limit", stats.limit_purges),
            ("limitRequesters", "requesters over the limit", stats.limit_told),
            ("limitEntries", "packets with many entries", stats.limit_entries),
        ]
    }
}

impl Daemon {
    /// As they are now.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            stats: self.engine.stats().clone(),
            multicast: self.multicast.counters(),
            neighbour_failures: self.kernel.neighbour_failures,
            send_failures: self.kernel.send_failures,
            packets_lost: self.kernel.packets_lost,
            event_socket_lost: self.events.lost(),
        }
    }
}

//! The scenarios: what must hold on a real kernel with real FRR around.
//!
//! Owns the table and what a scenario is given. Each scenario is a file named for what it shows.

mod ask;
mod bad_input;
mod best;
mod bgp_rules_shortcuts;
mod clear;
mod encrypted;
mod event_socket;
mod expiry;
mod first_direct_path;
mod hostile_traffic;
mod hostile_vty;
mod installed;
mod ipv6_overlay;
mod judge_sees_broken_packets;
mod native_back_end;
mod nhs_by_name;
mod northbound_load;
mod ospf_over_the_tunnel;
mod package;
mod preserved_next_hops;
mod priority;
mod purge;
mod redirect;
mod refusals;
mod registration;
mod reload;
mod renewal;
mod restart_hub;
mod restart_keeps_neighbours;
mod restart_spoke;
mod shortcut;
mod shown;
mod start_up;
mod started_by_frrs_scripts;
mod three_thousand_spokes;
mod unique;
mod vtysh_speaks_to_it;
mod zebra_comes_and_goes;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use package::{NAME as PACKAGE_SCENARIO, PACKAGE};

use crate::dmvpn::{Dmvpn, Shape};
use crate::failure::{Context, Result};
use crate::mix::Mix;
use crate::plan::Backend;
use crate::release::Release;

/// The scenario whose nhrpd and nhrpctl have feature grpc.
pub(crate) const GRPC_SCENARIO: &str = "northbound_load";

/// A scenario.
pub(crate) struct Scenario {
    /// Name on the command line, equal to the file's.
    pub(crate) name: &'static str,
    /// What it shows, in one line.
    pub(crate) about: &'static str,
    /// Which mixes of daemons it is run with by default.
    pub(crate) mixes: Mixes,
    /// Longest time it may take; a guest that is silent for longer is killed.
    pub(crate) limit: Duration,
    /// Shows it.
    pub(crate) run: fn(&mut Lab) -> Result<()>,
}

/// For which mixes of daemons and releases a scenario stands in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mixes {
    /// It concerns the lab itself: once per release, whatever the daemons.
    Lab,
    /// It concerns the lab itself, with ours on every node: with FRR 10.3 unless another is asked for.
    Once,
    /// The same in a virtual machine, whatever back end the others use.
    Qemu,
    /// Other protocols above the tunnel: the mixes with one FRR among ours once, ours alone with every release; and, if
    /// it is asked for by name and in `cargo lab soak`, FRR alone as the reference.
    Above,
    /// How this project's daemon conducts itself: once per release, with ours on every node.
    Ours,
    /// The interoperation matrix: FRR alone and every mix of FRR's and ours, with every release.
    Interop,
    /// What only our spokes do, in a network with FRR's: each mix in which a spoke is ours with one release, and each
    /// release once; every combination that is asked for.
    OurSpoke,
    /// A hub under load, with no other nhrpd, with FRR 10.3 unless another is asked for: ours alone; and, if it is asked
    /// for by name and in `cargo lab soak`, FRR's alone as the reference.
    Hub,
    /// The same for what only ours does.
    OurHub,
    /// The same for what takes too long for a run of all: only if it is asked for by name, and in `cargo lab soak`.
    Soak,
    /// The same with ours on every node: once per release.
    SoakOurs,
    /// The interoperation matrix as far as these nodes have ours, if a release or a mix is asked for and in
    /// `cargo lab soak`; else the picked releases and mixes, where it can find something of its own.
    Picked(&'static [&'static str], &'static [(Release, &'static str)]),
}

/// What a scenario gets.
#[derive(Debug)]
pub(crate) struct Lab {
    out: PathBuf,
    release: Release,
    backend: Backend,
    mix: Mix,
    notes: Vec<String>,
    skipped: Option<String>,
    kept: Option<Dmvpn>,
}

const fn interop(name: &'static str, about: &'static str, run: fn(&mut Lab) -> Result<()>) -> Scenario {
    Scenario { name, about, mixes: Mixes::Interop, limit: Duration::from_secs(120), run }
}

/// For what takes the interoperation matrix more time than a run of all has: each kind of daemon in each role, and each
/// release against both. The rest on request, and in `cargo lab soak`.
const EACH_ROLE: Mixes = Mixes::Picked(
    &[],
    &[
        (Release::V8_4, "frr,hub=ours"),
        (Release::V8_4, "ours,s1=frr"),
        (Release::V10_3, "frr"),
        (Release::V10_3, "ours"),
        (Release::V10_7, "frr,hub=ours"),
        (Release::V10_7, "ours,hub=frr"),
    ],
);

const fn picked(
    name: &'static str,
    about: &'static str,
    mixes: Mixes,
    run: fn(&mut Lab) -> Result<()>,
) -> Scenario {
    Scenario { name, about, mixes, limit: Duration::from_secs(240), run }
}

const fn conduct(name: &'static str, about: &'static str, run: fn(&mut Lab) -> Result<()>) -> Scenario {
    Scenario { name, about, mixes: Mixes::Ours, limit: Duration::from_secs(240), run }
}

/// Ours on every node, for what takes longer than a run of all has.
const fn long(name: &'static str, about: &'static str, run: fn(&mut Lab) -> Result<()>) -> Scenario {
    Scenario { name, about, mixes: Mixes::Soak, limit: Duration::from_secs(600), run }
}

/// The same with every release.
const fn each_release(name: &'static str, about: &'static str, run: fn(&mut Lab) -> Result<()>) -> Scenario {
    Scenario { name, about, mixes: Mixes::SoakOurs, limit: Duration::from_secs(600), run }
}

/// All scenarios, in the order in which they are run.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "judge_sees_broken_packets",
        about: "tshark, on which every scenario relies, reports a flipped bit and a short packet",
        mixes: Mixes::Lab,
        limit: Duration::from_secs(60),
        run: judge_sees_broken_packets::run,
    },
    interop(
        first_direct_path::NAME,
        "two spokes register, are redirected, resolve each other and talk directly",
        first_direct_path::run,
    ),
    interop(
        "registration",
        "hub and spokes agree on who is registered, with these addresses and this holding time",
        registration::run,
    ),
    interop(
        "redirect",
        "the hub indicates a detour; a spoke without `ip nhrp shortcut` leaves it at that",
        redirect::run,
    ),
    interop(
        "shortcut",
        "a shortcut covers the LAN behind the peer, in both directions, and goes when it is not used",
        shortcut::run,
    ),
    picked(
        "clear",
        "`clear ip nhrp` forgets at once, and traffic or renewal brings it back",
        EACH_ROLE,
        clear::run,
    ),
    picked(
        "renewal",
        "registrations and a used shortcut outlive the holding time, and ours loses no packet",
        EACH_ROLE,
        renewal::run,
    ),
    picked(
        "expiry",
        "the hub forgets a spoke that fell silent when its holding time ends, not earlier",
        EACH_ROLE,
        expiry::run,
    ),
    picked(
        "restart_spoke",
        "a restarted spoke registers again and finds its direct path",
        EACH_ROLE,
        restart_spoke::run,
    ),
    picked(
        "restart_hub",
        "a restarted hub is registered with again by both spokes",
        EACH_ROLE,
        restart_hub::run,
    ),
    picked(
        "purge",
        "what is over is told, and taken at its word by ours; FRR's neither tells nor follows, and is not hurt",
        Mixes::Picked(
            &[],
            &[(Release::V8_4, "ours,hub=frr"), (Release::V10_3, "ours"), (Release::V10_7, "ours,s1=frr")],
        ),
        purge::run,
    ),
    picked(
        "event_socket",
        "the hub asks a program whether to use a binding, in FRR's words, and obeys",
        Mixes::Picked(&[], &[(Release::V8_4, "frr"), (Release::V10_3, "ours")]),
        event_socket::run,
    ),
    picked(
        "refusals",
        "questions that go round or that are rejected end: errors and refusals on the wire, no shortcut",
        Mixes::Picked(
            &[],
            &[(Release::V8_4, "ours,hub=frr"), (Release::V10_3, "ours"), (Release::V10_7, "ours,s1=frr")],
        ),
        refusals::run,
    ),
    picked(
        "unique",
        "an address stays its owner's while that one answers; a spoke that moves is let in again",
        Mixes::Picked(
            &["hub"],
            &[(Release::V8_4, "frr,hub=ours"), (Release::V10_3, "ours"), (Release::V10_7, "ours,s1=frr")],
        ),
        unique::run,
    ),
    picked(
        "ipv6_overlay",
        "an IPv6 overlay on the same tunnel: registration, redirect, shortcut, beside the IPv4 one",
        Mixes::Picked(
            &[],
            &[(Release::V8_4, "ours,hub=frr"), (Release::V10_3, "ours"), (Release::V10_7, "ours,s1=frr")],
        ),
        ipv6_overlay::run,
    ),
    picked(
        "nhs_by_name",
        "a name that does not resolve yet, then does, then moves to another hub",
        Mixes::Picked(&["s1"], &[(Release::V10_3, "ours")]),
        nhs_by_name::run,
    ),
    picked(
        "priority",
        "`nhs … priority`: the second hub stands in for the first, and is left when that one is back",
        Mixes::Picked(&["s1"], &[(Release::V10_3, "ours")]),
        priority::run,
    ),
    picked(
        "encrypted_in_short",
        "`tunnel protection` in every run: two spokes register and find each other by ESP alone",
        Mixes::Picked(&["hub", "s1", "s2"], &[(Release::V10_3, "ours")]),
        encrypted::in_short,
    ),
    long(
        "encrypted",
        "`tunnel protection` with the distribution's strongSwan: shortcuts with SAs of their own, no GRE in clear",
        encrypted::walk,
    ),
    long(
        "encrypted_charon_ends",
        "charon and nhrpd killed, stopped and back, on the hub and on a spoke: nothing in clear, and it heals",
        encrypted::charon_ends,
    ),
    long(
        "encrypted_one_sa",
        "one SA terminated on either side comes back; those of a shortcut that is over are gone; no other is touched",
        encrypted::one_sa,
    ),
    long(
        "encrypted_rekey",
        "rekeying and reauthentication every few seconds lose no more than IPsec does without NHRP, and no peer is lost",
        encrypted::rekey,
    ),
    long(
        "encrypted_credentials",
        "certificates; a wrong secret and expired certificates are told, cause no storm, and heal when mended",
        encrypted::credentials,
    ),
    long(
        "encrypted_features",
        "fallback profile, tunnels that share a profile, required identities, one peer's end, double SAs",
        encrypted::features,
    ),
    long(
        "encrypted_bad_charon",
        "a charon that hangs, loses its profile or talks nonsense: told, retried, nothing in clear, others unaffected",
        encrypted::bad_charon,
    ),
    long(
        "encrypted_hub_restart",
        "50 spokes miss their hub, and are back after its restart without coming all at once",
        encrypted::hub_restart,
    ),
    long(
        "encrypted_translators",
        "spokes behind different translators register and reach each other, directly where IKE is let in",
        encrypted::translators,
    ),
    long(
        "encrypted_one_translator",
        "two spokes behind one translated address register by tunnels between addresses of their own, and nothing is in clear",
        encrypted::one_translator,
    ),
    long(
        "encrypted_key",
        "selectors with the tunnel's key: SAs are for that key only, shortcuts have them, another key is not let through",
        encrypted::key,
    ),
    long(
        "encrypted_two_hundred",
        "200 peers of one nhrpd have their SAs as soon as if charon had been asked for them directly",
        encrypted::two_hundred,
    ),
    Scenario {
        name: "preserved_next_hops",
        about: "phase 2: a next hop that BGP preserved is resolved when a packet waits for it, and the packet arrives",
        mixes: Mixes::OurSpoke,
        limit: Duration::from_secs(120),
        run: preserved_next_hops::run,
    },
    Scenario {
        name: "ospf_over_the_tunnel",
        about: "multicast reaches every neighbour once; OSPF adjacencies come up and their routes carry traffic",
        mixes: Mixes::Above,
        limit: Duration::from_secs(180),
        run: ospf_over_the_tunnel::run,
    },
    Scenario {
        name: "three_thousand_spokes",
        about: "default sysctls, 3,000 spokes, 90 s idle: our hub reaches every one, a hub with FRR's nhrpd next to none",
        mixes: Mixes::Hub,
        limit: Duration::from_secs(420),
        run: three_thousand_spokes::run,
    },
    Scenario {
        name: "restart_keeps_neighbours",
        about: "neighbours outlive a killed nhrpd, are adopted and repaired, and go at a clean stop",
        mixes: Mixes::OurHub,
        limit: Duration::from_secs(180),
        run: restart_keeps_neighbours::run,
    },
    Scenario {
        name: "native_back_end",
        about: "the lab's native back end shows the first direct path in namespaces of a kernel with GRE",
        mixes: Mixes::Once,
        limit: Duration::from_secs(240),
        run: native_back_end::run,
    },
    Scenario {
        name: "qemu_back_end",
        about: "the lab's virtual machine boots Debian's kernel and shows the first direct path on it",
        mixes: Mixes::Qemu,
        // A processor that is emulated, beside others' scenarios.
        limit: Duration::from_secs(420),
        run: first_direct_path::run,
    },
    conduct(
        "started_by_frrs_scripts",
        "frrinit.sh and watchfrr start, watch, restart and stop this daemon as they do FRR's",
        started_by_frrs_scripts::run,
    ),
    Scenario {
        name: package::NAME,
        about: "the Debian package takes the place of FRR's nhrpd and gives it back, upgrades and failures included",
        // It needs cargo-deb, which takes minutes to build.
        mixes: Mixes::Soak,
        limit: Duration::from_secs(240),
        run: package::run,
    },
    conduct(
        "vtysh_speaks_to_it",
        "the release's vtysh gets the same answers from this daemon as from FRR's nhrpd",
        vtysh_speaks_to_it::run,
    ),
    conduct(
        "zebra_comes_and_goes",
        "zebra late, killed, restarted, or of another release than was said: nothing learned is lost",
        zebra_comes_and_goes::run,
    ),
    conduct(
        "bgp_rules_shortcuts",
        "a withdrawal, a more specific route, a lost peer or tunnel end a shortcut within a second; others do not",
        bgp_rules_shortcuts::run,
    ),
    conduct(
        "bad_input",
        "garbage from the wire and mistakes of people: a clear message each, and nothing learned is lost",
        bad_input::run,
    ),
    Scenario {
        name: "hostile_traffic",
        about: "random, changed, spoofed and overlong packets by the thousand: spokes notice nothing, limits hold",
        mixes: Mixes::OurHub,
        limit: Duration::from_secs(240),
        run: hostile_traffic::run,
    },
    Scenario {
        name: "hostile_traffic_whole",
        about: "the same with 100,000 random and 100,000 changed packets",
        mixes: Mixes::Soak,
        limit: Duration::from_secs(600),
        run: hostile_traffic::whole,
    },
    each_release(
        "reload",
        "frr-reload.py takes a hub from any configuration to another: no line refused, nothing left, no spoke forgotten",
        reload::run,
    ),
    long(
        "hostile_vty",
        "hundreds of clients of vty, telnet and event socket that mean no good: no registration lost, no long turn",
        hostile_vty::run,
    ),
    // It needs nhrpd with gRPC, which takes minutes to build, and takes as long again.
    Scenario {
        name: GRPC_SCENARIO,
        about: "100 clients get the state of 20,000 peers by gRPC while they renew: none lost, no long turn, ends at once",
        mixes: Mixes::Soak,
        limit: Duration::from_secs(1500),
        run: northbound_load::run,
    },
];

/// The scenario of this name.
pub(crate) fn find(name: &str) -> Result<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name).context(|| format!("no scenario {name}"))
}

/// Holding time of the network that the interoperation scenarios share, in seconds: spokes renew every
/// third of it.
const HOLDTIME: u16 = 9;

/// Longest time until everybody is registered, on a guest that is slow and shares its processor.
const REGISTER: Duration = Duration::from_secs(30);

/// Longest time from the first packet to a shortcut in the kernel, on such a guest.
const RESOLVE: Duration = Duration::from_secs(10);

impl Lab {
    /// A lab for scenarios of this release and mix in a guest of this kind.
    pub(crate) fn new(release: Release, backend: Backend, mix: Mix) -> Self {
        Self { out: PathBuf::new(), release, backend, mix, notes: Vec::new(), skipped: None, kept: None }
    }

    /// Makes it ready for the next scenario, which writes below `out`.
    pub(crate) fn next(&mut self, out: PathBuf) {
        self.out = out;
        self.notes = Vec::new();
        self.skipped = None;
    }

    /// Which daemon runs where.
    pub(crate) fn mix(&self) -> &Mix {
        &self.mix
    }

    /// A network of this shape of the scenario's own, everything started.
    pub(crate) fn dmvpn(&mut self, shape: Shape) -> Result<Dmvpn> {
        self.kept = None; // one network at a time: the guest is small
        Dmvpn::start(&self.out, self.release, &self.mix, shape)
    }

    /// The network that the interoperation scenarios share: both spokes registered, no shortcuts, and a
    /// capture of its own. Made anew unless the scenario before has left it whole with
    /// [`keep`](Self::keep).
    pub(crate) fn registered(&mut self) -> Result<Dmvpn> {
        if let Some(mut dmvpn) = self.kept.take()
            && refresh(&mut dmvpn).and_then(|()| dmvpn.new_capture(&self.out)).is_ok()
        {
            return Ok(dmvpn);
        }
        let mut dmvpn = self.dmvpn(Shape { holdtime: HOLDTIME, ..Shape::default() })?;
        dmvpn.wait_registered(REGISTER)?;
        Ok(dmvpn)
    }

    /// Leaves the network to the next scenario: both spokes are registered and it has its first shape.
    pub(crate) fn keep(&mut self, dmvpn: Dmvpn) {
        self.kept = Some(dmvpn);
    }

    /// Directory for files of this scenario.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// Adds something measured to the scenario's line in the report.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The scenario shows nothing here, for this reason; it is reported as skipped if it ends well.
    pub(crate) fn skip(&mut self, reason: impl Into<String>) {
        self.skipped = Some(reason.into());
    }

    /// Why it was skipped, if it was.
    pub(crate) fn skipped(&self) -> Option<&str> {
        self.skipped.as_deref()
    }

    /// What was noted.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// No shortcuts, everybody registered.
fn refresh(dmvpn: &mut Dmvpn) -> Result<()> {
    for spoke in dmvpn.spokes() {
        dmvpn.frr(&spoke)?.vtysh(&["clear ip nhrp shortcut"])?;
    }
    dmvpn.wait_no_shortcut("s1", "s2", RESOLVE)?;
    dmvpn.wait_no_shortcut("s2", "s1", RESOLVE)?;
    dmvpn.wait_registered(REGISTER)
}

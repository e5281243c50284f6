//! A rule that cannot be broken says nothing. Here each is: by somebody who changes what correct engines send or have
//! written, or by an engine that was built wrong. `Rule::TimerWithoutOwner` is about an engine's inside; its faults are
//! made by hand in the engine's own tests (`audit/tests.rs`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nhrp_engine::Output;
use nhrp_wire::{Cie, ErrorCode, Exchange, ExtensionBody, Message, Packet};
use sim::shorthand::{ip, octets, secs, triangle_of};
use sim::{Heard, Network, NodeId, Router, Rule, Violation};

/// Hub 1, spokes 2 and 4, registered.
fn triangle() -> (Network, NodeId, NodeId, NodeId) {
    let routers = [Router::hub(1).behind(2).behind(4), Router::spoke(2, 1), Router::spoke(4, 1)];
    let short = |mut router: Router| {
        router.config.ip.holdtime = 60;
        router
    };
    triangle_of(Network::watched(7), routers.map(short))
}

fn talk(net: &mut Network, two: NodeId) {
    for _ in 0..3 {
        net.trace(two, "10.2.0.5", "10.4.0.5");
        net.run_for(secs(1));
    }
}

/// Rewrites every packet that a node sends.
fn rewrite(outputs: &mut [Output], mut change: impl FnMut(&mut Packet)) {
    for output in outputs {
        if let Output::Send { octets: sent, .. } = output {
            let mut packet = Packet::decode(sent).unwrap();
            change(&mut packet);
            *sent = octets(&packet);
        }
    }
}

/// Runs the triangle with traffic, a restart and a spoke that goes silent, without and with the saboteur: all rules hold
/// without, and this one breaks with.
fn breaks(rule: Rule, saboteur: impl FnMut(NodeId, Option<&Heard>, &mut Vec<Output>) + 'static) {
    assert_eq!(violations(|_, _, _| {}), []);
    let violations = violations(saboteur);
    assert!(violations.iter().any(|v| v.rule == rule), "{rule:?} is not among {violations:?}");
}

fn violations(saboteur: impl FnMut(NodeId, Option<&Heard>, &mut Vec<Output>) + 'static) -> Vec<Violation> {
    let (mut net, _, two, four) = triangle();
    talk(&mut net, two);
    assert_eq!(net.violations(), []);
    net.sabotage(saboteur);
    net.restart(two);
    net.run_for(secs(2));
    talk(&mut net, two);
    net.node_mut(four).online = false;
    net.run_for(secs(200));
    net.look_at_all();
    net.violations().to_vec()
}

fn send_to(destination: IpAddr, packet: &Packet) -> Output {
    Output::Send { ifindex: Router::TUNNEL, destination, octets: octets(packet) }
}

fn error(contents: u8) -> Packet {
    let message =
        Message::ErrorIndication { code: ErrorCode::ProtocolError, offset: 0, packet: vec![contents; 40] };
    Packet::new(ip("172.16.0.1"), ip("10.255.0.1"), ip("10.255.0.2"), 1, message)
}

#[test]
fn a_node_that_never_forgets_a_peer() {
    breaks(Rule::Disagreement, |_, _, outputs| {
        outputs.retain(|o| !matches!(o, Output::NeighbourDelete { .. }));
    });
}

/// The same with correct engines of which one tells others to remember it for longer than it says.
#[test]
fn a_node_that_is_remembered_for_too_long() {
    breaks(Rule::Disagreement, |_, _, outputs| {
        rewrite(outputs, |packet| {
            if let Message::RegistrationRequest(x) | Message::ResolutionReply(x) = &mut packet.message {
                x.cies.iter_mut().for_each(|cie| cie.holding_time = 3000);
            }
        });
    });
}

#[test]
fn servers_that_do_not_leave_their_names() {
    let run = |saboteur: bool| {
        let mut net = Network::watched(7);
        let one = net.add_router(Router::hub(1));
        let mut router = Router::hub(3);
        router.config.ip.nhs = Router::spoke(3, 1).config.ip.nhs;
        let three = net.add_router(router);
        net.run_for(secs(1));
        net.add_route(one, "203.0.113.0/24", Some("10.255.0.3"), Router::TUNNEL);
        net.add_route(three, "203.0.113.0/24", Some("10.255.0.1"), Router::TUNNEL);
        if saboteur {
            net.sabotage(|_, _, outputs| {
                rewrite(outputs, |packet| {
                    packet.extensions.retain(|e| !matches!(e.body, ExtensionBody::ForwardTransitNhs(_)));
                });
            });
        }
        let message = Message::ResolutionRequest(Exchange { request_id: 9, cies: vec![Cie::default()] });
        let request = Packet::new(ip("172.16.0.2"), ip("10.255.0.2"), ip("203.0.113.5"), 20, message)
            .with_extension(nhrp_wire::Extension::compulsory(ExtensionBody::ForwardTransitNhs(Vec::new())));
        net.inject(one, "172.16.0.2", octets(&request));
        net.run_for(secs(5));
        net.violations().iter().filter(|v| v.rule == Rule::VisitedTwice).count()
    };
    assert_eq!(run(false), 0);
    assert!(run(true) > 5);
}

#[test]
fn whoever_answers_an_error() {
    let run = |saboteur: bool| {
        let (mut net, _, two, _) = triangle();
        if saboteur {
            net.sabotage(|_, heard, outputs| {
                if let Some(heard) = heard
                    && outputs.is_empty()
                {
                    outputs.push(send_to(heard.source, &error(1)));
                }
            });
        }
        net.inject(two, "172.16.0.1", octets(&error(0)));
        net.violations().iter().filter(|v| v.rule == Rule::AnswerToError).count()
    };
    assert_eq!(run(false), 0);
    assert_eq!(run(true), 1);
}

#[test]
fn an_engine_without_a_limit() {
    let run = |limit: usize| {
        let mut net = Network::watched(7);
        net.note_violations();
        net.expect_strangers(10);
        let mut router = Router::hub(1);
        router.limits.max_cache_entries = limit;
        let hub = net.add_router(router);
        for n in 0..500_u16 {
            let [high, low] = n.to_be_bytes();
            let (nbma, own) = (format!("198.18.{high}.{low}"), format!("10.255.{}.{low}", high + 1));
            let cie = Cie { prefix_length: 32, holding_time: 600, ..Cie::default() };
            let message = Message::RegistrationRequest(Exchange { request_id: 5, cies: vec![cie] });
            let packet = Packet::new(ip(&nbma), ip(&own), ip("10.255.0.1"), 1, message);
            net.inject(hub, &nbma, octets(&packet));
        }
        net.violations().iter().filter(|v| v.rule == Rule::UnboundedState).count()
    };
    assert_eq!(run(10), 0);
    assert!(run(200_000) > 0);
}

#[test]
fn replies_that_nobody_asked_for() {
    breaks(Rule::UnaskedReply, |_, heard, outputs| {
        if heard.is_some() {
            // Or they would make each other go on for ever.
            return;
        }
        let message = Message::ResolutionReply(Exchange { request_id: 0x5EED, cies: vec![] });
        let reply = Packet::new(ip("172.16.0.2"), ip("10.255.0.2"), ip("10.4.0.5"), 5, message);
        outputs.push(send_to(ip("172.16.0.2"), &reply));
    });
}

#[test]
fn three_packets_for_one() {
    breaks(Rule::Amplification, |_, _, outputs| {
        let again: Vec<_> = outputs.iter().filter(|o| matches!(o, Output::Send { .. })).cloned().collect();
        outputs.extend(again.clone());
        outputs.extend(again);
    });
}

#[test]
fn hops_that_are_not_counted() {
    breaks(Rule::HopCount, |_, _, outputs| rewrite(outputs, |packet| packet.hop_count = 64));
}

#[test]
fn packets_that_are_cut_short() {
    breaks(Rule::Malformed, |_, _, outputs| {
        for output in outputs {
            if let Output::Send { octets, .. } = output {
                octets.pop();
            }
        }
    });
}

#[test]
fn routes_that_do_not_reach_zebra() {
    breaks(Rule::KernelDiffers, |_, _, outputs| {
        outputs.retain(|o| !matches!(o, Output::RouteAdd(_)));
    });
}

#[test]
fn neighbours_that_do_not_reach_the_kernel() {
    breaks(Rule::RouteIntoVoid, |_, _, outputs| {
        // The hub's comes through, or there would be no shortcut at all.
        let hub = ip("10.255.0.1");
        outputs.retain(|o| !matches!(o, Output::NeighbourSet(n) if n.protocol != hub));
    });
}

#[test]
fn neighbours_that_lead_back() {
    breaks(Rule::SendsToItself, |_, _, outputs| {
        for output in outputs {
            if let Output::NeighbourSet(neighbour) = output {
                neighbour.nbma = ip("172.16.0.2");
            }
        }
    });
}

/// Engines are not to blame when routers point at each other, but the rule sees it.
#[test]
fn data_that_circles() {
    let (mut net, hub, two, _) = triangle();
    net.note_violations();
    net.trace(two, "10.2.0.5", "10.4.0.5");
    assert_eq!(net.violations(), []);
    net.add_route(hub, "10.9.0.0/24", Some("10.255.0.2"), Router::TUNNEL);
    net.trace(two, "10.2.0.5", "10.9.0.5");
    assert_eq!(net.violations()[0].rule, Rule::Circle);
}

#[test]
fn an_engine_that_is_not_told_the_time() {
    let (mut net, _, two, _) = triangle();
    net.deafen(two);
    net.run_for(secs(100));
    assert_eq!(net.violations()[0].rule, Rule::DeadlineStays);
}

/// Without anybody who asked for notes a violation ends the run, and names rule, time and node.
#[test]
fn a_violation_ends_the_run() {
    let (mut net, hub, two, _) = triangle();
    let end = catch_unwind(AssertUnwindSafe(|| {
        net.add_route(hub, "10.9.0.0/24", Some("10.255.0.2"), Router::TUNNEL);
        net.trace(two, "10.2.0.5", "10.9.0.5");
    }));
    let text = *end.unwrap_err().downcast::<String>().unwrap();
    assert!(text.starts_with("Circle at 1.000000 s by NodeId(1): a packet from 10.2.0.5"), "{text}");
}

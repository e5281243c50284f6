//! `nhrp event socket`: bindings are used once somebody has accepted them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use nhrp_config::Afi;
use nhrp_engine::{Authorisation, CacheType, Input, Instant, Notice, Output};
use nhrp_wire::CieCode;
use nhrp_wire::PacketType::{RegistrationReply, RegistrationRequest};
use sim::shorthand::{ip, nbma_of, secs, triangle};
use sim::{Network, NodeId, Router};

/// Questions so far, the first one first.
fn questions(net: &Network, node: NodeId) -> Vec<Authorisation> {
    let question = |(_, output): &(Instant, Output)| match output {
        Output::Authorise(question) => Some(question.clone()),
        _ => None,
    };
    net.node(node).others.iter().filter_map(question).collect()
}

fn decide(net: &mut Network, node: NodeId, question: &Authorisation, accepted: bool) {
    net.input(node, Input::Authorised { event: question.event, accepted });
}

/// A hub that asks, and a spoke that is about to register.
fn pair() -> (Network, NodeId, NodeId) {
    let mut net = Network::watched(5);
    let hub = net.add_router(Router::hub(1));
    net.input(hub, Input::Authorising { on: true });
    let spoke = net.add_router(Router::spoke(2, 1));
    net.run_for(secs(1));
    (net, hub, spoke)
}

#[test]
fn a_client_is_answered_at_once_and_bound_when_it_is_accepted() {
    let (mut net, hub, spoke) = pair();
    let replies = net.sent(hub, RegistrationReply, Instant::ZERO);
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].packet().message.exchange().unwrap().cies[0].code, CieCode::Success);
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), None);

    let [question] = &questions(&net, hub)[..] else { panic!("one question") };
    let expected = Authorisation {
        event: 1,
        kind: CacheType::Dynamic,
        former: None,
        servers: 0,
        interface: "gre1".to_owned(),
        local: Some(ip("10.255.0.1")),
        local_nbma: Some(ip("172.16.0.1")),
        remote: ip("10.255.0.2"),
        remote_nbma: Some(ip("172.16.0.2")),
    };
    assert_eq!(*question, expected);
    decide(&mut net, hub, question, true);
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.0.2")));

    // What stays the same is not asked again, however often it is renewed.
    net.run_for(secs(4 * 3600));
    assert!(net.sent(spoke, RegistrationRequest, Instant::ZERO).len() > 3);
    assert_eq!(questions(&net, hub).len(), 1);
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.0.2")));
    net.node(hub).assert_consistent();
}

#[test]
fn who_is_refused_or_not_answered_for_is_not_bound() {
    let (mut net, hub, spoke) = pair();
    let first = questions(&net, hub).remove(0);
    decide(&mut net, hub, &first, false);
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), None);
    // Too late: it has been decided.
    decide(&mut net, hub, &first, true);
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), None);

    net.restart(spoke);
    net.run_for(secs(1));
    let all = questions(&net, hub);
    assert_eq!(all.len(), 2, "it comes again, and is asked about again");
    net.run_for(secs(11));
    decide(&mut net, hub, &all[1], true);
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), None, "ten seconds are over");
    let reasons: Vec<_> = net
        .node(hub)
        .notices
        .iter()
        .filter_map(|(_, notice)| match notice {
            Notice::NotAuthorised { reason, .. } => Some(reason.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].contains("refused") && reasons[1].contains("did not answer"), "{reasons:?}");
    net.node(hub).assert_consistent();
}

#[test]
fn a_station_that_moves_is_asked_about_again_and_stays_bound_meanwhile() {
    let (mut net, hub, spoke) = pair();
    let first = questions(&net, hub).remove(0);
    decide(&mut net, hub, &first, true);
    net.node_mut(spoke).router.nbma = ip("172.16.9.9");
    net.restart(spoke);
    net.run_for(secs(9));
    let all = questions(&net, hub);
    let again = all.last().unwrap();
    assert_eq!(
        (again.former, again.remote_nbma),
        (Some(CacheType::Dynamic), Some(ip("172.16.9.9"))),
        "{all:?}"
    );
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.0.2")));
    decide(&mut net, hub, again, true);
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.9.9")));
}

#[test]
fn a_shortcut_begins_when_its_peer_is_accepted() {
    let (mut net, hub, one, two) = triangle();
    net.run_for(secs(1));
    net.input(one, Input::Authorising { on: true });
    net.trace(one, "10.2.0.5", "10.4.0.5");
    net.run_for(secs(2));
    let [question] = &questions(&net, one)[..] else { panic!("{:?}", questions(&net, one)) };
    assert_eq!(question.remote_nbma, Some(net.node(two).tunnels[0].nbma));
    let bound = |net: &Network| net.node(one).engine.shortcut_view(Afi::Ip).iter().any(|s| s.via.is_some());
    assert!(!bound(&net));
    decide(&mut net, one, question, true);
    assert!(bound(&net));
    assert!(questions(&net, hub).is_empty(), "the hub asks nobody");
}

#[test]
fn without_the_line_what_waits_is_accepted() {
    let (mut net, hub, _) = pair();
    net.input(hub, Input::Authorising { on: false });
    assert_eq!(nbma_of(&net, hub, "10.255.0.2"), Some(ip("172.16.0.2")));
    net.run_for(secs(20));
    net.node(hub).assert_consistent();
}

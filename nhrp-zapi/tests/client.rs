//! The tokio client against a fake zebra on a real Unix socket: reconnection, cancellation, backlog, farewell.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod fake;

use std::time::Duration;

use fake::{Fake, PATIENCE, connect, gre, options, route, until};
use nhrp_zapi::{
    DisconnectReason, Event, Message, Options, RedistributedRoute, Request, ZebraClient, ZebraError,
};
use tokio::net::UnixListener;
use tokio::time::timeout;

#[tokio::test]
async fn zebra_may_come_late_go_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("zserv.api");
    let mut client = ZebraClient::new(options(&socket));
    client.send(Request::RouteAdd(route(1)));
    assert!(timeout(Duration::from_millis(80), client.next()).await.is_err());
    let failed = client.statistics().failed_attempts;
    assert!((3..=8).contains(&failed), "tried with pauses: {failed}");

    for round in 1..=3 {
        let listener = UnixListener::bind(&socket).unwrap();
        let mut zebra = connect(&mut client, &listener).await;
        assert!(client.is_connected());
        assert_eq!(client.statistics().connections, round);
        // Nothing from before the connection is sent; what is sent now arrives.
        client.send(Request::RouteAdd(route(7)));
        let (request, _) = tokio::join!(zebra.request(), timeout(Duration::from_millis(50), client.next()));
        assert_eq!(request, Some(Request::RouteAdd(route(7))));
        drop((zebra, listener));
        std::fs::remove_file(&socket).unwrap();
        let end = until(&mut client, |event| matches!(event, Event::Disconnected { .. })).await;
        assert_eq!(end, Event::Disconnected { reason: DisconnectReason::ClosedByZebra });
        assert!(!client.is_connected());
        client.send(Request::RouteAdd(route(8)));
        assert_eq!(client.statistics().dropped_requests, 1 + round);
    }
    assert_eq!(client.statistics().disconnections, 3);
}

/// A daemon's loop drops the future all the time. 10,000 events and as many requests, each exactly once, in order.
#[tokio::test]
async fn dropping_the_future_loses_nothing() {
    const COUNT: u32 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("zserv.api");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut client = ZebraClient::new(options(&socket));
    let zebra = async {
        let mut fake = Fake::accept(&listener).await;
        fake.open().await;
        for number in 0..COUNT {
            let route = told(number, 1);
            let mut bytes = Vec::new();
            Message::RouteAdded(route).encode(fake.table, &mut bytes).unwrap();
            // In halves, so that frames are cut everywhere.
            let (one, other) = bytes.split_at(bytes.len() / 2);
            fake.say_bytes(one).await;
            if number % 512 == 0 {
                tokio::task::yield_now().await;
            }
            fake.say_bytes(other).await;
        }
        for number in 0..COUNT {
            assert_eq!(fake.request().await, Some(Request::RouteAdd(route(number))));
        }
    };
    let daemon = async {
        let mut seen = 0;
        while seen < COUNT {
            tokio::select! {
                biased;
                event = client.next() => {
                    if let Event::RouteAdded(found) = event {
                        assert_eq!(found.metric, Some(seen));
                        client.send(Request::RouteAdd(route(seen)));
                        seen += 1;
                    }
                }
                // Always ready: every wait of the client is cut short.
                () = std::future::ready(()) => tokio::task::yield_now().await,
            }
        }
        client.close().await;
    };
    timeout(PATIENCE * 3, async { tokio::join!(zebra, daemon) }).await.expect("all arrived");
    assert_eq!(client.statistics().connections, 1);
}

/// A route as zebra tells it; type 1 is a route of the kernel's.
fn told(number: u32, route_type: u8) -> RedistributedRoute {
    RedistributedRoute {
        vrf: 0,
        prefix: route(number).prefix,
        route_type,
        is_nhrp: false,
        is_local: false,
        is_learned: false,
        nexthops: 0,
        nexthop: None,
        distance: Some(0),
        metric: Some(number),
        mtu: None,
    }
}

/// zebra tells own routes back one by one, as the kernel takes them: that wakes nobody for each, and what else zebra has to
/// say comes through between them.
#[tokio::test]
async fn own_routes_that_come_back_disturb_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("zserv.api");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut client = ZebraClient::new(Options { own_routes: false, ..options(&socket) });
    let mut fake = connect(&mut client, &listener).await;
    let before = client.statistics().reads;
    let zebra = async {
        for number in 0..300 {
            let route_type = if number % 100 == 99 { 1 } else { fake.table.route_type_nhrp };
            let mut bytes = Vec::new();
            Message::RouteAdded(told(number, route_type)).encode(fake.table, &mut bytes).unwrap();
            fake.say_bytes(&bytes).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let daemon = async {
        for expected in [99, 199, 299] {
            let Event::RouteAdded(found) = client.next().await else { panic!("an event of something else") };
            assert_eq!(found.metric, Some(expected));
        }
    };
    timeout(PATIENCE * 3, async { tokio::join!(zebra, daemon) }).await.expect("the three others arrived");
    let reads = client.statistics().reads - before;
    assert!((3..=100).contains(&reads), "{reads} reads for 300 routes");
}

#[tokio::test]
async fn many_requests_are_one_write() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("zserv.api");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut client = ZebraClient::new(options(&socket));
    let mut zebra = connect(&mut client, &listener).await;
    let before = client.statistics().writes;
    for number in 0..1000 {
        client.send(Request::RouteAdd(route(number)));
    }
    assert!(timeout(Duration::from_millis(20), client.next()).await.is_err());
    assert_eq!(client.statistics().writes - before, 1, "40,000 octets at once");
    for number in 0..1000 {
        assert_eq!(zebra.request().await, Some(Request::RouteAdd(route(number))));
    }
}

#[tokio::test]
async fn a_zebra_that_does_not_read_is_given_up_and_tried_anew() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("zserv.api");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut client = ZebraClient::new(Options { max_backlog: 100_000, ..options(&socket) });
    let zebra = connect(&mut client, &listener).await;
    let mut sent = 0;
    while client.is_connected() {
        client.send(Request::RouteAdd(route(sent)));
        sent += 1;
        assert!(sent < 1_000_000, "a backlog without bound");
    }
    let end = until(&mut client, |event| matches!(event, Event::Disconnected { .. })).await;
    let Event::Disconnected { reason: DisconnectReason::Backlog { queued, limit } } = end else {
        panic!("{end:?}")
    };
    assert!(queued > limit && limit == 100_000 && queued < 2 * limit);
    drop(zebra);
    connect(&mut client, &listener).await;
    assert!(client.is_connected());
}

#[tokio::test]
async fn the_farewell_is_that_of_frr() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("zserv.api");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut client = ZebraClient::new(options(&socket));
    let mut zebra = connect(&mut client, &listener).await;
    client.send(Request::RouteDelete(route(1).prefix));
    client.close().await;
    assert_eq!(zebra.request().await, Some(Request::RouteDelete(route(1).prefix)));
    assert_eq!(zebra.request().await, Some(Request::NeighUnregister(nhrp_zapi::Afi::Ip)));
    assert_eq!(zebra.request().await, Some(Request::NeighUnregister(nhrp_zapi::Afi::Ip6)));
    assert_eq!(zebra.request().await, None);
    assert!(timeout(Duration::from_millis(50), client.next()).await.is_err(), "an event after the farewell");
}

#[tokio::test]
async fn what_is_no_zebra_is_an_error_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("zserv.api");
    let _listener = UnixListener::bind(&socket).unwrap();
    let mut client =
        ZebraClient::new(Options { answer_timeout: Duration::from_millis(50), ..options(&socket) });
    let event = timeout(PATIENCE, client.next()).await.unwrap();
    assert!(matches!(event, Event::Error(ZebraError::NoAnswer { .. })), "{event:?}");
    assert!(timeout(Duration::from_millis(200), client.next()).await.is_err(), "said once");
    assert!(client.statistics().failed_attempts > 1, "tried on");
}

#[tokio::test]
async fn lost_framing_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("zserv.api");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut client = ZebraClient::new(options(&socket));
    let mut zebra = connect(&mut client, &listener).await;
    zebra.say(&Message::Gre(gre(6))).await;
    zebra.say_bytes(&[0, 20, 0, 0, 0, 0, 0, 0, 0, 0]).await;
    let event = timeout(PATIENCE, client.next()).await.unwrap();
    assert_eq!(event, Event::GreUpdate(gre(6)), "what came before is kept");
    let end = timeout(PATIENCE, client.next()).await.unwrap();
    assert!(matches!(end, Event::Disconnected { reason: DisconnectReason::Framing(_) }), "{end:?}");
    connect(&mut client, &listener).await;
}

/// A zebra with a vty socket: it is asked once for each connection, and a wrong name keeps the session shut.
#[tokio::test]
async fn zebra_is_asked_for_its_name() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = tempfile::tempdir().unwrap();
    let (socket, vty) = (dir.path().join("zserv.api"), dir.path().join("zebra.vty"));
    let names = UnixListener::bind(&vty).unwrap();
    let answering = tokio::spawn(async move {
        for version in ["8.4.4", "10.3.1-2+b1"] {
            let (mut stream, _) = names.accept().await.unwrap();
            let mut question = [0; 13];
            stream.read_exact(&mut question).await.unwrap();
            assert_eq!(&question, b"show version\0");
            let text = format!("FRRouting {version} (hub) on Linux(6.1.0).\nCopyright\n\0\0\0\0");
            let (one, other) = text.as_bytes().split_at(7);
            stream.write_all(one).await.unwrap();
            tokio::task::yield_now().await;
            stream.write_all(other).await.unwrap();
        }
    });
    let listener = UnixListener::bind(&socket).unwrap();
    let mut client = ZebraClient::new(Options { vty: Some(vty), ..options(&socket) });
    let first = async {
        let mut fake = Fake::accept(&listener).await;
        // Until the client has had enough of it.
        assert_eq!(timeout(PATIENCE, fake.hello_only()).await.unwrap(), None, "nothing behind HELLO");
    };
    let (event, ()) = tokio::join!(until(&mut client, |event| matches!(event, Event::Error(_))), first);
    assert!(matches!(event, Event::Error(ZebraError::NamedOtherwise { .. })), "{event:?}");
    let second = async {
        let mut fake = Fake::accept(&listener).await;
        fake.open().await;
        fake
    };
    let (event, _fake) =
        tokio::join!(until(&mut client, |event| matches!(event, Event::Connected { .. })), second);
    let Event::Connected { running: Some(running), .. } = event else { panic!("{event:?}") };
    assert_eq!(running.to_string(), "10.3.1-2+b1");
    answering.await.unwrap();
}

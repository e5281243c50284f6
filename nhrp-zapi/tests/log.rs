//! What the operator reads about the connection. In a program of its own: the log is the whole program's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod fake;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake::{connect, options, until};
use nhrp_zapi::{Event, ZebraClient};
use tokio::net::UnixListener;
use tokio::time::timeout;

/// Collects what the operator would read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl tracing::field::Visit for Log {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "nhrp::zebra" && *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn each_change_of_state_is_logged_once() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("zserv.api");
    let mut client = ZebraClient::new(options(&socket));
    assert!(timeout(Duration::from_millis(200), client.next()).await.is_err());
    assert!(client.statistics().failed_attempts > 4);
    let listener = UnixListener::bind(&socket).unwrap();
    let zebra = connect(&mut client, &listener).await;
    drop((zebra, listener));
    until(&mut client, |event| matches!(event, Event::Disconnected { .. })).await;
    assert!(timeout(Duration::from_millis(200), client.next()).await.is_err());

    let lines = log.0.lock().unwrap().clone();
    let starts = [
        "no zebra listens at",
        "connected to zebra",
        "zebra's interfaces",
        "connection to zebra lost",
        "no zebra listens at",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{lines:#?}");
    }
    assert!(lines[0].contains(&socket.display().to_string()) && lines[0].contains("-z"), "{}", lines[0]);
}

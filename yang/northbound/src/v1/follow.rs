//! `nhrpd.v1.Events`: the half that belongs to the transport. Takes changes from a follower's queue and sends them; when
//! the queue was too short says so, and asks for a new snapshot.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nhrp_yang::state::Family;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::EventLoop;
use super::events::{Change, Filter, Numbered, Operation, Row, Subscribe, Subscribed, Ticket};
use crate::Gone;
use crate::proto_v1::event::What;
use crate::proto_v1::events_server::Events;
use crate::proto_v1::subscribe_request::Kind;
use crate::proto_v1::{self as proto, Event, SubscribeRequest, change, row};

/// Rows of a message.
const ROWS: usize = 256;
/// One that is too slow gets a snapshot no more often: they are what costs the daemon's loop something.
const BETWEEN_SNAPSHOTS: Duration = Duration::from_secs(1);

type Answers = mpsc::Sender<Result<Event, Status>>;

/// Those who follow, as the transport sees them.
#[derive(Clone)]
pub(super) struct Follow(pub(super) Arc<dyn EventLoop>);

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follow")
    }
}

/// The client has gone; nobody is left to be told.
struct HungUp;

impl<T> From<mpsc::error::SendError<T>> for HungUp {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self
    }
}

impl Follow {
    async fn subscribe(&self, ticket: &Arc<Ticket>) -> Result<Subscribed, Status> {
        let (answer, reply) = oneshot::channel();
        self.0.subscribe(Subscribe { ticket: Arc::clone(ticket), answer }).await?;
        reply.await.map_err(|_| Gone)?.map_err(|e| Status::resource_exhausted(e.to_string()))
    }

    /// Until the client or the daemon goes.
    async fn tell(
        self,
        ticket: Arc<Ticket>,
        mut subscribed: Subscribed,
        answers: Answers,
    ) -> Result<(), HungUp> {
        loop {
            let since = Instant::now();
            let Subscribed { number, time_ms, rows, mut changes } = subscribed;
            send_snapshot(number, time_ms, rows, &answers).await?;
            let mut told = number;
            while let Some(Numbered { number, change }) = next(&mut changes, &answers).await? {
                told = number;
                let event =
                    Event { number, time_ms: change.time_ms, what: Some(What::Change(wire(&change))) };
                answers.send(Ok(event)).await?;
            }
            tokio::select! {
                () = tokio::time::sleep_until(since + BETWEEN_SNAPSHOTS) => {}
                // Its queue went with the daemon; who follows is told at once.
                () = self.0.ended() => {}
                () = answers.closed() => return Err(HungUp),
            }
            subscribed = match self.subscribe(&ticket).await {
                Ok(again) => again,
                Err(status) => return Ok(answers.send(Err(status)).await?),
            };
            let (number, time_ms) = (subscribed.number, subscribed.time_ms);
            let lost = number.saturating_sub(told);
            answers.send(Ok(Event { number, time_ms, what: Some(What::Gap(proto::Gap { lost })) })).await?;
        }
    }
}

/// The next change; none if the queue was too short.
async fn next(changes: &mut mpsc::Receiver<Numbered>, answers: &Answers) -> Result<Option<Numbered>, HungUp> {
    tokio::select! {
        item = changes.recv() => Ok(item),
        () = answers.closed() => Err(HungUp),
    }
}

async fn send_snapshot(number: u64, time_ms: i64, rows: Vec<Row>, answers: &Answers) -> Result<(), HungUp> {
    let mut left = rows.len();
    let mut rows = rows.iter();
    let mut first = true;
    loop {
        let part: Vec<proto::Row> = rows.by_ref().take(ROWS).map(wire_row).collect();
        left = left.saturating_sub(part.len());
        let snapshot = proto::Snapshot { first: std::mem::take(&mut first), last: left == 0, rows: part };
        answers.send(Ok(Event { number, time_ms, what: Some(What::Snapshot(snapshot)) })).await?;
        if left == 0 {
            return Ok(());
        }
    }
}

#[tonic::async_trait]
impl Events for Follow {
    type SubscribeStream = ReceiverStream<Result<Event, Status>>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let SubscribeRequest { kinds, interfaces } = request.into_inner();
        let unknown = |kind: &i32| Status::invalid_argument(format!("unknown kind {kind}"));
        let mut kinds: Vec<Kind> = kinds
            .iter()
            .map(|kind| Kind::try_from(*kind).map_err(|_| unknown(kind)))
            .collect::<Result<_, _>>()?;
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.first() == Some(&Kind::Everything) {
            kinds.clear();
        }
        let ticket = Arc::new(Ticket(Filter { kinds, interfaces }));
        // Who is one too many is told by the end of the call.
        let subscribed = self.subscribe(&ticket).await?;
        let (answers, stream) = mpsc::channel(1);
        // It ends when there is nobody to be told.
        tokio::spawn(self.clone().tell(ticket, subscribed, answers));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Empty for what is not known.
fn text<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn word(family: Family) -> String {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
    .to_owned()
}

fn wire(change: &Change) -> proto::Change {
    let (operation, reason) = match &change.operation {
        Operation::Added => (change::Operation::Added, String::new()),
        Operation::Changed => (change::Operation::Changed, String::new()),
        Operation::Removed(reason) => (change::Operation::Removed, reason.clone()),
    };
    proto::Change { operation: operation.into(), row: Some(wire_row(&change.row)), reason }
}

fn wire_row(row: &Row) -> proto::Row {
    let row = match row {
        Row::Interface { name, nbma, nat, family } => row::Row::Interface(proto::Interface {
            name: name.clone(),
            family: word(family.family),
            running: family.running,
            reason: family.reason.clone().unwrap_or_default(),
            protocol_address: text(family.protocol_address),
            nbma_address: text(*nbma),
            nat_nbma_address: text(*nat),
        }),
        Row::Binding(interface, entry) => row::Row::Binding(proto::Binding {
            interface: interface.clone(),
            protocol_address: entry.protocol_address.to_string(),
            r#type: entry.kind.to_owned(),
            origin: entry.origin.to_owned(),
            nbma_address: text(entry.nbma_address),
            claimed_nbma_address: text(entry.claimed_nbma_address),
            nat_nbma_address: text(entry.nat_nbma_address),
            up: entry.up,
            reason: entry.reason.clone().unwrap_or_default(),
            unique: entry.unique,
            mtu: entry.mtu.unwrap_or_default().into(),
            age: entry.age,
            expires_in: entry.expires_in.unwrap_or_default(),
        }),
        Row::Server(interface, server) => row::Row::Server(proto::Server {
            interface: interface.clone(),
            family: word(server.family),
            nhs: server.nhs.clone(),
            instance: server.instance,
            nbma_address: text(server.nbma_address),
            protocol_address: text(server.protocol_address),
            priority: server.priority.into(),
            state: server.state.to_owned(),
            reason: server.reason.clone().unwrap_or_default(),
            code: server.code.unwrap_or_default().into(),
            since: server.since.unwrap_or_default(),
        }),
        Row::Shortcut(shortcut) => row::Row::Shortcut(proto::Shortcut {
            prefix: shortcut.prefix.to_string(),
            state: shortcut.state.to_owned(),
            target: shortcut.target.to_string(),
            via: text(shortcut.via),
            nbma_address: text(shortcut.nbma_address),
            interface: shortcut.interface.clone().unwrap_or_default(),
            expires_in: shortcut.expires_in.unwrap_or_default(),
        }),
        Row::Association(association) => row::Row::Association(proto::Association {
            local_nbma: text(association.local_nbma),
            remote_nbma: association.remote_nbma.to_string(),
            identity: association.identity.clone(),
            associations: association.associations,
        }),
    };
    proto::Row { row: Some(row) }
}

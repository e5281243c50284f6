//! `nhrpd.v1`, this daemon's own services beside FRR's. Owns how their calls reach the daemon's loop; what a command
//! means is vtysh-plugin's, what it does the daemon's.

mod console;
mod events;
mod follow;
mod parts;
mod standard;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tonic::Status;
use tonic::service::Routes;
use vtysh_plugin::VtyRequest;

use crate::Gone;
use crate::proto_v1::events_server::EventsServer;
use crate::proto_v1::exec_server::ExecServer;
use crate::proto_v1::show_server::ShowServer;
use console::Console;
pub use events::{Filter, Followers, Operation, Row, Subscribe};
use follow::Follow;

/// Something on its way to the daemon's loop, which takes one after the other.
pub type Handing<'a> = Pin<Box<dyn Future<Output = Result<(), Gone>> + Send + 'a>>;

/// The daemon's own loop, from the transport's thread.
pub trait EventLoop: Send + Sync {
    /// Hands over a command, as a session of the vty does.
    ///
    /// # Errors
    /// [`Gone`]
    fn command(&self, request: VtyRequest) -> Handing<'_>;

    /// Whether what is typed is to be logged (`log commands`).
    fn logs_commands(&self) -> bool;

    /// Hands over the wish for a snapshot and what changes behind it, for [`Followers::subscribe`].
    ///
    /// # Errors
    /// [`Gone`]
    fn subscribe(&self, request: Subscribe) -> Handing<'_>;

    /// Waits until it has ended: nothing that is handed over from then on is answered.
    fn ended(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Whether clients are told what is served, and that it is (reflection and health).
    fn tells_of_itself(&self) -> bool {
        false
    }
}

impl From<Gone> for Status {
    fn from(gone: Gone) -> Self {
        Self::unavailable(gone.to_string())
    }
}

/// The services.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    console: Console,
    follow: Follow,
    tells_of_itself: bool,
}

impl Own {
    pub(crate) fn new(daemon: Arc<dyn EventLoop>) -> Self {
        let tells_of_itself = daemon.tells_of_itself();
        Self { console: Console::new(Arc::clone(&daemon)), follow: Follow(daemon), tells_of_itself }
    }

    /// Served with what is served already. Needs a tokio runtime.
    pub(crate) fn beside(self, others: Routes) -> Routes {
        let all = others
            .add_service(ShowServer::new(self.console.clone()))
            .add_service(ExecServer::new(self.console))
            .add_service(EventsServer::new(self.follow));
        if self.tells_of_itself { standard::beside(all) } else { all }
    }
}

//! What vtysh, watchfrr and configuration files talk to: the vty socket's framing, FRR's command grammar and nodes,
//! and FRR's texts for every `show`.
//!
//! This crate turns a line into a typed [`Command`] and rows into text. It never sees the protocol engine, holds no
//! protocol state and makes no decision about the configuration: the daemon implements [`Handler`] (or answers
//! [`VtyRequest`]s from its own loop) and fills the row structs of [`render`].
//!
//! ```
//! use vtysh_plugin::{Command, Handler, Reply, Session};
//!
//! struct Daemon(nhrp_config::Config);
//!
//! impl Handler for Daemon {
//!     fn execute(&mut self, command: Command) -> Reply {
//!         match command {
//!             Command::Edit(edit) => self.0.apply(&edit).into(),
//!             Command::Echo(text) => Reply::text(format!("{text}\n")),
//!             _ => Reply::ok(),
//!         }
//!     }
//! }
//!
//! let (mut session, mut daemon) = (Session::new(), Daemon(nhrp_config::Config::default()));
//! for line in ["enable", "conf t", "interface gre1", " ip nhrp network-id 1\n"] {
//!     assert_eq!(session.execute(line, &mut daemon), Reply::ok());
//! }
//! assert_eq!(daemon.0.interfaces["gre1"].ip.network_id, 1);
//! ```

mod command;
mod config_file;
mod framing;
mod grammar;
mod library;
mod live_log;
mod logging;
mod release;
pub mod render;
mod reply;
mod server;
mod session;
mod telnet;

pub use command::{ClearTarget, Command, DetailTable, Monitoring, NhrpTable, Selected, Show, WriteTarget};
pub use config_file::{ConfigError, read_config};
pub use framing::{MAX_REQUEST, Request, RequestReader, encode_reply};
pub use grammar::Words as HelpWords;
pub use library::{Banner, LibraryConfig, LibraryEdit, ListEdit, ListFamily};
pub use live_log::{LiveLog, LiveMessage};
pub use logging::{LogEdit, LogLevel, LogTarget, Logging};
pub use release::Release;
pub use reply::{Reply, ReturnCode};
pub use server::{INTERACTIVE, VtyRequest, VtyServer};
pub use session::{Handler, Help, Node, Pending, Session, Step};
pub use telnet::{AccessRule, Password, TelnetServer, TerminalSettings};

//! Commands about configuration and state as data: what may be said on the command line, and what is understood of it.
//! Whether this program can speak gRPC is decided where it is built.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Where and how the daemon is reached by gRPC.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    /// Where nhrpd serves gRPC, for get, diff and commit: HOST, HOST:PORT or unix:PATH
    #[arg(long, global = true, value_name = "WHERE", default_value = "127.0.0.1:50051")]
    pub(crate) grpc: String,
    /// Certificate of the authority that has signed nhrpd's, in PEM; without it there is no TLS
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Own certificate, in PEM, for an nhrpd that asks for one
    #[arg(long, global = true, value_name = "FILE", requires_all = ["key", "cacert"])]
    pub(crate) cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Data {
    /// Print configuration and state as JSON
    Get {
        /// What to print, such as /frr-nhrpd:nhrp; everything by default
        #[arg(default_value = "/", value_name = "PATH")]
        path: String,
        /// Only what is known
        #[arg(long, conflicts_with = "config")]
        state: bool,
        /// Only what is configured
        #[arg(long)]
        config: bool,
    },
    /// Print what a commit would change; exits 1 if it would change something
    Diff(Document),
    /// Change the configuration, all of it or nothing
    Commit {
        #[command(flatten)]
        document: Document,
        /// Words that are kept with the transaction
        #[arg(long, value_name = "TEXT", default_value = "")]
        comment: String,
    },
}

/// A configuration as data.
#[derive(Args, Clone, Debug)]
pub(crate) struct Document {
    /// Configuration as JSON (or XML) of the model, to be put over what runs; - for the standard input
    pub(crate) file: PathBuf,
    /// Take it in place of what runs: what is not in it goes
    #[arg(long)]
    pub(crate) replace: bool,
}

/// Where gRPC is served, as it was said.
#[cfg_attr(not(feature = "grpc"), allow(dead_code, reason = "only a client goes there"))]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Host and port as in a URI.
    Host(String),
    /// Path of a socket.
    Socket(String),
}

/// FRR's.
const PORT: u16 = 50051;

#[cfg_attr(not(feature = "grpc"), allow(dead_code, reason = "only a client goes there"))]
pub(crate) fn address(text: &str) -> Result<Address, String> {
    let wrong = || format!("--grpc {text}: neither HOST, HOST:PORT nor unix:PATH");
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.is_empty() { Err(wrong()) } else { Ok(Address::Socket(path.to_owned())) };
    }
    if let Ok(address) = text.parse::<std::net::Ipv6Addr>() {
        return Ok(Address::Host(format!("[{address}]:{PORT}")));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse::<u16>().map_err(|_| wrong())?)
        }
        _ => (text, PORT),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let sound = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        }
    };
    if sound { Ok(Address::Host(format!("{host}:{port}"))) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let host = |text: &str| Ok(Address::Host(text.to_owned()));
        assert_eq!(address("127.0.0.1"), host("127.0.0.1:50051"));
        assert_eq!(address("hub1.example:5"), host("hub1.example:5"));
        assert_eq!(address("::1"), host("[::1]:50051"));
        assert_eq!(address("[::1]:5"), host("[::1]:5"));
        assert_eq!(address("unix:/run/x"), Ok(Address::Socket("/run/x".to_owned())));
        for wrong in ["", "unix:", "a:b", "a b", "[x]:5", "http://hub1", ":5", "1:2:3"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}

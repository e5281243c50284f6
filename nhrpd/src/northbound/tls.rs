//! Who may reach the service from where, and the files of TLS, which may be others in the course of time.

use std::path::Path;

use northbound::{Listener, Tls, TlsProblem};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::options::Grpc;
use crate::process::with_file_rights;

/// Where other hosts can reach it, not everybody may configure the daemon.
pub(super) fn refuse_strangers(grpc: &Grpc, listener: &Listener) -> Result<(), String> {
    if !listener.is_open_to_others() || grpc.insecure {
        return Ok(());
    }
    let remedy = match &grpc.tls {
        None => {
            "add --grpc-tls-cert, --grpc-tls-key and --grpc-tls-ca, listen on a loopback address or a unix socket, or \
             add --grpc-insecure"
        }
        Some(tls) if tls.authorities.is_none() => {
            "add --grpc-tls-ca FILE, so that clients have to show a certificate, or --grpc-insecure"
        }
        Some(_) => return Ok(()),
    };
    Err(format!(
        "--grpc-listen {listener}: anybody who reaches that address could configure this daemon; {remedy}"
    ))
}

/// TLS, if it is wanted. A key is often root's alone, and this is not root any more.
pub(super) fn of(grpc: &Grpc, listener: &Listener) -> Result<Option<Tls>, String> {
    let Some(files) = &grpc.tls else { return Ok(None) };
    if matches!(listener, Listener::Unix(_)) {
        return Err(format!(
            "--grpc-listen {listener}: there is no TLS on a unix socket, whose clients the kernel names; leave out \
             --grpc-tls-cert"
        ));
    }
    let read = |option: &str, path: &Path| {
        with_file_rights(|| std::fs::read(path))
            .map_err(|error| format!("{option} {}: cannot read it: {error}", path.display()))
    };
    let certificate = read("--grpc-tls-cert", &files.certificate)?;
    let key = read("--grpc-tls-key", &files.key)?;
    let authorities = files.authorities.as_deref().map(|path| read("--grpc-tls-ca", path)).transpose()?;
    let tls = Tls::new(&certificate, &key, authorities.as_deref()).map_err(|problem| match &problem {
        TlsProblem::Certificate | TlsProblem::Pair(_) => {
            format!("--grpc-tls-cert {}: {problem}", files.certificate.display())
        }
        TlsProblem::Key => format!("--grpc-tls-key {}: {problem}", files.key.display()),
        TlsProblem::Mismatch => {
            format!("--grpc-tls-key {}: {problem} in {}", files.key.display(), files.certificate.display())
        }
        TlsProblem::Authority(_) => {
            let path = files.authorities.as_deref().unwrap_or(Path::new(""));
            format!("--grpc-tls-ca {}: {problem}", path.display())
        }
    })?;
    Ok(Some(tls))
}

/// The same, and from now on what is in the files whenever SIGHUP comes; as long as that cannot be used, what was
/// there before. Needs the runtime of the daemon's loop, but not its time.
pub(super) fn renewed(tls: Tls, grpc: &Grpc, listener: &Listener) -> Result<watch::Receiver<Tls>, String> {
    let mut asked = signal(SignalKind::hangup()).map_err(|e| format!("cannot listen for signals: {e}"))?;
    let (renew, current) = watch::channel(tls);
    let (grpc, listener) = (grpc.clone(), listener.clone());
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            let (grpc, listener) = (grpc.clone(), listener.clone());
            let read = tokio::task::spawn_blocking(move || of(&grpc, &listener)).await;
            match read.unwrap_or_else(|e| Err(e.to_string())) {
                Ok(None) => {}
                Ok(Some(tls)) => {
                    renew.send_replace(tls);
                    tracing::info!(
                        target: "nhrp::common",
                        "gRPC: certificates and key have been read anew; connections that there are go on"
                    );
                }
                Err(problem) => {
                    tracing::error!(target: "nhrp::common", "{problem}; gRPC goes on with what it had");
                }
            }
        }
    });
    Ok(current)
}

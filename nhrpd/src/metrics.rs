//! Metrics for Prometheus: the endpoint of `--metrics-listen`.
//!
//! Owns the listening socket, its connections and their limits. A scraper is told numbers and names of interfaces, and can
//! change nothing. However many there are and whatever they do, the event loop is asked for one snapshot a second at most,
//! which is one walk over its tables; no connection lasts longer than a few seconds, and a few are served at a time.

mod snapshot;
mod text;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

pub(crate) use snapshot::Snapshot;

/// What a scraper wants of the event loop. Dropping it says that the daemon ends.
pub(crate) type Request = oneshot::Sender<Snapshot>;

/// Where they are.
const PATH: &str = "/metrics";
/// Connections that are served at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 8;
/// How long one may last, which is for one request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Octets of the longest head of a request: the least that hyper takes. Bodies are not read.
const HEAD: usize = 8192;
const HEADERS: usize = 64;
/// How long a snapshot is told to whoever asks.
const FRESH: Duration = Duration::from_secs(1);
/// After a connection that could not be accepted.
const RETRY: Duration = Duration::from_secs(1);
/// The text format 0.0.4, which every Prometheus reads.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Starts serving, if it is wanted; what scrapers want comes out of the receiver.
pub(crate) fn start(address: Option<SocketAddr>) -> Result<Option<mpsc::Receiver<Request>>, String> {
    let Some(address) = address else { return Ok(None) };
    let (listener, bound) =
        listen(address).map_err(|e| format!("--metrics-listen {address}: cannot listen there: {e}"))?;
    // There is never more than one request, see `Source`.
    let (requests, receiver) = mpsc::channel(1);
    let source = Source { requests, latest: Mutex::new(None) };
    tokio::spawn(serve(listener, Arc::new(source)));
    tracing::info!(target: "nhrp::common", "metrics are served on http://{bound}{PATH}");
    Ok(Some(receiver))
}

fn listen(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, bound))
}

/// Where the text comes from.
struct Source {
    requests: mpsc::Sender<Request>,
    /// Locked while a new one is made, so that everybody who asks meanwhile gets that one.
    latest: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Source {
    /// None: the daemon ends.
    async fn text(&self) -> Option<Arc<str>> {
        let mut latest = self.latest.lock().await;
        if let Some((made, text)) = &*latest
            && made.elapsed() < FRESH
        {
            return Some(Arc::clone(text));
        }
        let (answer, reply) = oneshot::channel();
        self.requests.send(answer).await.ok()?;
        let text: Arc<str> = text::render(&reply.await.ok()?).into();
        *latest = Some((Instant::now(), Arc::clone(&text)));
        Some(text)
    }
}

async fn serve(listener: TcpListener, source: Arc<Source>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut failing = false;
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                failing = false;
                let source = Arc::clone(&source);
                tokio::spawn(async move {
                    // What becomes of it is the scraper's affair.
                    let _ = timeout(PATIENCE, connection(stream, source)).await;
                    drop(place);
                });
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(
                        target: "nhrp::common",
                        "a connection of a scraper of metrics cannot be accepted: {error}; trying every second"
                    );
                }
                sleep(RETRY).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, source: Arc<Source>) -> hyper::Result<()> {
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        let source = Arc::clone(&source);
        async move { Ok::<_, Infallible>(answer(&request, &source).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(request: &HttpRequest<Incoming>, source: &Source) -> Response<String> {
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, format!("There is nothing here; metrics are at {PATH}.\n"));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "Metrics can be read only.\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match source.text().await {
        Some(text) => {
            let mut found = plain(StatusCode::OK, text.as_ref().to_owned());
            found.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FORMAT));
            found
        }
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "The daemon ends.\n".to_owned()),
    }
}

fn plain(status: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
#[path = "metrics/endpoint_tests.rs"]
mod tests;

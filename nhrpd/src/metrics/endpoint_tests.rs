//! The endpoint against scrapers of all kinds, over the loopback address.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// An endpoint, and a loop that answers each request and counts them.
fn endpoint() -> (SocketAddr, Arc<std::sync::atomic::AtomicUsize>) {
    let (listener, address) = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let (requests, mut receiver) = mpsc::channel::<Request>(1);
    tokio::spawn(serve(listener, Arc::new(Source { requests, latest: Mutex::new(None) })));
    let asked = Arc::<std::sync::atomic::AtomicUsize>::default();
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Some(answer) = receiver.recv().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let _ = answer.send(Snapshot::default());
        }
    });
    (address, asked)
}

/// What comes back until the other end closes; nothing if it resets the connection.
async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be refused before all of it is read.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

const SCRAPE: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_scraper_gets_the_text() {
    let (address, _) = endpoint();
    let answer = ask(address, SCRAPE).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(body, text::render(&Snapshot::default()));
    let head = ask(address, b"HEAD /metrics?x=y HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn what_is_no_scrape_is_refused() {
    let (address, asked) = endpoint();
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(100));
    for (request, answer) in [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(), "HTTP/1.1 404 "),
        (b"GET /metrics/../x HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 "),
        (b"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 "),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", "HTTP/1.1 405 "),
        (b"\0\0\0\0\r\n\r\n", "HTTP/1.1 400 "),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
        (many.as_bytes(), "HTTP/1.1 431 "),
    ] {
        let got = ask(address, request).await;
        assert!(
            got.starts_with(answer) && !got.contains(" 200 "),
            "{:?}: {got}",
            String::from_utf8_lossy(request)
        );
    }
    // Too long a head may be answered, or the connection be gone before the answer is read.
    assert!(!ask(address, long.as_bytes()).await.contains(" 200 "));
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 0, "the loop was asked in vain");
}

#[tokio::test]
async fn the_loop_is_asked_once_however_many_scrape() {
    let (address, asked) = endpoint();
    let began = Instant::now();
    let scrapers: Vec<_> = (0..100).map(|_| tokio::spawn(ask(address, SCRAPE))).collect();
    for scraper in scrapers {
        assert!(scraper.await.unwrap().starts_with("HTTP/1.1 200 OK"));
    }
    // More than one only if that took longer than a snapshot is fresh.
    let most = 1 + began.elapsed().as_millis() / FRESH.as_millis();
    assert!(asked.load(std::sync::atomic::Ordering::Relaxed) as u128 <= most);
}

#[tokio::test]
async fn connections_that_say_nothing_make_room() {
    let (address, _) = endpoint();
    let began = Instant::now();
    let mut silent = Vec::new();
    for part in [b"".as_slice(), b"GET /met"].into_iter().cycle().take(CONNECTIONS) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(part).await.unwrap();
        silent.push(stream);
    }
    let answer = timeout(PATIENCE * 4, ask(address, SCRAPE)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(began.elapsed() + Duration::from_millis(500) >= PATIENCE, "there is no limit of connections");
}

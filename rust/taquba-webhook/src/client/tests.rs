//! Names that lead to refused addresses, and names that change their mind.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::guard::AddressGuard;
use crate::limits::ADDRESSES_COUNT_MAX;
use crate::resolver::Looking;

/// Answers each lookup with the next list of addresses, and the last one for ever.
struct Scripted {
    answers: Vec<Vec<&'static str>>,
    asked_count: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        let answers = answers.iter().map(|addresses| addresses.to_vec()).collect();
        Arc::new(Self { answers, asked_count: AtomicUsize::new(0) })
    }
}

impl Lookup for Scripted {
    fn lookup(&self, _: &str) -> Looking {
        let turn = self.asked_count.fetch_add(1, Ordering::SeqCst);
        let addresses = self.answers[turn.min(self.answers.len() - 1)].clone();
        let addresses: io::Result<Vec<IpAddr>> = addresses
            .into_iter()
            .map(|address| address.parse().map_err(|_| io::Error::other("no such name")))
            .collect();
        Box::pin(async move { addresses })
    }
}

/// A receiver on loopback that answers one request per connection, and counts connections.
async fn receiver(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&connections);
    let serve = async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            seen.fetch_add(1, Ordering::SeqCst);
            let mut buffer = [0; 4096];
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    };
    #[expect(clippy::disallowed_methods, reason = "the receiver of a test ends with its runtime")]
    tokio::spawn(serve);
    (port, connections)
}

const OK: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

fn rules(port: u16, allowed: &[&str]) -> UrlRules {
    let networks = allowed.iter().map(|text| AddressGuard::parse_network(text).expect("a network"));
    UrlRules {
        allow_http: true,
        ports: vec![port],
        guard: AddressGuard::new(networks.collect()),
        ..UrlRules::default()
    }
}

fn request(port: u16) -> Request {
    Request {
        url: format!("http://receiver.example:{port}/hook?secret=1"),
        headers: Vec::new(),
        body: Bytes::from_static(b"body"),
        timeout: Duration::from_secs(10),
    }
}

async fn deliver(port: u16, allowed: &[&str], lookup: Arc<Scripted>) -> Result<Answer, Failure> {
    let client = Client::with_lookup(rules(port, allowed), lookup).expect("a client");
    client.deliver(request(port)).await
}

#[tokio::test]
async fn a_name_is_delivered_to_the_address_that_was_checked() {
    let (port, connections) = receiver(OK).await;
    let lookup = Scripted::new(&[&["127.0.0.1"]]);

    let answer = deliver(port, &["127.0.0.0/8"], Arc::clone(&lookup)).await;

    assert_eq!(answer, Ok(Answer { status: 204, retry_after: None }));
    assert_eq!(lookup.asked_count.load(Ordering::SeqCst), 1, "resolved once, and pinned");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_name_that_leads_to_a_refused_address_is_refused_before_anything_is_sent() {
    let (port, connections) = receiver(OK).await;

    let answer = deliver(port, &[], Scripted::new(&[&["127.0.0.1"]])).await;

    let Err(Failure::Address { host, refused }) = answer else { panic!("{answer:?}") };
    assert_eq!((host.as_str(), refused.reason), ("receiver.example", "loopback"));
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn one_refused_address_among_good_ones_is_enough() {
    let (port, connections) = receiver(OK).await;
    for order in [["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"]] {
        let answer = deliver(port, &["127.0.0.0/8"], Scripted::new(&[&order])).await;

        assert!(matches!(answer, Err(Failure::Address { .. })), "{answer:?}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_the_second_time_is_refused_then() {
    let (port, connections) = receiver(OK).await;
    let lookup = Scripted::new(&[&["127.0.0.1"], &["169.254.169.254"], &["127.0.0.1"]]);
    let client = Client::with_lookup(rules(port, &["127.0.0.0/8"]), lookup).expect("a client");

    let first = client.deliver(request(port)).await;
    let second = client.deliver(request(port)).await;
    let third = client.deliver(request(port)).await;

    assert_eq!(first.map(|answer| answer.status), Ok(204));
    assert!(matches!(second, Err(Failure::Address { .. })), "{second:?}");
    assert_eq!(third.map(|answer| answer.status), Ok(204));
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let moved = "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://169.254.169.254/\r\n\
                 content-length: 0\r\nconnection: close\r\n\r\n";
    let (port, connections) = receiver(moved).await;
    let lookup = Scripted::new(&[&["127.0.0.1"]]);

    let answer = deliver(port, &["127.0.0.0/8"], Arc::clone(&lookup)).await;

    assert_eq!(answer, Ok(Answer { status: 307, retry_after: None }));
    assert_eq!(lookup.asked_count.load(Ordering::SeqCst), 1);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn names_without_an_address_or_with_too_many_fail_for_now() {
    let many = ["127.0.0.1"; ADDRESSES_COUNT_MAX + 1];
    for answers in [&[][..], &["no address"][..], &many[..]] {
        let answer = deliver(80, &["127.0.0.0/8"], Scripted::new(&[answers])).await;

        let Err(Failure::Transport { host, detail }) = answer else { panic!("{answer:?}") };
        assert_eq!(host, "receiver.example");
        assert!(!detail.contains("secret"), "{detail}");
    }
}

#[tokio::test]
async fn headers_that_would_break_the_request_are_refused() {
    let client = Client::new(rules(80, &[])).expect("a client");
    for (name, value) in [
        ("x", "a\r\nHost: b"),
        ("x", "a\nb"),
        ("x", "a\0"),
        ("x", "ä"),
        ("x y", "a"),
        ("x:", "a"),
        ("", "a"),
        ("x\r\n", "a"),
    ] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let answer = client.deliver(Request { headers, ..request(80) }).await;

        assert!(matches!(answer, Err(Failure::Header { .. })), "{name:?} {value:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let lookup = Scripted::new(&[&["127.0.0.1"]]);
    let client = Client::with_lookup(rules(port, &["127.0.0.0/8"]), lookup).expect("a client");

    let timeout = Duration::from_millis(50);
    let answer = client.deliver(Request { timeout, ..request(port) }).await;

    let host = "receiver.example".to_owned();
    assert_eq!(answer, Err(Failure::Timeout { host, timeout }));
}

#[tokio::test]
async fn what_no_request_can_be_sent_to_is_refused_for_good() {
    let sending = reqwest::Client::new().post("no URL").send();
    let failed = sending.await.expect_err("nowhere to send it to");

    let failure = failure("receiver.example".to_owned(), Duration::from_secs(1), failed);

    assert!(matches!(failure, Failure::Url(RefusedUrl::Syntax { .. })), "{failure:?}");
}

/// Never begins to look anything up.
struct Busy;

impl Lookup for Busy {
    fn lookup(&self, _: &str) -> Looking {
        Box::pin(async { Err(io::ErrorKind::ResourceBusy.into()) })
    }
}

#[tokio::test]
async fn a_lookup_that_did_not_begin_is_no_fault_of_the_receiver() {
    let client = Client::with_lookup(rules(80, &[]), Arc::new(Busy)).expect("a client");

    let answer = client.deliver(request(80)).await;

    assert_eq!(answer, Err(Failure::Busy { host: "receiver.example".to_owned() }));
}

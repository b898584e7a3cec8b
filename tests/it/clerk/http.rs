//! The real transport against a raw socket that answers as badly as it can.

use std::{
    error::Error,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use afterbeat::clerk::{
    Cause, FrontendApi, HttpTransport, Refresher, RefresherBuilder, TokenError,
};

use super::rig::{CLIENT_TOKEN, SECOND};

/// Answers each connection by `reply`, once its request's head has been read.
/// Returns where, and the heads.
fn server(
    reply: impl Fn(&mut TcpStream) + Send + 'static,
) -> (FrontendApi, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    let (heads, seen) = mpsc::channel();
    // Ends with the process: nothing connects any more.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let _ = heads.send(String::from_utf8(head).unwrap());
            reply(&mut stream);
        }
    });
    (api.parse().unwrap(), seen)
}

fn says(reply: &'static str) -> impl Fn(&mut TcpStream) + Send + 'static {
    move |stream| stream.write_all(reply.as_bytes()).unwrap()
}

fn refresher(api: FrontendApi) -> Refresher {
    let transport = HttpTransport::new().unwrap();
    RefresherBuilder::new(api, transport)
        .client_token(CLIENT_TOKEN.parse().unwrap())
        .last_token("e30.eyJzaWQiOiJzIiwic3ViIjoidSIsImlhdCI6MCwiZXhwIjo2MH0.c2ln")
        .unwrap()
        .interval(Duration::MAX)
        .spawn()
}

/// The error of a start-up that knows no last token to fall back on.
async fn start_up(api: FrontendApi) -> TokenError {
    let transport = HttpTransport::new().unwrap();
    let refresher = RefresherBuilder::new(api, transport)
        .client_token(CLIENT_TOKEN.parse().unwrap())
        // The transport's own limits are looked at here.
        .attempt_timeout(Duration::MAX)
        .max_wait(Duration::MAX)
        .spawn();
    refresher.ready().await.unwrap_err()
}

fn cause(error: &TokenError) -> &Cause {
    match error {
        TokenError::Unavailable { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bad_bodies_are_clear_errors() {
    for (reply, said) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>",
            "is not JSON",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "is not JSON",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            "has no `response`",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n{\"respo",
            "is cut off",
        ),
    ] {
        let (api, _heads) = server(says(reply));
        let error = start_up(api).await;
        let expected = format!("the API answered 200 with a body that {said}");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_at_its_limit() {
    let (written, total) = mpsc::channel();
    let (api, _heads) = server(move |stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut bytes = 0_u64;
        let refused = loop {
            match stream.write(&[b' '; 4096]) {
                Ok(n) => bytes += n as u64,
                Err(error) => break error.kind(),
            }
        };
        assert!(matches!(
            refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ));
        written.send(bytes).unwrap();
    });
    let error = start_up(api).await;
    assert!(
        error.to_string().ends_with("is longer than 256 KiB"),
        "{error}"
    );
    // What the sockets held, but no more.
    assert!(total.recv().unwrap() < 64 * 1024 * 1024);
}

/// By the paused clock: the limit of 10 s passes while nothing comes.
#[tokio::test(start_paused = true)]
async fn silence_is_bounded_in_time() {
    let (api, _heads) = server(|_| thread::park());
    let begun = tokio::time::Instant::now();
    let error = start_up(api).await;
    assert!(
        error.to_string().contains("no response from the API: "),
        "{error}"
    );
    assert!(error.to_string().contains("timed out"), "{error}");
    assert!(
        begun.elapsed() < 4 * 11 * SECOND + 5 * SECOND,
        "four times ten seconds, and waits"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(listener);
    let error = start_up(api).await;
    assert!(
        error
            .to_string()
            .starts_with("no token after 3 retries in "),
        "{error}"
    );
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

/// Its query may hold a token.
#[tokio::test(start_paused = true)]
async fn an_error_does_not_show_the_url() {
    // Does not get through, and is cut off before its head has ended.
    for reply in ["", "HTTP/1.1 "] {
        let (api, heads) = server(says(reply));
        let error = start_up(api).await;
        assert!(heads.recv().unwrap().contains("_is_native=1"));
        let shown = format!("{error} {error:?} {:?}", error.source());
        assert!(shown.contains("no response from the API"), "{shown}");
        assert!(!shown.contains("_is_native"), "{shown}");
    }
}

#[tokio::test]
async fn status_comes_first_and_headers_are_kept() {
    let (api, _heads) = server(says(
        "HTTP/1.1 429 Too Many\r\ndate: Sun, 06 Nov 1994 08:49:17 GMT\r\n\
         retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\ncf-ray: ray_1\r\n\
         content-length: 6\r\n\r\n<html>",
    ));
    let error = start_up(api).await;
    assert!(
        error
            .to_string()
            .ends_with("the API answered 429 (trace ray_1)"),
        "{error}"
    );
    let hint = Some(20 * SECOND);
    assert!(matches!(cause(&error), Cause::Status { retry_after, .. } if *retry_after == hint));

    for nonsense in ["soon", "-5", ""] {
        let (api, _heads) = server(move |stream| {
            let head = "HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n";
            write!(stream, "{head}retry-after: {nonsense}\r\n\r\n").unwrap();
        });
        let error = start_up(api).await;
        assert!(
            matches!(
                cause(&error),
                Cause::Status {
                    retry_after: None,
                    ..
                }
            ),
            "{nonsense}"
        );
    }

    let (api, _heads) = server(says(
        "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
    ));
    let error = start_up(api).await;
    assert!(
        error.to_string().ends_with("the API answered 302"),
        "no redirect is followed"
    );
}

/// Seconds and dates, as [`afterbeat::retry_after`] reads them.
#[tokio::test]
async fn a_retry_after_is_shortened_by_the_age_and_needs_no_date() {
    let hint = async |headers: &'static str| {
        let (api, _heads) = server(move |stream| {
            let head = "HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n";
            write!(stream, "{head}{headers}\r\n").unwrap();
        });
        match cause(&start_up(api).await) {
            Cause::Status { retry_after, .. } => *retry_after,
            other => panic!("{other:?}"),
        }
    };
    let kept = hint("retry-after: 120\r\nage: 100\r\n").await;
    assert_eq!(kept, Some(20 * SECOND));
    let for_ever = hint("retry-after: 99999999999999999999999\r\n").await;
    assert_eq!(for_ever, Some(Duration::MAX));
    let past = hint("retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n").await;
    assert_eq!(past, Some(Duration::ZERO));

    let until = UNIX_EPOCH + 3_939_871_777 * SECOND;
    let before = until.duration_since(SystemTime::now()).unwrap();
    let wait = hint("retry-after: Sat, 06 Nov 2094 08:49:37 GMT\r\n").await;
    let after = until.duration_since(SystemTime::now()).unwrap();
    assert!((after..=before).contains(&wait.unwrap()), "{wait:?}");
}

#[tokio::test]
async fn a_401_in_html_signs_out_and_an_html_500_does_not() {
    let (api, _heads) = server(says(
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 6\r\n\r\n<html>",
    ));
    assert!(matches!(start_up(api).await, TokenError::SignedOut(_)));
    let (api, _heads) = server(says("HTTP/1.1 500 Oops\r\ncontent-length: 6\r\n\r\n<html>"));
    assert!(matches!(
        start_up(api).await,
        TokenError::Unavailable { .. }
    ));
}

#[tokio::test]
async fn the_wire_is_as_documented() {
    let (api, heads) = server(says("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"));
    let host = api.to_string().replace("http://", "");
    // Down, with a last token: a forced mint follows.
    refresher(api).ready().await.unwrap();
    let query = "_is_native=1&__clerk_api_version=2026-05-12";
    let agent = format!("user-agent: afterbeat/{}", env!("CARGO_PKG_VERSION"));
    let lines = |head: String| {
        let mut lines: Vec<_> = head.trim_end().split("\r\n").map(str::to_owned).collect();
        lines[1..].sort();
        lines
    };
    assert_eq!(
        lines(heads.recv().unwrap()),
        [
            &format!("GET /v1/client?{query} HTTP/1.1"),
            "accept: */*",
            &format!("authorization: {CLIENT_TOKEN}"),
            &format!("host: {host}"),
            &agent,
        ]
    );
}

/// F2: one `Authorization`, no `Origin`, and no `Cookie` though one has been set.
#[tokio::test]
async fn a_mint_is_a_form_post() {
    let (api, heads) = server(says(
        "HTTP/1.1 500 Oops\r\nset-cookie: a=b; path=/\r\ncontent-length: 0\r\n\r\n",
    ));
    let refresher = refresher(api);
    refresher.ready().await.unwrap();
    let _get = heads.recv().unwrap();
    let post = tokio::task::spawn_blocking(move || heads.recv().unwrap())
        .await
        .unwrap();
    let path = "/v1/client/sessions/s/tokens";
    let query = "_is_native=1&__clerk_api_version=2026-05-12&debug=skip_cache";
    assert!(
        post.starts_with(&format!("POST {path}?{query} HTTP/1.1\r\n")),
        "{post}"
    );
    assert!(
        post.contains("content-type: application/x-www-form-urlencoded\r\n"),
        "{post}"
    );
    let sends = |name: &str| {
        let of_that = |line: &&str| line.to_lowercase().starts_with(&format!("{name}:"));
        post.lines().filter(of_that).collect::<Vec<_>>()
    };
    let authorization = format!("authorization: {CLIENT_TOKEN}");
    assert_eq!(sends("authorization"), [&authorization]);
    for forbidden in ["origin", "cookie"] {
        assert!(sends(forbidden).is_empty(), "{post}");
    }
}

#[tokio::test]
async fn a_retry_after_in_seconds_is_read() {
    for (value, hint) in [
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("0", Some(0)),
        ("7s", None),
    ] {
        let (api, _heads) = server(move |stream| {
            let head = "HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n";
            write!(stream, "{head}retry-after: {value}\r\n\r\n").unwrap();
        });
        let error = start_up(api).await;
        let Cause::Status { retry_after, .. } = cause(&error) else {
            panic!("{error:?}");
        };
        assert_eq!(*retry_after, hint.map(Duration::from_secs), "{value}");
    }
}

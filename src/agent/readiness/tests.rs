use std::io::{Read, Write};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

/// Answers one request after another with these, and says where.
fn server(answers: &'static [&'static str]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let length = stream.read(&mut asked).unwrap();
            assert!(asked[..length].starts_with(b"GET /health?x=1 HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

#[actix::test]
async fn a_look_by_http_passes_by_the_status() {
    let address = server(&[
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 6\r\n\r\nsecret",
        "what?",
    ]);
    let look = Look::Http { address: address.clone(), path: "/health?x=1".to_owned() };
    assert_eq!(look.once(LIMIT).await, Ok(()));
    assert_eq!(look.once(LIMIT).await, Ok(()));
    let refused = look.once(LIMIT).await.unwrap_err();
    assert!(refused.ends_with("answered 503 Service Unavailable"), "{refused}");
    assert!(look.once(LIMIT).await.is_err());
    let gone = look.once(LIMIT).await.unwrap_err();
    assert!(gone.contains(&address), "{gone}");
}

#[actix::test]
async fn a_look_by_tcp_passes_when_the_connection_is_taken() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let look = Look::Tcp(listener.local_addr().unwrap().to_string());
    assert_eq!(look.once(LIMIT).await, Ok(()));
    drop(listener);
    assert!(look.once(LIMIT).await.is_err());
}

#[actix::test]
async fn a_look_that_is_not_answered_ends_at_its_limit() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let look = Look::Http { address, path: "/".to_owned() };
    let late = look.once(Duration::from_millis(50)).await.unwrap_err();
    assert!(late.ends_with("no answer within 50ms"), "{late}");
}

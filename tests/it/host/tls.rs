//! TLS over TCP, with a certificate that changes while the host runs.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use nix::sys::signal::Signal;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use super::access::address;
use crate::support::{
    host::{Host, WORKER},
    processes::{eventually, send},
    wire::Ask,
};

const KEY: &str = "correct-horse-battery-staple";

/// Makes a certificate for `localhost` that vouches for itself, as `cert.pem` and `key.pem`.
fn make(host: &Host, serial: u32) {
    let serial = serial.to_string();
    let key = host.path("new.key");
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    make.args(["-days", "2", "-subj", "/CN=localhost", "-set_serial", &serial]);
    make.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    make.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    make.arg("-keyout").arg(&key).arg("-out").arg(host.path("new.pem"));
    let made = make.stdin(Stdio::null()).output().expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::rename(key, host.path("key.pem")).expect("a key");
    fs::rename(host.path("new.pem"), host.path("cert.pem")).expect("a certificate");
}

/// What is in `cert.pem` now.
fn certificate(host: &Host) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(host.path("cert.pem")).expect("a certificate")
}

/// A connection that trusts this certificate alone.
type Secured = StreamOwned<ClientConnection, TcpStream>;

fn connect(at: SocketAddr, trusted: &CertificateDer<'static>) -> Secured {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let tcp = TcpStream::connect(at).expect("it listens");
    tcp.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a client"), tcp)
}

/// Asks whether the host lives, and leaves the connection open.
fn ask(over: &mut Secured) -> std::io::Result<String> {
    write!(over, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !answer.ends_with(b"}") {
        match over.read(&mut piece)? {
            0 => break,
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The certificate that a new connection is shown.
fn shown(at: SocketAddr, trusted: &CertificateDer<'static>) -> Option<CertificateDer<'static>> {
    let mut new = connect(at, trusted);
    ask(&mut new).ok()?;
    new.conn.peer_certificates()?.first().cloned().map(CertificateDer::into_owned)
}

fn secured() -> Host {
    let host = Host::new(WORKER).set("http.bind", "127.0.0.1:0").set("http.api_key", KEY);
    make(&host, 1);
    let file = |name: &str| host.path(name).display().to_string();
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    host.set("http.tls.cert", &cert).set("http.tls.key", &key)
}

#[test]
fn a_new_certificate_is_shown_without_a_connection_lost() {
    let host = secured().up();
    let at = address(&host);
    let first = certificate(&host);
    let mut open = connect(at, &first);
    assert!(ask(&mut open).expect("an answer").contains("200 OK"));
    assert_eq!(shown(at, &first).as_ref(), Some(&first));
    // Without TLS nobody is answered.
    assert!(Ask::new("GET", "/livez").header("X-API-Key", KEY).over_tcp(at).is_err());

    let unchanged = host.ask(&Ask::new("POST", "/api/v1/reload")).expect(200);
    assert_eq!(unchanged["applied"], serde_json::json!([]), "{unchanged}");
    make(&host, 2);
    let second = certificate(&host);
    let done = host.ask(&Ask::new("POST", "/api/v1/reload")).expect(200);
    assert_eq!(done["applied"], serde_json::json!(["http.tls"]), "{done}");
    assert_eq!(done["needs_restart"], serde_json::json!([]), "{done}");
    assert_eq!(shown(at, &second).as_ref(), Some(&second));
    assert!(shown(at, &first).is_none(), "the old one is not shown any more");
    assert!(ask(&mut open).expect("an answer").contains("200 OK"), "it stays open");

    make(&host, 3);
    send(host.pid(), Signal::SIGHUP);
    let third = certificate(&host);
    eventually("the third is shown", || shown(at, &third).is_some());
    assert!(ask(&mut open).expect("an answer").contains("200 OK"), "it stays open");
}

#[test]
fn a_bad_certificate_leaves_the_old_one_and_is_told_with_its_file() {
    let host = secured().up();
    let at = address(&host);
    let good = certificate(&host);
    let key = fs::read(host.path("key.pem")).expect("a key");
    make(&host, 2);
    fs::write(host.path("key.pem"), key).expect("a key");
    let problem = host.ask(&Ask::new("POST", "/api/v1/reload")).expect(422);
    let told = problem["errors"].to_string();
    assert!(told.contains("http.tls.key") && told.contains("key.pem is not the key of"), "{told}");
    fs::write(host.path("cert.pem"), "no certificate").expect("a file");
    let problem = host.ask(&Ask::new("POST", "/api/v1/reload")).expect(422);
    let told = problem["errors"].to_string();
    assert!(told.contains("http.tls.cert") && told.contains("cert.pem holds no cert"), "{told}");
    assert_eq!(shown(at, &good).as_ref(), Some(&good));
}

#[test]
fn a_file_that_changes_is_noticed() {
    let host = secured().set("host.watch_config", "true").up();
    let at = address(&host);
    make(&host, 2);
    let second = certificate(&host);
    eventually("the second is shown", || shown(at, &second).is_some());
}

#[test]
fn commands_speak_tls_and_trust_whom_they_are_told_to() {
    let host = secured().up();
    let url = format!("https://localhost:{}", address(&host).port());
    let (ca, key) = (host.path("cert.pem"), host.path("key"));
    fs::write(&key, KEY).expect("a file");
    let common = ["--url", &url, "--api-key-file", key.to_str().unwrap()];
    let ca = ca.to_str().unwrap();
    let listed = host.cli(&[&common[..], &["--ca", ca, "agent", "list"]].concat());
    assert_eq!((listed.code, listed.stderr.as_str()), (0, ""), "{listed:?}");
    let by_env = host.command().env("HOSTLER_CA", ca).args(common).args(["agent", "list"]).output();
    assert!(by_env.expect("it runs").status.success());
    let stranger = host.cli(&[&common[..], &["agent", "list"]].concat());
    assert!(stranger.code != 0 && stranger.stderr.contains("TLS"), "{stranger:?}");
    let no_file = host.cli(&[&common[..], &["--ca", "/nowhere", "agent", "list"]].concat());
    assert!(no_file.code == 2 && no_file.stderr.contains("--ca /nowhere"), "{no_file:?}");
}

#[test]
fn keys_do_not_cross_a_network_in_the_open() {
    let mut host = Host::new(WORKER).set("http.bind", "0.0.0.0:0").set("http.api_key", KEY);
    host.launch();
    let exit = host.ended();
    assert_eq!(exit.code(), Some(1), "{}", host.log());
    assert!(host.log().contains("http.tls"), "{}", host.log());
    // Where TLS is spoken, or somebody else speaks it, it may be so.
    let mut host = secured();
    host = host.set("http.bind", "0.0.0.0:0").up();
    let at = SocketAddr::from(([127, 0, 0, 1], address(&host).port()));
    assert!(shown(at, &certificate(&host)).is_some());
}

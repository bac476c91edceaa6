//! The client of the host's API: HTTP/1.1 over its unix socket, or over TCP with `--url`.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http1,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    address::Address,
    exit::{CliError, Exit, Outcome},
};
use crate::{
    http::api::{PROBLEM_JSON, Problem},
    protocol::sse::EVENT_STREAM,
    settings::Secret,
};

/// How long a connection may take.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// How long an answer may take, beyond what the request itself waits for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// How long a call of a tool may take that waits for as long as a host lets it.
const CALLS_WITHIN: Duration = Duration::from_secs(700);

/// The largest answer that is read.
pub(super) const MAX_ANSWER: usize = 1 << 30;

/// What a message of MCP is answered with.
pub(super) enum McpAnswer {
    /// One message; empty if there is none.
    Whole(Bytes),
    /// Several, as server-sent events.
    Stream(Incoming),
}

/// A client of one host.
pub(super) struct Client {
    address: Address,
    key: Option<Secret>,
    /// The file of the certificates to trust; those of the system where absent.
    ca: Option<PathBuf>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An answer that is not an error.
pub(super) struct Reply {
    body: Bytes,
}

impl Reply {
    /// The body as `T`.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Outcome<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            CliError::new(Exit::Failed, format!("the host's answer can't be read: {error}"))
                .help("the host and this command may be of different versions")
        })
    }
}

impl Client {
    /// A client of the host at `address`.
    pub(super) const fn new(address: Address, key: Option<Secret>, ca: Option<PathBuf>) -> Self {
        Self { address, key, ca }
    }

    /// Asks for `path`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.ask(Method::GET, path, None, Duration::ZERO).await?.json()
    }

    /// Asks for `path`, which may take so much longer to answer.
    pub(super) async fn get_within<T: DeserializeOwned>(
        &self,
        path: &str,
        wait: Duration,
    ) -> Outcome<T> {
        self.ask(Method::GET, path, None, wait).await?.json()
    }

    /// Sends `body` to `path`.
    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Outcome<Reply> {
        self.post_within(path, body, Duration::ZERO).await
    }

    /// Sends `body` to `path`, which may take so much longer to answer.
    pub(super) async fn post_within(
        &self,
        path: &str,
        body: &impl Serialize,
        wait: Duration,
    ) -> Outcome<Reply> {
        let body = serde_json::to_vec(body).map_err(io::Error::from)?;
        self.ask(Method::POST, path, Some(body), wait).await
    }

    /// Sends the changes in `body` to `path`.
    pub(super) async fn patch(&self, path: &str, body: &impl Serialize) -> Outcome<Reply> {
        let body = serde_json::to_vec(body).map_err(io::Error::from)?;
        self.ask(Method::PATCH, path, Some(body), Duration::ZERO).await
    }

    /// Puts `body` to `path`.
    pub(super) async fn put(&self, path: &str, body: &impl Serialize) -> Outcome<Reply> {
        let body = serde_json::to_vec(body).map_err(io::Error::from)?;
        self.ask(Method::PUT, path, Some(body), Duration::ZERO).await
    }

    /// Takes out what is at `path`.
    pub(super) async fn delete(&self, path: &str) -> Outcome<()> {
        self.ask(Method::DELETE, path, None, Duration::ZERO).await.map(|_| ())
    }

    /// Asks for something to be done that `path` says all about.
    pub(super) async fn command<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.ask(Method::POST, path, None, Duration::ZERO).await?.json()
    }

    /// Asks for `path` even if it answers with an error, and gives the body.
    pub(super) async fn probe<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        let answer = self.send(Method::GET, path, None, ANSWERS_WITHIN, &[]).await?;
        self.collect(answer).await?.json()
    }

    /// Asks for a body without an end; the caller reads it piece by piece.
    pub(super) async fn stream(&self, path: &str) -> Outcome<Incoming> {
        self.stream_with(path, &[]).await
    }

    /// Asks for a stream of events, after the one with the id `last`.
    pub(super) async fn events(&self, path: &str, last: Option<&str>) -> Outcome<Incoming> {
        let mut headers = vec![(ACCEPT, EVENT_STREAM)];
        headers.extend(last.map(|last| (HeaderName::from_static("last-event-id"), last)));
        self.stream_with(path, &headers).await
    }

    /// Passes a message of MCP on; the answer, whatever its status, is one too.
    pub(super) async fn mcp(
        &self,
        message: Vec<u8>,
        headers: &[(&'static str, String)],
    ) -> Outcome<McpAnswer> {
        let named =
            |(name, value): &(&'static str, String)| (HeaderName::from_static(name), value.clone());
        let headers: Vec<_> = headers.iter().map(named).collect();
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
        headers.push((ACCEPT, "application/json, text/event-stream"));
        let answer = self.send(Method::POST, "/mcp", Some(message), CALLS_WITHIN, &headers).await?;
        let kind = answer.headers().get(CONTENT_TYPE);
        if kind.is_some_and(|kind| kind == PROBLEM_JSON) {
            return Err(self.problem(answer).await);
        }
        if kind.is_some_and(|kind| kind == EVENT_STREAM) {
            return Ok(McpAnswer::Stream(answer.into_body()));
        }
        Ok(McpAnswer::Whole(self.collect(answer).await?.body))
    }

    async fn stream_with(&self, path: &str, headers: &[(HeaderName, &str)]) -> Outcome<Incoming> {
        let answer = self.send(Method::GET, path, None, ANSWERS_WITHIN, headers).await?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        Err(self.problem(answer).await)
    }

    /// Reads the next piece of such a body.
    pub(super) async fn next_piece(&self, body: &mut Incoming) -> Outcome<Option<Bytes>> {
        loop {
            match body.frame().await {
                None => return Ok(None),
                Some(Err(_)) => return Err(self.broke_off()),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        wait: Duration,
    ) -> Outcome<Reply> {
        let within = ANSWERS_WITHIN.saturating_add(wait);
        let answer = self.send(method, path, body, within, &[]).await?;
        if answer.status().is_success() {
            return self.collect(answer).await;
        }
        Err(self.problem(answer).await)
    }

    async fn collect(&self, answer: Response<Incoming>) -> Outcome<Reply> {
        let body = timeout(ANSWERS_WITHIN, Limited::new(answer.into_body(), MAX_ANSWER).collect());
        match body.await {
            Ok(Ok(body)) => Ok(Reply { body: body.to_bytes() }),
            Ok(Err(_)) => Err(self.broke_off()),
            Err(_) => Err(self.too_late()),
        }
    }

    /// The error that an answer tells.
    async fn problem(&self, answer: Response<Incoming>) -> CliError {
        let status = answer.status();
        let ours = answer.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
        match self.collect(answer).await {
            Err(error) => error,
            Ok(reply) => match reply.json::<Problem>() {
                Ok(problem) if ours => CliError::of_problem(problem),
                _ => CliError::new(
                    Exit::Failed,
                    format!("{} answered {status}, and not as a host does", self.address.shown()),
                ),
            },
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        within: Duration,
        headers: &[(HeaderName, &str)],
    ) -> Outcome<Response<Incoming>> {
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, self.address.authority());
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(key) = self.key.as_ref().map(bearer).transpose()? {
            request = request.header(AUTHORIZATION, key);
        }
        let request =
            request.body(Full::new(Bytes::from(body.unwrap_or_default()))).map_err(|error| {
                CliError::new(Exit::Usage, format!("the request can't be sent: {error}"))
            })?;
        let stream = timeout(CONNECTS_WITHIN, self.connect())
            .await
            .map_err(|_| self.unreachable(&io::Error::from(ErrorKind::TimedOut)))??;
        let exchange = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // The exchange below sees every error that the connection ends with.
            tokio::spawn(async { drop(connection.await) });
            sender.send_request(request).await
        };
        match timeout(within, exchange).await {
            Ok(answer) => answer.map_err(|_| self.broke_off()),
            Err(_) => Err(self.too_late()),
        }
    }

    async fn connect(&self) -> Outcome<Box<dyn Stream>> {
        match &self.address {
            Address::Socket(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(self.unreachable(&error)),
            },
            Address::Tcp { tls, host, port, .. } => {
                let connected = TcpStream::connect((host.as_str(), *port)).await;
                let stream = connected.map_err(|error| self.unreachable(&error))?;
                if *tls { self.secure(stream, host).await } else { Ok(Box::new(stream)) }
            }
        }
    }

    async fn secure(&self, stream: TcpStream, host: &str) -> Outcome<Box<dyn Stream>> {
        let bad = |what: String| CliError::new(Exit::NotReachable, what);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| bad(format!("`{host}` is no name that a certificate can be for")))?;
        let connector = TlsConnector::from(Arc::new(trust(self.ca.as_deref())?));
        let secured = connector.connect(name, stream).await;
        let secured = secured
            .map_err(|error| bad(format!("no TLS with {}: {error}", self.address.shown())))?;
        Ok(Box::new(secured))
    }

    /// Nobody answers: says so in the words of the place.
    fn unreachable(&self, error: &io::Error) -> CliError {
        let shown = self.address.shown();
        let socket = matches!(self.address, Address::Socket(_));
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused if socket => {
                CliError::new(Exit::NotReachable, format!("no host is running on {shown}"))
                    .help("start one with `hostler up`, or name another by --data-dir or --url")
            }
            ErrorKind::PermissionDenied if socket => {
                CliError::new(Exit::NotAllowed, format!("{shown} belongs to another user"))
                    .help("run this command as the user that the host runs as")
            }
            _ => CliError::new(Exit::NotReachable, format!("{shown} can't be reached: {error}"))
                .help("check --url, and that the host listens there (`http.bind`)"),
        }
    }

    fn broke_off(&self) -> CliError {
        let what = format!("{} broke off before it had answered", self.address.shown());
        CliError::new(Exit::NotReachable, what)
            .help("the host may have stopped; `hostler doctor` looks")
    }

    fn too_late(&self) -> CliError {
        let what = format!("{} did not answer in time", self.address.shown());
        CliError::new(Exit::NotReachable, what).help("`hostler doctor` looks for the cause")
    }
}

/// The key as a header; marked, so that nothing prints it.
fn bearer(key: &Secret) -> Outcome<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal())).map_err(|_| {
        CliError::new(Exit::Usage, "the API key has characters that a header can't carry")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Trusts whom the file names, or else whom the system trusts.
fn trust(ca: Option<&Path>) -> Outcome<ClientConfig> {
    let failed = |what: String| CliError::new(Exit::Failed, what);
    let mut roots = RootCertStore::empty();
    let certificates = match ca {
        Some(file) => certificates_in(file)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(failed("this system has no certificates to trust".to_owned())
            .help("install its `ca-certificates`, or name a file by --ca"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(format!("TLS can't be set up: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn certificates_in(file: &Path) -> Outcome<Vec<CertificateDer<'static>>> {
    let wrong = |why: &str| CliError::new(Exit::Usage, format!("--ca {}: {why}", file.display()));
    let pem = std::fs::read(file).map_err(|error| wrong(&error.to_string()))?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(wrong("holds no certificate in the form of PEM")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(path: &str) -> Client {
        Client::new(Address::Socket(path.into()), None, None)
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_is_told_with_what_to_do() {
        let error = client("/nowhere/h.sock").get::<()>("/livez").await.unwrap_err();
        assert_eq!(error.exit, Exit::NotReachable);
        assert_eq!(error.what, "no host is running on /nowhere/h.sock");
        assert!(error.help.unwrap().contains("hostler up"));
    }

    #[tokio::test]
    async fn what_is_no_host_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let other = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let answers: [&[u8]; 2] =
                [b"SSH-2.0\r\n", b"HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n"];
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
                stream.write_all(answer).await.unwrap();
            }
        });
        let client = client(path.to_str().unwrap());
        let garbage = client.get::<()>("/livez").await.unwrap_err();
        assert_eq!(garbage.exit, Exit::NotReachable, "{garbage}");
        let strange = client.get::<()>("/livez").await.unwrap_err();
        assert!(strange.what.contains("502") && strange.exit == Exit::Failed, "{strange}");
        other.await.unwrap();
    }

    #[test]
    fn a_key_is_never_printed() {
        let value = bearer(&Secret::new("hunter2".to_owned())).unwrap();
        assert!(!format!("{value:?}").contains("hunter2"));
        assert!(bearer(&Secret::new("a\nb".to_owned())).is_err());
    }
}

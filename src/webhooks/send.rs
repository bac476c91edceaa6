//! One request to a receiver: where to, signed, with a limit for everything.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OnceCell,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    access::outbound,
    domain::{
        delivery::{Answer, message_id, retry_after, signature, target::Target},
        outbound::Reach,
    },
    store::webhooks::Claimed,
    telemetry::Chain,
};

/// How long each address of a receiver may take to answer at all.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// Sends deliveries.
pub(super) struct Sender {
    reach: Reach,
    tls: OnceCell<Arc<ClientConfig>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Ends the connection with the request.
struct Ends(tokio::task::JoinHandle<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sender {
    /// Sends to what is within `reach`.
    pub(super) fn new(reach: Reach) -> Self {
        Self { reach, tls: OnceCell::new() }
    }

    /// Sends a delivery. What is not an answer is told as why there was none. The body of an answer
    /// is not read.
    pub(super) async fn send(&self, claimed: &Claimed) -> Answer {
        match timeout(claimed.timeout, self.exchange(claimed)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => Answer::Nothing(why),
            Err(_) => {
                let limit = claimed.timeout.as_millis();
                Answer::Nothing(format!("it did not answer within {limit} ms"))
            }
        }
    }

    async fn exchange(&self, claimed: &Claimed) -> Result<Answer, String> {
        let target = &claimed.target;
        let stream = self.connect(target).await?;
        let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| format!("it does not speak HTTP: {error}"))?;
        // The exchange below sees every error that the connection ends with.
        let _ends = Ends(tokio::spawn(async { drop(connection.await) }));
        let (id, now) = (message_id(claimed.id), Timestamp::now());
        let seconds = now.as_second();
        let body = claimed.payload.as_bytes();
        let request = Request::post(target.path())
            .header(HOST, target.authority())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("hostler/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature::header(&claimed.keys, &id, seconds, body))
            .body(Full::new(Bytes::copy_from_slice(body)))
            .map_err(|error| format!("the request can't be written: {error}"))?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| format!("it broke off before it had answered: {error}"))?;
        let asked = |headers: &HeaderMap| {
            let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
            retry_after(text, now)
        };
        Ok(Answer::Status {
            status: answer.status().as_u16(),
            retry_after: asked(answer.headers()),
        })
    }

    async fn connect(&self, target: &Target) -> Result<Box<dyn Stream>, String> {
        let (host, port) = (target.host(), target.port());
        let connected = outbound::connect(host, port, self.reach, CONNECTS_WITHIN).await;
        let stream = connected.map_err(|error| Chain(&error).to_string())?;
        // A small request must not wait for more of it.
        stream.set_nodelay(true).ok();
        if !target.tls() {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(target.host().to_owned())
            .map_err(|_| format!("`{}` is no name that a certificate can be for", target.host()))?;
        let config = self.tls.get_or_try_init(trust).await?.clone();
        let secured = TlsConnector::from(config).connect(name, stream).await;
        Ok(Box::new(secured.map_err(|error| format!("no TLS: {error}"))?))
    }
}

/// Trusts whom the system trusts.
async fn trust() -> Result<Arc<ClientConfig>, String> {
    let failed = |error: io::Error| format!("the system's certificates can't be read: {error}");
    let read = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let found = read.await.map_err(|error| failed(io::Error::other(error)))?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err("this system has no certificates to trust: install its `ca-certificates`, or \
            name a file in SSL_CERT_FILE"
            .to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS can't be set up: {error}"))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

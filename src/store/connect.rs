//! Reading a database URL, and TLS.
//!
//! | `sslmode` | what it means here |
//! | --- | --- |
//! | `disable` | no TLS |
//! | `prefer`, or not given | TLS where the server offers it; nobody's certificate is checked, as with libpq |
//! | `require`, `verify-ca`, `verify-full` | TLS, and the certificate is checked against the system's roots and the host's name |
//!
//! A root of one's own is given as the system gives it, with `SSL_CERT_FILE` or `SSL_CERT_DIR`.

use std::{sync::Arc, time::Duration};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use super::StoreError;
use crate::settings::Secret;

/// How soon a link that went silent is found out: the first probe, the time between probes, and
/// how many go unanswered.
const PROBES: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);

/// Reads a `postgres://` URL.
pub(super) fn parse_url(url: &Secret) -> Result<Config, StoreError> {
    let fail = |problem| StoreError::Url { problem };
    let text = url.reveal();
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err(fail("must begin with postgres:// or postgresql://"));
    }
    // The driver has no word for the two strict modes; `require` is as strict here.
    let text = match text.split_once('?') {
        Some((address, options)) => {
            let options: Vec<&str> = options
                .split('&')
                .map(|option| match option {
                    "sslmode=verify-ca" | "sslmode=verify-full" => "sslmode=require",
                    other => other,
                })
                .collect();
            format!("{address}?{}", options.join("&"))
        }
        None => text.to_owned(),
    };
    // What the driver says of a URL may quote it.
    let config: Config = text.parse().map_err(|_| {
        fail("cannot be read: its form is postgres://user:password@host:port/database?option=value, and in the user and the password every one of : / ? # @ % is written in percent-encoding")
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(fail("names no host"));
    }
    Ok(config)
}

/// The most characters of an application name that a session name keeps: the server cuts names at 63.
const MAX_GIVEN: usize = 20;

/// What the sessions of the host on the data directory `slot` go by, beside what the URL says.
pub(super) fn session_name(given: Option<&str>, slot: Uuid) -> String {
    let plain = |c: &char| c.is_ascii_graphic();
    let given: String = given.unwrap_or("hostler").chars().filter(plain).take(MAX_GIVEN).collect();
    format!("{given} {}", slot.simple())
}

/// Fills in what every connection of ours has and the URL did not say.
pub(super) fn complete(config: &mut Config, connect_timeout: Duration) {
    if config.get_application_name().is_none() {
        config.application_name("hostler");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(connect_timeout);
    }
    if config.get_keepalives_interval().is_none() {
        let (first, between, unanswered) = PROBES;
        config.keepalives_idle(first).keepalives_interval(between).keepalives_retries(unanswered);
    }
    if config.get_tcp_user_timeout().is_none() {
        let (first, between, unanswered) = PROBES;
        config.tcp_user_timeout(first + between * unanswered);
    }
    let is_local = |host: &Host| matches!(host, Host::Unix(_));
    if config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(is_local) {
        config.ssl_mode(SslMode::Disable);
    }
}

/// What makes the TLS side of a connection in `mode`.
pub(super) fn tls(mode: SslMode) -> Result<MakeRustlsConnect, StoreError> {
    let fail = |problem| StoreError::Tls { problem };
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| fail("the cryptography has no usable protocol version"))?;
    let config = match mode {
        SslMode::Disable | SslMode::Prefer => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth(),
        _ => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(fail("the system has no root certificates"));
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// Takes any certificate: `sslmode=prefer` keeps out listeners, not impostors. The handshake must
/// still be signed with the certificate's key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<Config, StoreError> {
        parse_url(&Secret::new(url.to_owned()))
    }

    #[test]
    fn modes_are_read() {
        let rows = [
            ("", SslMode::Prefer),
            ("?sslmode=disable", SslMode::Disable),
            ("?sslmode=prefer", SslMode::Prefer),
            ("?connect_timeout=3&sslmode=require", SslMode::Require),
            ("?sslmode=verify-ca", SslMode::Require),
            ("?sslmode=verify-full&connect_timeout=3", SslMode::Require),
        ];
        for (options, mode) in rows {
            let config = parsed(&format!("postgres://u:p@db.example/x{options}")).unwrap();
            assert_eq!(config.get_ssl_mode(), mode, "{options}");
            tls(SslMode::Prefer).unwrap();
        }
    }

    #[test]
    fn a_bad_url_is_told_without_its_text() {
        let bad = [
            "mysql://u:hunter2@h/x",
            "host=h password=hunter2",
            "postgres://u:hunter2@h/x?hunter2=1",
            "postgres://u:hunter2@h:port/x",
            "postgres:///x?password=hunter2",
        ];
        for url in bad {
            let error = parsed(url).unwrap_err();
            let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
            assert!(!shown.contains("hunter2") && !shown.contains("ter2"), "{shown}");
        }
    }

    #[test]
    fn a_session_name_is_short_and_keeps_the_slot() {
        let slot = Uuid::from_u128(7);
        assert_eq!(session_name(None, slot), "hostler 00000000000000000000000000000007");
        let long = session_name(Some("the team's \u{e9} very own application name"), slot);
        assert_eq!(long, "theteam'sveryownappl 00000000000000000000000000000007");
        assert!(long.len() < 64);
    }

    #[test]
    fn what_the_url_says_is_kept() {
        let url = "postgres://u@/x?host=/run/pg&application_name=mine&connect_timeout=9";
        let mut config = parsed(url).unwrap();
        complete(&mut config, Duration::from_secs(2));
        assert_eq!(config.get_application_name(), Some("mine"));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!(config.get_ssl_mode(), SslMode::Disable);
    }
}

//! The certificate that callers over TCP are shown, which may change while they are.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::settings::Tls;

/// Shows the newest certificate to each connection that begins; those that are open keep theirs.
#[derive(Debug)]
pub struct Certificate(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    /// Shows this one.
    pub fn new(tls: &Tls) -> Arc<Self> {
        Arc::new(Self(RwLock::new(tls.identity.clone())))
    }

    /// Shows this one from now on.
    pub fn replace(&self, tls: &Tls) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tls.identity.clone();
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// TLS 1.2 and 1.3 with what is safe of them, and no certificates of callers: they have keys.
pub(super) fn config(certificate: Arc<Certificate>) -> Result<ServerConfig, rustls::Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(config.with_no_client_auth().with_cert_resolver(certificate))
}

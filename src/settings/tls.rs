//! `[http.tls]`: the certificate that callers over TCP are shown.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    Error, InconsistentKeys,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{reader::Section, secrets};

/// A certificate with its key, and the files that they are in. Both were read and fit together.
#[derive(Clone)]
pub struct Tls {
    /// The file of the certificate, and of those that vouch for it, as PEM.
    pub cert: PathBuf,
    /// The file of the key, as PEM.
    pub key: PathBuf,
    /// What was in them.
    pub identity: Arc<CertifiedKey>,
}

impl Tls {
    /// Whether what was read from the files of the other is the same.
    pub(super) fn is_same_identity(&self, other: &Self) -> bool {
        self.identity.cert == other.identity.cert
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("cert", &self.cert).field("key", &self.key).finish()
    }
}

/// Reads the table: nothing where no file is named.
pub(super) fn read(section: &Section<'_>) -> Option<Option<Tls>> {
    let (cert, key) = (section.path_or_none("cert"), section.path_or_none("key"));
    let (cert, key) = match (cert?, key?) {
        (None, None) => return Some(None),
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => {
            section.problem("cert", "needs `key`, the file of its key, beside it".to_owned());
            return None;
        }
        (None, Some(_)) => {
            section.problem("key", "needs `cert`, the file of the certificate".to_owned());
            return None;
        }
    };
    let told = |field, result: Result<_, String>| {
        result.map_err(|message| section.problem(field, message)).ok()
    };
    let chain = told("cert", chain(&cert));
    let private = private_key(&key).map_err(|message| section.problem("key", message)).ok();
    let (chain, private) = (chain?, private?);
    let identity = CertifiedKey::from_der(chain, private, &ring::default_provider());
    let identity = identity.map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let (cert, key) = (cert.display(), key.display());
            section.problem("key", format!("{key} is not the key of the certificate in {cert}"));
        }
        Error::InvalidCertificate(_) => {
            let message = format!("{} holds no sound certificate: {error}", cert.display());
            section.problem("cert", message);
        }
        error => section.problem("key", format!("{} can't be used: {error}", key.display())),
    });
    Some(Some(Tls { cert, key, identity: Arc::new(identity.ok()?) }))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = secrets::read_file(path, "the certificate and those that vouch for it")?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(format!("{} holds no certificate in the form of PEM", path.display())),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = secrets::read_file(path, "the key")?;
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| format!("{} holds no key in the form of PEM", path.display()))
}

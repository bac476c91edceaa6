//! Connecting to an address that somebody else named.
//!
//! A name is resolved once, each address that it has is looked at, and the connection is made to an
//! address that was looked at: a name that answers differently the second time gains nothing. A
//! caller that follows redirects must come here again for each.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::domain::outbound::{AddressKind, Reach, kind};

/// Why an address is not called.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The host may not call it, whoever answers there.
    #[error("`{host}` is {}, which this host does not call", kind.as_str())]
    Forbidden {
        /// The name that was asked for.
        host: String,
        /// Of which kind the address is.
        kind: AddressKind,
    },
    /// The name has no address.
    #[error("`{host}` can't be resolved")]
    Unresolved {
        /// The name that was asked for.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody answers at any of its addresses.
    #[error("`{host}` can't be reached")]
    Unreachable {
        /// The name that was asked for.
        host: String,
        /// Why the last one failed.
        #[source]
        source: io::Error,
    },
}

/// The addresses of `host`, a name or an address (that of IPv6 with or without its brackets). All of
/// them are within `reach`: a name that means one that is not is refused whole.
///
/// # Errors
///
/// [`OutboundError::Forbidden`], [`OutboundError::Unresolved`].
pub async fn resolve(
    host: &str,
    port: u16,
    reach: Reach,
) -> Result<Vec<SocketAddr>, OutboundError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let unresolved = |source| OutboundError::Unresolved { host: host.to_owned(), source };
    let found: Vec<_> = lookup_host((bare, port)).await.map_err(unresolved)?.collect();
    let kinds = found.iter().map(|address| kind(address.ip()));
    if let Some(kind) = kinds.into_iter().find(|kind| !reach.includes(*kind)) {
        return Err(OutboundError::Forbidden { host: host.to_owned(), kind });
    }
    if found.is_empty() {
        return Err(unresolved(io::Error::from(io::ErrorKind::NotFound)));
    }
    Ok(found)
}

/// Connects to `host`, within `patience` for each of its addresses.
///
/// # Errors
///
/// [`OutboundError`].
///
/// # Cancel safety
///
/// Nothing is left of a connection that was not waited for.
pub async fn connect(
    host: &str,
    port: u16,
    reach: Reach,
    patience: Duration,
) -> Result<TcpStream, OutboundError> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in resolve(host, port, reach).await? {
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(OutboundError::Unreachable { host: host.to_owned(), source: last })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const OWN: Reach = Reach { loopback: true, private: false };

    #[tokio::test]
    async fn this_machine_is_called_only_where_that_is_allowed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let patience = Duration::from_secs(30);
        for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1"] {
            // Some resolvers read the odd forms as addresses, others know no such name.
            let refused = connect(host, port, Reach::default(), patience).await.unwrap_err();
            let plain = matches!(refused, OutboundError::Forbidden { .. });
            assert!(plain || matches!(refused, OutboundError::Unresolved { .. }), "{host}");
            assert!(plain || host.starts_with(['2', '0']), "{host}");
        }
        let stream = connect("127.0.0.1", port, OWN, patience).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
    }

    #[tokio::test]
    async fn what_is_special_is_refused_in_every_form() {
        let everything = Reach { loopback: true, private: true };
        for host in ["169.254.169.254", "[::ffff:169.254.169.254]", "0.0.0.0", "[::]", "[fe80::1]"]
        {
            let refused = resolve(host, 80, everything).await.unwrap_err();
            assert!(matches!(refused, OutboundError::Forbidden { .. }), "{host}: {refused}");
            assert!(refused.to_string().contains(host), "{refused}");
        }
        let refused = resolve("[::1]", 80, Reach::default()).await.unwrap_err();
        assert!(refused.to_string().contains("this machine"), "{refused}");
        assert_eq!(resolve("[::1]", 80, OWN).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn nobody_there_is_told_as_that() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let gone = connect("127.0.0.1", port, OWN, Duration::from_secs(30)).await.unwrap_err();
        assert!(matches!(gone, OutboundError::Unreachable { .. }), "{gone}");
    }
}

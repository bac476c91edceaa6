//! By what agents at work call the API, and where they find it.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use uuid::Uuid;

use crate::{agent::Api, domain::access::AttemptKey, settings::Settings};

/// The file of the key in the data directory: agents that outlive a host go on with their tokens.
const FILE: &str = "attempts.key";

/// Reads the key of this data directory, or makes it.
pub(super) fn key(dir: &Path) -> io::Result<AttemptKey> {
    let path = dir.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => {
            let broken = || io::Error::other("it is no key of ours: remove it, and start again");
            AttemptKey::from_bytes(&bytes).ok_or_else(broken)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = AttemptKey::of([Uuid::new_v4(), Uuid::new_v4()]);
            // Whole, or not at all.
            let new = dir.join("attempts.key.new");
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&new)?;
            file.write_all(key.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

/// Where agents find the API that `listener` is for.
pub(super) fn api(settings: &Settings, listener: Option<&TcpListener>, key: AttemptKey) -> Api {
    let scheme = if settings.http.tls.is_some() { "https" } else { "http" };
    let address = listener.and_then(|listener| listener.local_addr().ok()).map(reachable);
    Api {
        url: address.map(|address| format!("{scheme}://{address}")),
        socket: settings.host.socket().into_os_string().into_string().ok(),
        attempts: Some(key),
    }
}

/// The address by which an agent on this machine reaches what listens there.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let made = key(dir.path()).unwrap();
        assert_eq!(key(dir.path()).unwrap(), made);
        assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::write(dir.path().join(FILE), "short").unwrap();
        assert!(key(dir.path()).unwrap_err().to_string().contains("remove it"));
    }

    #[test]
    fn an_address_for_all_is_reached_over_loopback() {
        for (listens, reached) in [
            ("0.0.0.0:7", "127.0.0.1:7"),
            ("[::]:7", "[::1]:7"),
            ("127.0.0.1:7", "127.0.0.1:7"),
            ("192.0.2.1:7", "192.0.2.1:7"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), reached);
        }
    }
}

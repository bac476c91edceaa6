//! Where the host is, and how a request to it is written. Pure.

use std::path::PathBuf;

use hyper::Uri;

/// Where the host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// On this machine, behind the socket of its data directory.
    Socket(PathBuf),
    /// Somewhere, over TCP.
    Tcp {
        /// Whether TLS is spoken.
        tls: bool,
        /// The name or address, an IPv6 address without its brackets.
        host: String,
        /// The port.
        port: u16,
        /// What the `Host` header says.
        authority: String,
    },
}

impl Address {
    /// What the `Host` header says.
    pub(super) fn authority(&self) -> &str {
        match self {
            Self::Socket(_) => "localhost",
            Self::Tcp { authority, .. } => authority,
        }
    }

    /// The address for people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Tcp { tls, authority, .. } => {
                format!("{}://{authority}", if *tls { "https" } else { "http" })
            }
        }
    }

    /// Whether what is sent can be read on the way.
    pub(super) fn is_open_to_others(&self) -> bool {
        match self {
            Self::Socket(_) | Self::Tcp { tls: true, .. } => false,
            Self::Tcp { host, .. } => {
                let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
                !loopback && host != "localhost"
            }
        }
    }
}

/// Reads `--url`.
///
/// # Errors
///
/// What is wrong with it. A password in it is not repeated.
pub(super) fn parse_url(text: &str) -> Result<Address, String> {
    let example = "write it as http://127.0.0.1:7070 or https://host.example";
    let uri: Uri = text.parse().map_err(|_| format!("is not a URL; {example}"))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(format!("must begin with http:// or https://; {example}")),
    };
    let authority = uri.authority().ok_or_else(|| format!("names no host; {example}"))?;
    if authority.as_str().contains('@') {
        return Err("must not hold a user or password; use --api-key-file".to_owned());
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(format!("must not have a path or a query; {example}"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    if host.is_empty() || port == 0 {
        return Err(format!("names no host and port; {example}"));
    }
    Ok(Address::Tcp { tls, host, port, authority: authority.to_string() })
}

/// A path with a query: only what is there, escaped.
pub(super) fn with_query(path: &str, pairs: &[(&str, Option<String>)]) -> String {
    let mut whole = path.to_owned();
    let mut joint = '?';
    for (name, value) in pairs {
        if let Some(value) = value {
            whole.push(joint);
            whole.push_str(name);
            whole.push('=');
            escape(value, &mut whole);
            joint = '&';
        }
    }
    whole
}

/// `text` as a part of a path.
pub(super) fn in_path(text: &str) -> String {
    let mut path = String::new();
    escape(text, &mut path);
    path
}

fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(tls: bool, host: &str, port: u16, authority: &str) -> Result<Address, String> {
        Ok(Address::Tcp { tls, host: host.to_owned(), port, authority: authority.to_owned() })
    }

    #[test]
    fn urls_are_read() {
        let rows = [
            ("http://127.0.0.1:7070", tcp(false, "127.0.0.1", 7070, "127.0.0.1:7070")),
            ("http://localhost/", tcp(false, "localhost", 80, "localhost")),
            ("https://h.example", tcp(true, "h.example", 443, "h.example")),
            ("http://[::1]:99", tcp(false, "::1", 99, "[::1]:99")),
        ];
        for (text, address) in rows {
            assert_eq!(parse_url(text), address, "{text}");
        }
    }

    #[test]
    fn broken_urls_are_told_and_their_secrets_are_not() {
        let rows = [
            ("", "not a URL"),
            ("localhost:7070", "must begin"),
            ("/api", "must begin"),
            ("ftp://h", "must begin"),
            ("unix:///run/h.sock", ""),
            ("http://h/api", "path"),
            ("http://h?x=1", "path"),
            ("http://user:hunter2@h", "user or password"),
            ("http://h:0", "names no host"),
            ("http:// h", "not a URL"),
        ];
        for (text, word) in rows {
            let error = parse_url(text).unwrap_err();
            assert!(error.contains(word) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn keys_in_the_open_are_noticed() {
        let open = |url| parse_url(url).unwrap().is_open_to_others();
        assert!(open("http://10.0.0.7:7070") && open("http://h.example"));
        assert!(!open("http://127.0.0.1") && !open("http://localhost") && !open("http://[::1]"));
        assert!(!open("https://h.example"));
    }

    #[test]
    fn queries_are_escaped() {
        let pairs = [
            ("kind", Some("a b&c=ä".to_owned())),
            ("queue", None),
            ("limit", Some("5".to_owned())),
        ];
        assert_eq!(with_query("/t", &pairs), "/t?kind=a%20b%26c%3D%C3%A4&limit=5");
        assert_eq!(with_query("/t", &[("a", None)]), "/t");
    }
}

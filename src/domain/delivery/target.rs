//! Where a webhook is sent: an address of HTTP, read once.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::domain::text_schema::text_schema;

/// The longest address, in bytes.
const MAX_LENGTH: usize = 2000;

/// An `http` or `https` address without a user or a fragment in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    text: String,
    tls: bool,
    authority: String,
    host: String,
    port: u16,
    path: String,
}

text_schema!(
    Target,
    "^https?://[a-zA-Z0-9.-]+(:[1-9][0-9]{0,3})?(/[a-zA-Z0-9/._~-]*)?$",
    "https://ops.example/hooks"
);

/// A text that is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no address to send to: write `https://HOST/PATH` (or `http://`) in ASCII, without a user name, a password or a `#`"
)]
pub struct NoTarget;

impl Target {
    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether TLS is spoken.
    pub const fn tls(&self) -> bool {
        self.tls
    }

    /// What the `Host` header says.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        if text.len() > MAX_LENGTH || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoTarget);
        }
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(NoTarget),
        };
        if text.contains(['#', '\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
            return Err(NoTarget);
        }
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let (host, port) = host_and_port(authority, if tls { 443 } else { 80 })?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let text = text.to_owned();
        Ok(Self { text, tls, authority: authority.to_owned(), host, port, path })
    }
}

fn host_and_port(authority: &str, default: u16) -> Result<(String, u16), NoTarget> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(NoTarget)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| NoTarget)?;
            (host, port)
        }
        None => {
            let at = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(at);
            let is_plain =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if host.is_empty() || !host.bytes().all(is_plain) {
                return Err(NoTarget);
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port > 0).ok_or(NoTarget)?
        }
        _ => return Err(NoTarget),
    };
    Ok((host.to_owned(), port))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let rows = [
            ("https://a.example", (true, "a.example", 443, "/")),
            ("http://a.example:8080/in?x=1", (false, "a.example", 8080, "/in?x=1")),
            ("http://127.0.0.1:9/", (false, "127.0.0.1", 9, "/")),
            ("https://[::1]:7/x", (true, "::1", 7, "/x")),
            ("http://a?q=:/@", (false, "a", 80, "/?q=:/@")),
        ];
        for (text, (tls, host, port, path)) in rows {
            let target: Target = text.parse().unwrap();
            assert_eq!(
                (target.tls(), target.host(), target.port(), target.path()),
                (tls, host, port, path)
            );
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn what_could_mean_something_else_is_refused() {
        let long = format!("http://a/{}", "x".repeat(2000));
        for bad in [
            "",
            "a.example",
            "ftp://a",
            "http://",
            "https:///x",
            "http://:80",
            "http://a:0",
            "http://a:x",
            "http://a:99999",
            "http://a:",
            "http://a:+1",
            "http://u@a",
            "http://u:p@a/",
            "http://a/#x",
            "http://a b",
            "http://a\r\nX: 1",
            "http://ä",
            "http://[::1",
            "http://[x]",
            "http://[::1]x",
            "http://a\\b",
            "HTTP://a",
            &long,
        ] {
            assert_eq!(bad.parse::<Target>(), Err(NoTarget), "{bad}");
        }
    }
}

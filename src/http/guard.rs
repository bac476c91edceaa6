//! Who may call. Pure: the decision over what a request says of its caller.
//!
//! - Over the unix socket: whoever can open it. The file's permissions are the key.
//! - Over TCP with an API key: whoever sends it, as `Authorization: Bearer` or `X-API-Key`.
//! - Over TCP without one (loopback only, see [`super::Server::start`]): whoever is on this
//!   machine, but no page of a browser that belongs to another site. A page can make the browser
//!   send requests to loopback, or point its own name there (DNS rebinding); both show in `Host`,
//!   `Origin` and `Sec-Fetch-Site`.

use std::net::IpAddr;

use subtle::ConstantTimeEq;

use crate::settings::Secret;

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    /// Over the unix socket.
    Unix,
    /// Over TCP.
    Tcp,
}

/// What a request says of its caller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller<'a> {
    /// How it came in.
    pub(super) via: Via,
    /// `Host`.
    pub(super) host: Option<&'a str>,
    /// `Origin`.
    pub(super) origin: Option<&'a str>,
    /// `Sec-Fetch-Site`.
    pub(super) fetch_site: Option<&'a str>,
    /// `Authorization`.
    pub(super) authorization: Option<&'a [u8]>,
    /// `X-API-Key`.
    pub(super) api_key: Option<&'a [u8]>,
}

/// Why a caller is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// No key where one is needed.
    #[error("send the API key as `Authorization: Bearer KEY` or as `X-API-Key: KEY`")]
    NoKey,
    /// A key, but not this host's.
    #[error("the API key is not the one of this host")]
    WrongKey,
    /// The name that was asked for is not one of this machine's own.
    #[error(
        "without an API key only `localhost`, `127.0.0.1` and `[::1]` are answered; the `Host` header says otherwise"
    )]
    ForeignHost,
    /// The page that asked is of another site.
    #[error("a page of another origin may not call this host; set `http.api_key` and send it")]
    CrossSite,
}

/// Decides whether the caller is answered.
pub(super) fn admit(caller: &Caller<'_>, key: Option<&Secret>) -> Result<(), Refusal> {
    match (caller.via, key) {
        (Via::Unix, _) => Ok(()),
        (Via::Tcp, Some(key)) => match sent_key(caller) {
            None => Err(Refusal::NoKey),
            Some(sent) if same(sent, key.reveal().as_bytes()) => Ok(()),
            Some(_) => Err(Refusal::WrongKey),
        },
        (Via::Tcp, None) => same_site(caller),
    }
}

/// Whether two byte strings are equal, in a time that does not depend on where they differ. (It
/// does depend on whether their lengths do.)
fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

fn sent_key<'a>(caller: &Caller<'a>) -> Option<&'a [u8]> {
    let bearer = caller.authorization.and_then(|value| {
        let (scheme, rest) = value.split_at_checked("bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
    });
    bearer.or_else(|| caller.api_key.map(<[u8]>::trim_ascii)).filter(|key| !key.is_empty())
}

fn same_site(caller: &Caller<'_>) -> Result<(), Refusal> {
    let host = caller.host.filter(|host| is_loopback(host)).ok_or(Refusal::ForeignHost)?;
    let site = caller.fetch_site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    let origin = caller.origin.is_none_or(|origin| {
        origin.strip_prefix("http://").is_some_and(|at| at.eq_ignore_ascii_case(host))
    });
    if site && origin { Ok(()) } else { Err(Refusal::CrossSite) }
}

/// Whether `host` (with or without a port) can only mean this machine.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, port)) => (v6, port),
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    let ours = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    port_fits && ours
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Caller<'_> = Caller {
        via: Via::Tcp,
        host: None,
        origin: None,
        fetch_site: None,
        authorization: None,
        api_key: None,
    };

    #[test]
    fn the_socket_is_the_key() {
        let key = Secret::new("k".into());
        assert_eq!(admit(&Caller { via: Via::Unix, ..BARE }, Some(&key)), Ok(()));
        assert_eq!(admit(&Caller { via: Via::Unix, ..BARE }, None), Ok(()));
    }

    #[test]
    fn a_key_is_asked_for_and_compared() {
        let key = Secret::new("s3cret".to_owned());
        type Header = Option<&'static [u8]>;
        let rows: [(Header, Header, Result<(), Refusal>); 11] = [
            (None, None, Err(Refusal::NoKey)),
            (Some(b"Bearer s3cret"), None, Ok(())),
            (Some(b"bearer  s3cret "), None, Ok(())),
            (None, Some(b"s3cret"), Ok(())),
            (Some(b"Bearer s3creT"), None, Err(Refusal::WrongKey)),
            (Some(b"Bearer s3cre"), None, Err(Refusal::WrongKey)),
            (Some(b"Bearer s3crett"), None, Err(Refusal::WrongKey)),
            (Some(b"Bearer "), None, Err(Refusal::NoKey)),
            (Some(b"Basic s3cret"), None, Err(Refusal::NoKey)),
            (None, Some(b""), Err(Refusal::NoKey)),
            (None, Some(b"\xff"), Err(Refusal::WrongKey)),
        ];
        for (authorization, api_key, verdict) in rows {
            let caller = Caller { authorization, api_key, host: Some("any.example"), ..BARE };
            assert_eq!(admit(&caller, Some(&key)), verdict, "{authorization:?} {api_key:?}");
        }
    }

    #[test]
    fn without_a_key_only_names_of_this_machine_are_answered() {
        for good in
            ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:65535", "[::1]", "[::1]:7"]
        {
            assert_eq!(admit(&Caller { host: Some(good), ..BARE }, None), Ok(()), "{good}");
        }
        let bad = [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "0.0.0.0",
            "",
            ":80",
            "localhost:",
            "localhost:x",
            "localhost:99999",
            "localhost:+1",
            "::1",
            "[::1",
            "[::1]x",
            "[::2]",
            "localhost@evil.example",
        ];
        for host in bad {
            let verdict = admit(&Caller { host: Some(host), ..BARE }, None);
            assert_eq!(verdict, Err(Refusal::ForeignHost), "{host}");
        }
        assert_eq!(admit(&BARE, None), Err(Refusal::ForeignHost));
    }

    #[test]
    fn without_a_key_pages_of_other_origins_are_refused() {
        let rows = [
            (None, None, true),
            (Some("http://localhost:7070"), None, true),
            (Some("http://localhost:7070"), Some("same-origin"), true),
            (None, Some("none"), true),
            (None, Some("cross-site"), false),
            (None, Some("same-site"), false),
            (Some("http://localhost:3000"), None, false),
            (Some("https://localhost:7070"), None, false),
            (Some("http://evil.example"), None, false),
            (Some("null"), None, false),
            (Some(""), None, false),
        ];
        for (origin, fetch_site, good) in rows {
            let caller = Caller { host: Some("localhost:7070"), origin, fetch_site, ..BARE };
            let verdict = if good { Ok(()) } else { Err(Refusal::CrossSite) };
            assert_eq!(admit(&caller, None), verdict, "{origin:?} {fetch_site:?}");
        }
    }
}

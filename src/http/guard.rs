//! How a caller is let in. Pure: the decision over what a request says of its caller.
//!
//! - Over the unix socket: whoever can open it. The file's permissions are the key. One that sends a
//!   key all the same may do what that key allows, and no more.
//! - Over TCP, where there is a key or was: whoever sends one, as `Authorization: Bearer` or `X-API-Key`.
//! - Over TCP without any key (loopback only, see [`super::Server::start`]): whoever is on this
//!   machine, but no page of a browser that belongs to another site.
//!
//! A page can make the browser send requests to loopback, or point its own name there (DNS
//! rebinding); both show in `Host`, `Origin` and `Sec-Fetch-Site`. No answer has a header of CORS.

use std::net::IpAddr;

use crate::domain::access::AttemptKey;

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
    /// Whether TLS is spoken over TCP.
    pub(super) tls: bool,
}

/// Why a caller is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// No key where one is needed.
    #[error("send the API key as `Authorization: Bearer KEY` or as `X-API-Key: KEY`")]
    NoKey,
    /// The name that was asked for is not one of this machine's own.
    #[error(
        "without an API key only `localhost`, `127.0.0.1` and `[::1]` are answered; the `Host` header says otherwise"
    )]
    ForeignHost,
    /// The page that asked is of another site.
    #[error("a page of another origin may not call this host")]
    CrossSite,
}

/// What a caller shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown<'a> {
    /// This, which has to be a key.
    Key(&'a [u8]),
    /// That it can open the unix socket.
    Socket,
    /// Nothing; there is nothing to be shown.
    Nothing,
}

/// Decides whether the caller is let in, or has yet to show that its key is one. `locked` says
/// whether there are keys.
pub(super) fn admit<'a>(caller: &Caller<'a>, locked: bool) -> Result<Shown<'a>, Refusal> {
    match (caller.via, sent_key(caller)) {
        (Via::Unix, None) => Ok(Shown::Socket),
        (Via::Unix, Some(key)) => Ok(Shown::Key(key)),
        // An agent at work says who it is, though nobody asks for it.
        (Via::Tcp, key) if !locked => same_site(caller).map(|()| match key {
            Some(key) if AttemptKey::is_meant(key) => Shown::Key(key),
            _ => Shown::Nothing,
        }),
        (Via::Tcp, None) => Err(Refusal::NoKey),
        (Via::Tcp, Some(_)) if !same_origin(caller) => Err(Refusal::CrossSite),
        (Via::Tcp, Some(key)) => Ok(Shown::Key(key)),
    }
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
    let scheme = if caller.tls { "https://" } else { "http://" };
    let origin = caller.origin.is_none_or(|origin| {
        origin.strip_prefix(scheme).is_some_and(|at| at.eq_ignore_ascii_case(host))
    });
    if site && origin { Ok(()) } else { Err(Refusal::CrossSite) }
}

/// Whether the caller is no page of a browser, or one of the name that it asks. The scheme may differ:
/// a proxy in front may speak TLS.
fn same_origin(caller: &Caller<'_>) -> bool {
    let Some(origin) = caller.origin else { return true };
    let at = origin.split_once("://").map(|(_, at)| at);
    at.zip(caller.host).is_some_and(|(at, host)| at.eq_ignore_ascii_case(host))
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
    use proptest::prelude::*;

    use super::*;

    const BARE: Caller<'_> = Caller {
        via: Via::Tcp,
        host: None,
        origin: None,
        fetch_site: None,
        authorization: None,
        api_key: None,
        tls: false,
    };

    #[test]
    fn the_socket_is_the_key() {
        for locked in [false, true] {
            let caller = Caller { via: Via::Unix, ..BARE };
            assert_eq!(admit(&caller, locked), Ok(Shown::Socket));
            let with_key = Caller { api_key: Some(b"k"), ..caller };
            assert_eq!(admit(&with_key, locked), Ok(Shown::Key(b"k")));
        }
    }

    #[test]
    fn where_there_are_keys_one_is_asked_for() {
        type Header = Option<&'static [u8]>;
        let rows: [(Header, Header, Result<Shown<'_>, Refusal>); 9] = [
            (None, None, Err(Refusal::NoKey)),
            (Some(b"Bearer s3cret"), None, Ok(Shown::Key(b"s3cret"))),
            (Some(b"bearer  s3cret "), None, Ok(Shown::Key(b"s3cret"))),
            (None, Some(b"s3cret"), Ok(Shown::Key(b"s3cret"))),
            (Some(b"Bearer one"), Some(b"two"), Ok(Shown::Key(b"one"))),
            (Some(b"Bearer "), None, Err(Refusal::NoKey)),
            (Some(b"Basic s3cret"), None, Err(Refusal::NoKey)),
            (None, Some(b""), Err(Refusal::NoKey)),
            (None, Some(b"\xff"), Ok(Shown::Key(b"\xff"))),
        ];
        for (authorization, api_key, verdict) in rows {
            let caller = Caller { authorization, api_key, host: Some("any.example"), ..BARE };
            assert_eq!(admit(&caller, true), verdict, "{authorization:?} {api_key:?}");
        }
    }

    #[test]
    fn with_a_key_pages_of_other_origins_are_refused_all_the_same() {
        let rows = [
            (None, true),
            (Some("https://hostler.example"), true),
            (Some("http://HOSTLER.example"), true),
            (Some("https://hostler.example:8443"), false),
            (Some("https://evil.example"), false),
            (Some("hostler.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ];
        for (origin, good) in rows {
            let host = Some("hostler.example");
            let caller = Caller { host, origin, api_key: Some(b"k"), ..BARE };
            let verdict = if good { Ok(Shown::Key(b"k")) } else { Err(Refusal::CrossSite) };
            assert_eq!(admit(&caller, true), verdict, "{origin:?}");
        }
    }

    proptest! {
        /// Whatever headers say, only what was sent whole is taken for a key, and nobody gets in
        /// over TCP without one where there are keys.
        #[test]
        fn headers_are_read_without_a_panic(
            host in proptest::option::of(".{0,40}"),
            origin in proptest::option::of(".{0,40}"),
            authorization: Option<Vec<u8>>,
            api_key: Option<Vec<u8>>,
            locked: bool,
        ) {
            let caller = Caller {
                host: host.as_deref(),
                origin: origin.as_deref(),
                authorization: authorization.as_deref(),
                api_key: api_key.as_deref(),
                ..BARE
            };
            match admit(&caller, locked) {
                Ok(Shown::Key(key)) => {
                    prop_assert!((locked || AttemptKey::is_meant(key)) && !key.is_empty());
                    let sent = [&authorization, &api_key].into_iter().flatten();
                    prop_assert!(sent.into_iter().any(|header| header.ends_with(key)
                        || header.trim_ascii_end().ends_with(key)));
                }
                Ok(Shown::Nothing) => prop_assert!(!locked && is_loopback(&host.unwrap())),
                Ok(Shown::Socket) => prop_assert!(false, "not over TCP"),
                Err(_) => {}
            }
        }
    }

    #[test]
    fn without_a_key_only_names_of_this_machine_are_answered() {
        for good in
            ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:65535", "[::1]", "[::1]:7"]
        {
            let caller = Caller { host: Some(good), ..BARE };
            assert_eq!(admit(&caller, false), Ok(Shown::Nothing), "{good}");
            // A key that is of no use does no harm.
            let caller = Caller { api_key: Some(b"k"), ..caller };
            assert_eq!(admit(&caller, false), Ok(Shown::Nothing), "{good}");
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
            let verdict = admit(&Caller { host: Some(host), ..BARE }, false);
            assert_eq!(verdict, Err(Refusal::ForeignHost), "{host}");
        }
        assert_eq!(admit(&BARE, false), Err(Refusal::ForeignHost));
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
            let verdict = if good { Ok(Shown::Nothing) } else { Err(Refusal::CrossSite) };
            assert_eq!(admit(&caller, false), verdict, "{origin:?} {fetch_site:?}");
        }
        for (origin, good) in [("https://localhost", true), ("http://localhost", false)] {
            let origin = Some(origin);
            let caller = Caller { host: Some("localhost"), origin, tls: true, ..BARE };
            assert_eq!(admit(&caller, false).is_ok(), good, "{origin:?} over TLS");
        }
    }
}

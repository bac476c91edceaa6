//! `[http]`.

use std::{net::SocketAddr, time::Duration};

use super::{
    Http, Secret,
    reader::{OFF, Section},
    secrets, tls,
};

/// A shorter key can be guessed.
const MIN_KEY: usize = 16;

/// Reads the section.
pub(super) fn read(section: &Section<'_>) -> Option<Http> {
    let bind = bind(section);
    let api_key = api_key(section);
    let max_body = section.size("max_body", 1 << 10..=1 << 30);
    let max_wait = section.duration("max_wait", Duration::ZERO..=Duration::from_secs(600));
    let allow_plain = section.bool("allow_plain");
    let tls = section.section("tls").and_then(|section| tls::read(&section));
    Some(Http {
        bind: bind?,
        api_key: api_key?,
        max_body: max_body?,
        max_wait: max_wait?,
        allow_plain: allow_plain?,
        tls: tls?,
    })
}

fn bind(section: &Section<'_>) -> Option<Option<SocketAddr>> {
    let text = section.text("bind")?;
    if text == OFF {
        return Some(None);
    }
    let Ok(address) = text.parse() else {
        let message = format!(
            "`{text}` is not an address: write an IP address and a port, such as \"127.0.0.1:7117\", or \"off\""
        );
        section.problem("bind", message);
        return None;
    };
    Some(Some(address))
}

fn api_key(section: &Section<'_>) -> Option<Option<Secret>> {
    let key = secrets::read(section, "api_key", "api_key_file")?;
    if let Some(text) = key.as_ref().map(Secret::reveal) {
        let used = secrets::used(section, "api_key", "api_key_file");
        let length = text.chars().count();
        if length < MIN_KEY {
            let message = format!(
                "must have at least {MIN_KEY} characters, got {length}: make one with `openssl rand -hex 32`"
            );
            section.problem(used, message);
        } else if !text.bytes().all(|c| c.is_ascii_graphic()) {
            let message =
                "must be letters, digits and signs of ASCII without spaces: it is sent in a header";
            section.problem(used, message.to_owned());
        }
    }
    Some(key)
}

//! Secrets are taken out of every line, whoever put them in.

use std::{
    borrow::Cow,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    domain::secret::{MIN_SECRET, without},
    settings::Settings,
};

/// The texts that must not be in a log. Clones share them.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Vec<String>>>);

impl Redactor {
    /// Hides `secret` in every line from now on. One of fewer than four characters is not hidden.
    pub fn hide(&self, secret: &str) {
        let mut secrets = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if secret.len() >= MIN_SECRET && !secrets.iter().any(|known| known == secret) {
            secrets.push(secret.to_owned());
            // A secret that holds another is replaced first, and as a whole.
            secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// Hides every secret of the settings, and the passwords of those that are URLs.
    pub fn hide_secrets_of(&self, settings: &Settings) {
        for secret in settings.secrets() {
            self.hide(secret);
            for password in passwords(secret) {
                self.hide(&decoded(password));
                self.hide(password);
            }
        }
    }

    /// `text` without the secrets.
    pub(super) fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let secrets = self.0.read().unwrap_or_else(PoisonError::into_inner);
        without(text, secrets.iter().map(String::as_str))
    }
}

/// The passwords in a URL: before the last `@`, and in the query.
fn passwords(url: &str) -> Vec<&str> {
    let Some((_, rest)) = url.split_once("://") else {
        return Vec::new();
    };
    let (user, query) = (rest.rsplit_once('@'), rest.split_once('?'));
    let of_user = user.and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password);
    let of_query = query.into_iter().flat_map(|(_, query)| query.split('&'));
    of_user.into_iter().chain(of_query.filter_map(|pair| pair.strip_prefix("password="))).collect()
}

/// `text` with its `%41` read as `A`, as the driver reads a password.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (*first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (first, _) => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_in_urls() {
        let rows: [(&str, &[&str]); 4] = [
            ("postgres://u:pa%20ss@h/db", &["pa%20ss"]),
            ("postgres://u@h/db", &[]),
            ("postgres://h/db?user=u&password=secret", &["secret"]),
            ("postgres://u:p@ss@h/db", &["p@ss"]),
        ];
        for (url, found) in rows {
            assert_eq!(passwords(url), found, "{url}");
        }
        assert_eq!(decoded("pa%20ss%"), "pa ss%");
    }

    #[test]
    fn the_secrets_of_the_settings_are_hidden() {
        let mut sources = crate::settings::Sources {
            files: Vec::new(),
            env: std::collections::BTreeMap::new(),
            flags: Vec::new(),
            machine: crate::settings::Machine::detect(&std::collections::BTreeMap::new()),
            check_template: |_| Ok(()),
        };
        let flags = [
            ("host.data_dir", "/data"),
            ("http.api_key", "0123456789abcdef"),
            ("database.url", "postgres://u:pa%20ss@h/db"),
        ];
        sources.flags = flags.map(|(field, text)| (field.to_owned(), text.to_owned())).into();
        let redactor = Redactor::default();
        redactor.hide_secrets_of(&crate::settings::load(&sources).unwrap());
        let text = "0123456789abcdef postgres://u:pa%20ss@h/db pa%20ss pa ss h/db";
        assert_eq!(redactor.clean(text), "*** *** *** *** h/db");
    }

    #[test]
    fn the_longest_secret_goes_first() {
        let redactor = Redactor::default();
        redactor.hide("abcd");
        redactor.hide("abcdefgh");
        redactor.hide("abc");
        assert_eq!(redactor.clean("abcdefgh abcd abc"), "*** *** abc");
    }
}

//! Hides secrets in what is shown to people.

use std::{borrow::Cow, collections::BTreeMap};

use super::{Secret, Settings, layers::join};
pub(super) use crate::domain::secret::MASK;

/// What the name of a variable holds when its value is likely a secret.
const SECRET_WORDS: [&str; 7] =
    ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL"];

impl Settings {
    /// Every secret in the settings: what no log, event or error may hold.
    pub fn secrets(&self) -> Vec<&str> {
        let variables = self.fleets.iter().flat_map(|fleet| &fleet.env);
        let of_fleets = variables.filter(|(name, _)| is_secret_name(name));
        let named = self.named_secrets().into_values().map(Secret::reveal);
        let of_agents = self.fleets.iter().flat_map(|fleet| fleet.secrets.values());
        let of_agents = of_agents.filter_map(|secret| secret.value.as_ref()).map(Secret::reveal);
        named.chain(of_agents).chain(of_fleets.map(|(_, value)| value.as_str())).collect()
    }

    /// The secrets that have a field of their own, by its dotted name. A new one belongs in here: what
    /// hides secrets and what notices that one changed go by this.
    pub(super) fn named_secrets(&self) -> BTreeMap<String, &Secret> {
        let fields = [
            ("database.url", &self.database.url),
            ("http.api_key", &self.http.api_key),
            ("webhook.github_secret", &self.webhook.github_secret),
        ];
        let fields =
            fields.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it.as_ref()?)));
        let of_webhooks = self.webhooks.iter().filter_map(|one| {
            let at = join(&join("webhooks", one.name.as_str()), "secret");
            Some((at, one.secret.as_ref()?))
        });
        fields.chain(of_webhooks).collect()
    }
}

/// Whether the value of the variable `name` is likely a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let upper = name.to_uppercase();
    SECRET_WORDS.iter().any(|word| upper.contains(word))
}

/// `text` with the passwords of every URL in it hidden: that of `user:password@host`, and that of a
/// query such as `?password=...`.
pub(super) fn urls(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let words: Vec<Cow<'_, str>> = text.split(' ').map(url).collect();
    Cow::Owned(words.join(" "))
}

fn url(word: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = word.split_once("://") else {
        return Cow::Borrowed(word);
    };
    // The last `@` ends the user: a password may hold one, and a `/` or a `?` too. Where only the
    // query has one, too much is hidden rather than too little.
    let before_query = rest.split_once('?').map_or(rest, |(before, _)| before);
    let user_ends = before_query.rfind('@').or_else(|| rest.rfind('@'));
    let (user, rest) = match user_ends {
        Some(at) => (&rest[..at], &rest[at..]),
        None => ("", rest),
    };
    let user = match user.split_once(':') {
        Some((name, _)) => format!("{name}:{MASK}"),
        None => user.to_owned(),
    };
    let rest = match rest.split_once('?') {
        Some((before, query)) => format!("{before}?{}", parameters(query)),
        None => rest.to_owned(),
    };
    Cow::Owned(format!("{scheme}://{user}{rest}"))
}

fn parameters(query: &str) -> String {
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if is_secret_name(name) => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    };
    query.split('&').map(hide).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_are_hidden() {
        let rows = [
            ("postgres://u:p@h/db", "postgres://u:***@h/db"),
            ("postgres://u:p@ss:w/rd@h/db", "postgres://u:***@h/db"),
            ("postgres://u@h/db", "postgres://u@h/db"),
            ("postgres:///db?host=/run", "postgres:///db?host=/run"),
            ("postgres://h/db?user=u&password=p", "postgres://h/db?user=u&password=***"),
            ("postgres://u:p?ss@h/db", "postgres://u:***@h/db"),
            ("see http://u:p@h and go", "see http://u:***@h and go"),
            ("plain", "plain"),
        ];
        for (text, shown) in rows {
            assert_eq!(urls(text), shown, "{text}");
        }
    }

    #[test]
    fn names_of_secrets_are_known() {
        for name in ["API_KEY", "GITHUB_TOKEN", "client_secret", "PGPASSWORD"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["HOME", "LANG", "PATH"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}

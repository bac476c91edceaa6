//! The header `Idempotency-Key`: by what a request that comes again is known. Pure.
//!
//! It counts for the API key with which it came: what another caller calls the same is another request. All
//! who may do everything anyway (the owner, `http.api_key`, whoever is on the machine where there are no
//! keys), and agents at work, share one scope, and so do the fields `idempotency_key` of bodies, which say
//! what a task is, and not by whom it was sent.

use actix_web::http::header::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::{caller::Caller, error::ApiError, fields::MAX_KEY, query, sessions::read::hex};
use crate::domain::access::KeyId;

/// The header of a request, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeaderKey<'a> {
    /// What it says.
    pub(super) said: &'a str,
    /// The API key in whose scope it is.
    pub(super) of: Option<&'a KeyId>,
}

impl<'a> HeaderKey<'a> {
    /// Reads the header of a request.
    pub(super) fn read(
        headers: &'a HeaderMap,
        caller: &'a Caller,
    ) -> Result<Option<Self>, ApiError> {
        let said = query::idempotency_key(headers)?;
        Ok(said.map(|said| HeaderKey { said, of: caller.scope() }))
    }

    /// As it is kept: with the id of the API key in front, within the limit of keys.
    pub(super) fn kept(&self) -> String {
        let Some(id) = self.of else { return self.said.to_owned() };
        let whole = format!("{id}:{}", self.said);
        if whole.len() <= MAX_KEY {
            return whole;
        }
        format!("{id}:sha256:{}", hex(&Sha256::digest(self.said)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_word_of_two_callers_is_two_keys() {
        let (one, two): (KeyId, KeyId) =
            ("0123456789ab".parse().unwrap(), "ba9876543210".parse().unwrap());
        let kept = |said, of| HeaderKey { said, of }.kept();
        assert_eq!(kept("k", None), "k");
        assert_eq!(kept("k", Some(&one)), "0123456789ab:k");
        assert_ne!(kept("k", Some(&one)), kept("k", Some(&two)));
        // However long what was sent is, what is kept is within the limit, and another for another.
        let (long, other) = ("x".repeat(MAX_KEY), format!("{}y", "x".repeat(MAX_KEY - 1)));
        assert_eq!(kept(&long, None), long);
        let short = kept(&long, Some(&one));
        assert!(short.len() <= MAX_KEY && short.starts_with("0123456789ab:"), "{short}");
        assert_ne!(short, kept(&other, Some(&one)));
        assert_ne!(short, kept(&long, Some(&two)));
    }
}

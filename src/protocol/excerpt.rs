//! Short, printable pieces of what an agent sent, for errors and logs.

/// The most characters of an excerpt.
pub(super) const MAX_EXCERPT: usize = 200;

/// The beginning of `bytes`, escaped and on one line, in at most [`MAX_EXCERPT`] characters. Where
/// something is left out, the excerpt ends in how much there was.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    // The longest ending is `… (18446744073709551615 bytes)`.
    const ROOM: usize = MAX_EXCERPT - 31;
    let mut pieces = Vec::new();
    let mut width = 0;
    let mut fits = 0;
    for piece in bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid().chars().map(|c| match c {
            '"' | '\'' | '\\' => c.to_string(),
            c => c.escape_debug().to_string(),
        });
        valid.chain(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")))
    }) {
        width += piece.chars().count();
        if width > MAX_EXCERPT {
            pieces.truncate(fits);
            return format!("{}… ({} bytes)", pieces.concat(), bytes.len());
        }
        pieces.push(piece);
        if width <= ROOM {
            fits = pieces.len();
        }
    }
    pieces.concat()
}

/// `text` in at most `limit` bytes, cut between characters; `…` stands for what is cut off.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let kept = text.floor_char_boundary(limit.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..kept])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_excerpt_is_printable_and_on_one_line() {
        assert_eq!(excerpt(b"{\"a\": 'b'}"), "{\"a\": 'b'}");
        assert_eq!(excerpt(b"one\ntwo\x1b[0m\xff\0"), "one\\ntwo\\u{1b}[0m\\xff\\0");
        assert_eq!(excerpt("grüß".as_bytes()), "grüß");
        assert!(excerpt(&[b'x'; 1000]).ends_with("xxx… (1000 bytes)"));
        assert_eq!(excerpt(&[b'x'; 200]), "x".repeat(200));
    }

    #[test]
    fn shortened_text_fits_and_says_so() {
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(shorten("longer", 5), "lo…");
        assert_eq!(shorten("ääää", 6), "ä…");
    }

    proptest! {
        #[test]
        fn an_excerpt_is_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let text = excerpt(&bytes);
            prop_assert!(text.chars().count() <= MAX_EXCERPT);
            prop_assert!(!text.chars().any(char::is_control), "{text:?}");
        }

        #[test]
        fn shortened_text_is_bounded(text in ".{0,80}", limit in 3_usize..60) {
            prop_assert!(shorten(&text, limit).len() <= limit.max('…'.len_utf8()));
        }
    }
}

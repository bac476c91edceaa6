//! "Did you mean ...?": for every reader of what people write.

/// The longest word that is compared; longer ones are no slips of the finger.
const MAX_WORD: usize = 64;

/// The word of `known` that `text` is most likely a slip of.
pub fn closest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > MAX_WORD {
        return None;
    }
    let lower = text.to_lowercase();
    known
        .into_iter()
        .map(|word| (distance(&lower, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= word.len().div_ceil(3))
        .min()
        .map(|(_, word)| word)
}

/// How many single characters must be put in, taken out or changed (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, have) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, want) in to.iter().enumerate() {
            let changed = diagonal + usize::from(have != *want);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// `words` as people write a list, each in backquotes.
pub fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let known = ["bind", "api_key", "max_body", "max_wait"];
        let rows = [
            ("bnd", Some("bind")),
            ("BIND", Some("bind")),
            ("apikey", Some("api_key")),
            ("max_bdoy", Some("max_body")),
            ("colour", None),
            ("", None),
        ];
        for (text, word) in rows {
            assert_eq!(closest(text, known), word, "{text}");
        }
    }
}

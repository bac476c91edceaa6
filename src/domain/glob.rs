//! Which files a pattern names, and whether two patterns can name the same file.
//!
//! | pattern | names |
//! | --- | --- |
//! | `*` | any run of characters within one name, also none |
//! | `?` | one character of a name |
//! | `[a-z]`, `[!a-z]` | one character of (or not of) these |
//! | `{a,b}` | either; may be nested and may hold slashes |
//! | `**` | between slashes: any number of directories, also none; at the end: all that is below |
//!
//! [`Glob::overlaps`] is exact: it answers `true` if and only if there is a path that both
//! patterns name. Only of patterns that are made to keep it busy (it has a bound of work, since who
//! decides holds others up) it is said that they overlap, which is the safe side. Paths are relative to
//! the workspace, upper and lower case differ, and a leading dot is a character like any other.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::text_schema::text_schema;

mod work;

pub use work::Work;

/// The most plain patterns that the braces of one glob may stand for.
const MAX_ALTERNATIVES: usize = 256;

/// The longest glob, in bytes.
const MAX_GLOB: usize = 1024;

/// How much is done at the most to compare two patterns: some hundredths of a second.
const MOST_WORK: usize = 5_000_000;

/// A pattern that names files. It prints as it was written, and a clone shares what it has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob {
    text: Arc<str>,
    alternatives: Arc<[Vec<Segment>]>,
}

text_schema!(Glob, "^[a-zA-Z0-9_./*-]{1,255}$", "src/**/*.rs");

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a file pattern: {why}")]
pub struct ParseGlobError {
    text: String,
    why: &'static str,
}

/// What stands between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// Any number of directories.
    Deep,
    /// One name.
    Name(Vec<Token>),
}

/// Ranges of characters, the ends included.
type Ranges = Vec<(char, char)>;

/// A part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Any run of characters.
    Run,
    /// One character of these ranges, which are sorted and apart.
    One(Ranges),
}

impl Glob {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one path that the pattern names, if it names one only by having nothing special in it.
    pub fn literal(&self) -> Option<String> {
        let [segments] = &*self.alternatives else { return None };
        let names: Option<Vec<String>> = segments.iter().map(Segment::literal).collect();
        names.map(|names| names.join("/"))
    }

    /// How many characters it stands for, with all that is in its braces.
    pub fn size(&self) -> usize {
        let size = |segment: &Segment| match segment {
            Segment::Deep => 1,
            Segment::Name(tokens) => tokens.iter().map(Token::size).sum::<usize>() + 1,
        };
        self.alternatives.iter().flatten().map(size).sum()
    }

    /// What every path begins with that the pattern names; empty where that can't be told at once.
    pub fn beginning(&self) -> String {
        let [segments] = &*self.alternatives else { return String::new() };
        segments.iter().map_while(Segment::literal).collect::<Vec<_>>().join("/")
    }

    /// Whether there is a path that both patterns name.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.overlaps_within(other, &Work::new(MOST_WORK))
    }

    /// Whether there is a path that both patterns name; or `work` is used up, so that there may be.
    pub fn overlaps_within(&self, other: &Self, work: &Work) -> bool {
        work.begin();
        let meets = |mine, theirs: &Vec<Segment>| paths_meet(mine, theirs, work);
        self.alternatives
            .iter()
            .any(|mine| other.alternatives.iter().any(|theirs| meets(mine, theirs)))
    }

    /// Whether the pattern names `path`, which has no special characters.
    pub fn matches(&self, path: &str) -> bool {
        let segments: Vec<Segment> = path
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".")
            .map(|name| Segment::Name(name.chars().map(|c| Token::One(vec![(c, c)])).collect()))
            .collect();
        let work = Work::new(MOST_WORK);
        self.alternatives.iter().any(|mine| paths_meet(mine, &segments, &work))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

impl Hash for Glob {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl TryFrom<String> for Glob {
    type Error = ParseGlobError;

    fn try_from(text: String) -> Result<Self, ParseGlobError> {
        text.parse()
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.text.as_ref().to_owned()
    }
}

impl FromStr for Glob {
    type Err = ParseGlobError;

    fn from_str(text: &str) -> Result<Self, ParseGlobError> {
        let wrong = |why| ParseGlobError { text: text.to_owned(), why };
        if text.len() > MAX_GLOB {
            return Err(wrong("it is longer than 1024 bytes"));
        }
        if text.starts_with('/') {
            return Err(wrong("it must be relative to the workspace"));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong("it holds a control character"));
        }
        let mut alternatives = Vec::new();
        for plain in braces(text).map_err(wrong)? {
            let segments = segments(&plain).map_err(wrong)?;
            if !segments.is_empty() && !alternatives.contains(&segments) {
                alternatives.push(segments);
            }
        }
        if alternatives.is_empty() {
            return Err(wrong("it names nothing"));
        }
        Ok(Self { text: text.into(), alternatives: alternatives.into() })
    }
}

impl Token {
    fn size(&self) -> usize {
        match self {
            Self::Run => 1,
            Self::One(ranges) => ranges.len(),
        }
    }
}

impl Segment {
    fn literal(&self) -> Option<String> {
        let Self::Name(tokens) = self else { return None };
        let character = |token: &Token| match token {
            Token::One(ranges) => match ranges.as_slice() {
                [(first, last)] if first == last => Some(*first),
                _ => None,
            },
            Token::Run => None,
        };
        tokens.iter().map(character).collect()
    }
}

/// Whether two lists of segments name a common path.
fn paths_meet(a: &[Segment], b: &[Segment], work: &Work) -> bool {
    lists_meet(a, b, work, &|one| *one == Segment::Deep, &|one, other| match (one, other) {
        (Segment::Name(one), Segment::Name(other)) => names_meet(one, other, work),
        _ => false,
    })
}

/// Whether two patterns of one name have a common name.
fn names_meet(a: &[Token], b: &[Token], work: &Work) -> bool {
    lists_meet(a, b, work, &|one| *one == Token::Run, &|one, other| match (one, other) {
        (Token::One(one), Token::One(other)) => ranges_meet(one, other, work),
        _ => false,
    })
}

/// Whether two lists stand for a common row of things, where whatever `is_run` stands for any
/// number of them, also none, and of the others each for one that `meet` in common with another. True
/// once `work` is used up.
fn lists_meet<T>(
    mut a: &[T],
    mut b: &[T],
    work: &Work,
    is_run: &impl Fn(&T) -> bool,
    meet: &impl Fn(&T, &T) -> bool,
) -> bool {
    // Most patterns part in their first parts: those need no table.
    while let ([x, more_a @ ..], [y, more_b @ ..]) = (a, b) {
        if is_run(x) || is_run(y) {
            break;
        }
        if !work.spend(1) {
            return true;
        }
        if !meet(x, y) {
            return false;
        }
        (a, b) = (more_a, more_b);
    }
    if a.is_empty() && b.is_empty() {
        return true;
    }
    // meets[j]: whether a[i..] and b[j..] do, for the i of the loop; from the ends to the front.
    let mut below = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let mut meets = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            if !work.spend(1) {
                return true;
            }
            meets[j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                (Some(x), there) if is_run(x) => below[j] || (there.is_some() && meets[j + 1]),
                (here, Some(y)) if is_run(y) => meets[j + 1] || (here.is_some() && below[j]),
                (Some(x), Some(y)) => below[j + 1] && meet(x, y),
                _ => false,
            };
        }
        below = meets;
    }
    below[0]
}

fn ranges_meet(a: &[(char, char)], b: &[(char, char)], work: &Work) -> bool {
    !work.spend(a.len() * b.len())
        || a.iter().any(|(from, to)| b.iter().any(|(first, last)| from <= last && first <= to))
}

/// Every plain pattern that the braces of `text` stand for.
fn braces(text: &str) -> Result<Vec<String>, &'static str> {
    let (mut depth, mut open, mut class) = (0_usize, None, false);
    let mut commas = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '[' if !class => class = true,
            ']' if class
                && !matches!(&text[..at], before if before.ends_with('[') || before.ends_with("[!") || before.ends_with("[^")) =>
            {
                class = false
            }
            _ if class => {}
            '{' => {
                depth += 1;
                if depth == 1 {
                    open = Some(at);
                }
            }
            ',' if depth == 1 => commas.push(at),
            '}' if depth == 0 => return Err("a `}` has no `{`"),
            '}' => {
                depth -= 1;
                if let (0, Some(from)) = (depth, open) {
                    return expand(text, from, &commas, at);
                }
            }
            _ => {}
        }
    }
    if depth > 0 { Err("a `{` is not closed") } else { Ok(vec![text.to_owned()]) }
}

/// Puts each alternative of the braces `text[open..=close]` in their place, and goes on.
fn expand(
    text: &str,
    open: usize,
    commas: &[usize],
    close: usize,
) -> Result<Vec<String>, &'static str> {
    let mut plain: Vec<String> = Vec::new();
    let starts = std::iter::once(open).chain(commas.iter().copied());
    let ends = commas.iter().copied().chain([close]);
    for (start, end) in starts.zip(ends) {
        let one = format!("{}{}{}", &text[..open], &text[start + 1..end], &text[close + 1..]);
        plain.extend(braces(&one)?);
        if plain.len() > MAX_ALTERNATIVES {
            return Err("its braces stand for more than 256 patterns");
        }
    }
    Ok(plain)
}

/// The segments of a pattern without braces.
fn segments(plain: &str) -> Result<Vec<Segment>, &'static str> {
    let mut segments = Vec::new();
    for name in split(plain) {
        match name {
            "" | "." => {}
            ".." => return Err("it leaves the workspace by `..`"),
            "**" => {
                // Two in a row say no more than one.
                if segments.last() != Some(&Segment::Deep) {
                    segments.push(Segment::Deep);
                }
            }
            _ if name.contains("**") && !name.contains('[') => {
                return Err("`**` must stand alone between slashes");
            }
            _ => segments.push(Segment::Name(tokens(name)?)),
        }
    }
    // At the end it is all that is below, not the directory itself; so it is for `dir/`.
    if segments.last() == Some(&Segment::Deep) {
        segments.push(Segment::Name(vec![Token::Run]));
    } else if plain.ends_with('/') && !segments.is_empty() {
        segments.extend([Segment::Deep, Segment::Name(vec![Token::Run])]);
    }
    Ok(segments)
}

/// The texts between slashes; a slash never is in a class.
fn split(plain: &str) -> impl Iterator<Item = &str> {
    plain.split('/')
}

/// The tokens of one name.
fn tokens(name: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' if tokens.last() == Some(&Token::Run) => {}
            '*' => tokens.push(Token::Run),
            '?' => tokens.push(Token::One(outside(&mut Vec::new()))),
            '[' => {
                let (class, after) = class(rest.as_str())?;
                tokens.push(Token::One(class));
                rest = after.chars();
            }
            c => tokens.push(Token::One(vec![(c, c)])),
        }
    }
    Ok(tokens)
}

/// A class of characters after its `[`, and what follows its `]`.
fn class(text: &str) -> Result<(Ranges, &str), &'static str> {
    let negated = text.starts_with(['!', '^']);
    let body = if negated { &text[1..] } else { text };
    // A `]` in the first place is a member.
    let from = body.chars().next().map_or(0, char::len_utf8);
    let close = body[from..].find(']').ok_or("a `[` is not closed")? + from;
    let members: Vec<char> = body[..close].chars().collect();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < members.len() {
        let last = if at + 2 < members.len() && members[at + 1] == '-' { at + 2 } else { at };
        if members[last] < members[at] {
            return Err("a range in `[…]` runs backwards");
        }
        ranges.push((members[at], members[last]));
        at = last + 1;
    }
    if negated {
        ranges = outside(&mut ranges);
    }
    if ranges.is_empty() {
        return Err("a `[…]` holds no character");
    }
    Ok((ranges, &body[close + 1..]))
}

/// All characters of names that are not in `ranges`.
fn outside(ranges: &mut Ranges) -> Ranges {
    ranges.push(('/', '/'));
    ranges.push(('\u{0}', '\u{0}'));
    ranges.sort_unstable();
    let mut gaps = Vec::new();
    let mut free = Some('\u{0}');
    for (first, last) in ranges.iter().copied() {
        let Some(begin) = free else { break };
        if let Some(end) = before(first).filter(|end| begin <= *end) {
            gaps.push((begin, end));
        }
        free = if last < begin { free } else { after(last) };
    }
    gaps.extend(free.map(|begin| (begin, char::MAX)));
    gaps
}

fn before(c: char) -> Option<char> {
    ('\u{0}'..c).next_back()
}

fn after(c: char) -> Option<char> {
    (c..=char::MAX).nth(1)
}

#[cfg(test)]
mod tests;

//! The lines of a Markdown document, by what they are.

/// What a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `## Title`: how deep, and the title.
    Heading(usize, &'a str),
    /// `**Name**: value`.
    Field(&'a str, &'a str),
    /// A line that is bold from one end to the other, perhaps with a colon behind.
    Bold(&'a str),
    /// `- text`.
    Bullet(&'a str),
    /// `1. text`.
    Numbered(&'a str),
    /// The cells of a row of a table.
    Row(Vec<&'a str>),
    /// A line within a fence.
    Fenced(&'a str),
    /// Nothing.
    Blank,
    /// Anything else.
    Text(&'a str),
}

/// The lines of `text` with their numbers, counted from 1.
pub(super) fn lines(text: &str) -> Vec<(usize, Line<'_>)> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for (at, raw) in text.lines().enumerate() {
        let trimmed = raw.trim();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        let line = match (fence, mark) {
            (Some(open), Some(mark)) if open == mark => {
                fence = None;
                continue;
            }
            (None, Some(mark)) => {
                fence = Some(mark);
                continue;
            }
            (Some(_), _) => Line::Fenced(trimmed),
            (None, None) => line(raw, trimmed),
        };
        lines.push((at + 1, line));
    }
    lines
}

fn line<'a>(raw: &'a str, trimmed: &'a str) -> Line<'a> {
    if trimmed.is_empty() || matches!(trimmed, "---" | "***" | "___") {
        return Line::Blank;
    }
    let deep = trimmed.bytes().take_while(|c| *c == b'#').count();
    if (1..=6).contains(&deep) && trimmed[deep..].starts_with(' ') {
        return Line::Heading(deep, trimmed[deep..].trim());
    }
    if let Some(inner) = trimmed.strip_prefix('|') {
        let inner = inner.strip_suffix('|').unwrap_or(inner);
        return Line::Row(inner.split('|').map(str::trim).collect());
    }
    // Bullets below bullets say more of the same thing; they stay bullets.
    if let Some(text) = ["- ", "* ", "+ "].iter().find_map(|mark| trimmed.strip_prefix(mark)) {
        return Line::Bullet(text.trim());
    }
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let after = trimmed[digits..].strip_prefix(". ");
    if let Some(text) = after.filter(|_| digits > 0 && !raw.starts_with(' ')) {
        return Line::Numbered(text.trim());
    }
    match bold(trimmed) {
        Some((name, rest)) if rest.trim_matches([':', ' ']).is_empty() => {
            Line::Bold(name.trim_end_matches(':'))
        }
        Some((name, rest)) if rest.starts_with(':') => Line::Field(name, rest[1..].trim()),
        Some((name, rest)) if name.ends_with(':') => {
            Line::Field(name.trim_end_matches(':'), rest.trim())
        }
        _ => Line::Text(trimmed),
    }
}

/// The bold text that a line begins with, and what follows.
pub(super) fn bold(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix("**")?;
    let end = inner.find("**")?;
    Some((inner[..end].trim(), &inner[end + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let text = "## A b\n**Time**: 2 h\n**Time:** 3 h\n**Files**:\n- x\n1. **Y** (1 h)\n| a | b |\n```sh\n# no heading\n```\nplain\n";
        let found: Vec<Line<'_>> = lines(text).into_iter().map(|(_, line)| line).collect();
        let wanted = [
            Line::Heading(2, "A b"),
            Line::Field("Time", "2 h"),
            Line::Field("Time", "3 h"),
            Line::Bold("Files"),
            Line::Bullet("x"),
            Line::Numbered("**Y** (1 h)"),
            Line::Row(vec!["a", "b"]),
            Line::Fenced("# no heading"),
            Line::Text("plain"),
        ];
        assert_eq!(found, wanted);
        assert_eq!(lines(text)[7].0, 9, "the fence counts as a line");
    }
}

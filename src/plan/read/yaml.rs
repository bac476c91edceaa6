//! YAML with lines: the core schema of YAML 1.2, where `yes` and `no` are texts.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::tree::{Entry, MAX_DEPTH, Malformed, Node, Tree, insert};

/// The most values of one file, aliases written out.
const MAX_NODES: usize = 2_000_000;

/// Reads `text`, which holds one document.
pub(super) fn read(text: &str) -> Result<Node, Malformed> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut root = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            event if root.is_none() => root = Some(reader.node(event, span, 0)?),
            _ => return Err((Some(line_of(&span)), "holds more than one document".to_owned())),
        }
    }
    root.ok_or_else(|| (None, "is empty".to_owned()))
}

fn line_of(span: &Span) -> usize {
    span.start.line()
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Malformed> {
        match self.parser.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                Err((Some(error.marker().line()), format!("is not YAML: {}", error.info())))
            }
            None => Err((None, "is not YAML: it ends too soon".to_owned())),
        }
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Malformed> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err((Some(line), format!("holds more than {MAX_NODES} values")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Malformed> {
        let line = line_of(&span);
        if depth > MAX_DEPTH {
            return Err((Some(line), format!("is nested more than {MAX_DEPTH} deep")));
        }
        self.count(1, line)?;
        let before = self.nodes;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain
                    || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let value = if is_text { Tree::Text(text.into_owned()) } else { plain(&text) };
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.table(depth)?, anchor),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let (node, size) = known.ok_or_else(|| {
                    (Some(line), "is not YAML: an alias stands in its own anchor".to_owned())
                })?;
                self.count(size, line)?;
                return Ok(Node { line, ..node });
            }
            _ => return Err((Some(line), "is not YAML: a value is missing".to_owned())),
        };
        let node = Node { line, value };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Tree, Malformed> {
        let mut values = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Tree::List(values)),
                (event, span) => values.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn table(&mut self, depth: usize) -> Result<Tree, Malformed> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let line = line_of(&span);
            let key = match event {
                Event::MappingEnd => return Ok(Tree::Table(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err((Some(line), "a key must be a text".to_owned())),
            };
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            insert(&mut entries, Entry { key, line, node })?;
        }
    }
}

/// A scalar without quotes.
fn plain(text: &str) -> Tree {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Tree::Null,
        "true" | "True" | "TRUE" => return Tree::Bool(true),
        "false" | "False" | "FALSE" => return Tree::Bool(false),
        _ => {}
    }
    let radix = |prefix: &str, radix| {
        text.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok())
    };
    if let Some(number) = text.parse().ok().or(radix("0x", 16)).or(radix("0o", 8)) {
        return Tree::Integer(number);
    }
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        && text.bytes().any(|c| c.is_ascii_digit());
    match text.parse::<f64>() {
        Ok(number) if is_number && number.is_finite() => Tree::Float(number),
        _ => Tree::Text(text.to_owned()),
    }
}

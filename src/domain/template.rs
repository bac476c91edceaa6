//! The engine behind every template: of commands, and of inputs.
//!
//! Text comes out as it is, everything else as compact JSON. A name that is not there is an error,
//! never an empty text. A template does a bounded amount of work, and reads nothing but what it is
//! given.

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior,
    syntax::SyntaxConfig, value::Value,
};

/// How much work one template may be: about 100,000 steps, or 6 MB of text on the way.
pub const FUEL: u64 = 100_000;

/// Whether a text has anything of a template.
pub fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

/// An engine without templates.
pub fn engine() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_formatter(write);
    engine.set_fuel(Some(FUEL));
    // Lets errors name what was undefined.
    engine.set_debug(true);
    engine.remove_global("debug");
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        engine.set_syntax(syntax);
    }
    engine
}

/// What the engine says of an error, without the place.
pub fn said(error: &Error) -> String {
    match error.kind() {
        ErrorKind::OutOfFuel => format!("it is more work than {FUEL} steps"),
        kind => error.detail().map_or_else(|| kind.to_string(), str::to_owned),
    }
}

/// Text as it is, everything else as compact JSON. (Undefined is here only what `… if …` without
/// `else` leaves, which means nothing; other undefined values never come this far.)
fn write(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    if let Some(text) = value.as_str() {
        return out.write_str(text).map_err(Error::from);
    }
    let json = serde_json::to_string(value).map_err(|error| {
        Error::new(ErrorKind::BadSerialization, "the value is no JSON").with_source(error)
    })?;
    out.write_str(&json).map_err(Error::from)
}

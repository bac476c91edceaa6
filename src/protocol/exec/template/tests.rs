//! Words that become arguments, and words that can't.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::protocol::task::sample::assignment;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn render(word: &str, input: serde_json::Value) -> Result<String, TemplateError> {
    let template = Template::parse(&words(&["agent", word]))?;
    template.render(&assignment(input)).map(|mut argv| argv.remove(1))
}

#[test]
fn words_become_arguments() {
    let rows = [
        ("plain", json!(null), "plain"),
        (
            "{{ input.prompt }}",
            json!({"prompt": "say \"hi\"; rm -rf / $(x)"}),
            "say \"hi\"; rm -rf / $(x)",
        ),
        (
            "{{ input }}",
            json!({"b": [1, 2.5, null, true], "a": "<ä>"}),
            "{\"a\":\"<ä>\",\"b\":[1,2.5,null,true]}",
        ),
        ("{{ input }}", json!("text\n"), "text\n"),
        ("--n={{ input }}", json!(18_446_744_073_709_551_615_u64), "--n=18446744073709551615"),
        ("{{ input }}", json!(1.0), "1.0"),
        ("{{ input }}", json!(null), "null"),
        ("{{ input[1] }}", json!(["a", ["b"]]), "[\"b\"]"),
        ("{{ input.model | default('small') }}", json!({}), "small"),
        ("{{ input.tags | join(',') }}", json!({"tags": ["a", "b"]}), "a,b"),
        ("{% if input.fast %}--fast{% endif %}", json!({"fast": false}), ""),
        ("{{ '--fast' if input.fast }}", json!({"fast": false}), ""),
        ("{% for x in input %}{{ x }};{% endfor %}", json!([1, "b"]), "1;b;"),
        (
            "{{ task.kind }}/{{ task.queue }}/{{ task.attempt }}/{{ agent }}",
            json!(0),
            "review/default/1/claude-1",
        ),
        ("{{ task.id }}", json!(0), "tsk_00000000000000000000000000000007"),
        ("two\n{{ input }}\n", json!("lines"), "two\nlines\n"),
        ("{{ input }}", json!("{{ task.id }}{% for %}"), "{{ task.id }}{% for %}"),
    ];
    for (word, input, made) in rows {
        assert_eq!(render(word, input).as_deref(), Ok(made), "{word}");
    }
}

#[test]
fn a_command_is_checked_before_any_task() {
    let rows: [(&[&str], &str); 9] = [
        (&[], "`command` names no program; expected a program and its arguments"),
        (&["", "x"], "`command` names no program; expected a program and its arguments"),
        (
            &["{{ input.program }}"],
            "command[0] (`{{ input.program }}`) is a template; expected the name",
        ),
        (
            &["a", "b", "{{ input.x "],
            "command[2] (`{{ input.x `) can't be read as a template: unexpected end of input",
        ),
        (&["a", "{% if input %}"], "command[1] (`{% if input %}`) can't be read as a template"),
        (
            &["a", "{{ inptu.x }}"],
            "command[1] (`{{ inptu.x }}`) uses `inptu.x`; expected `input`, `agent`",
        ),
        (&["a", "{{ task.name }}"], "command[1] (`{{ task.name }}`) uses `task.name`; expected"),
        (
            &["a", "{% include 'x' %}"],
            "command[1] (`{% include 'x' %}`) can't be read as a template",
        ),
        (&["a", "b\0"], "command[1] (`b\\0`) has a NUL byte"),
    ];
    for (command, text) in rows {
        let error = Template::parse(&words(command)).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
}

#[test]
fn a_task_that_does_not_fit_is_told_with_the_word() {
    let undefined = render("{{ input.prompt }}", json!({})).unwrap_err().to_string();
    assert_eq!(
        undefined,
        "command[1] (`{{ input.prompt }}`) needs something that the task does not have: \
         `input.prompt` is undefined"
    );
    assert!(matches!(
        render("{{ input.a.b }}", json!({})),
        Err(TemplateError::Undefined { index: 1, .. })
    ));
    assert!(matches!(
        render("x{{ input }}", json!("a\0b")),
        Err(TemplateError::Nul { index: 1, .. })
    ));
    assert!(matches!(
        render("{{ input }}", json!("x".repeat(MAX_WORD + 1))),
        Err(TemplateError::TooLong { bytes, .. }) if bytes == MAX_WORD + 1
    ));
    assert_eq!(render("{{ input }}", json!("x".repeat(MAX_WORD))).unwrap().len(), MAX_WORD);
    assert!(matches!(
        render("{{ input | nosuch }}", json!(1)),
        Err(TemplateError::Render { .. } | TemplateError::Syntax { .. })
    ));
}

#[test]
fn no_template_can_hang_the_host() {
    let costly = [
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}",
        "{% for a in range(9999) %}{{ input * 10000 }}{% endfor %}",
        "{{ (input * 100000) * 1000 }}",
    ];
    for word in costly {
        let error = render(word, json!("0123456789")).unwrap_err();
        assert!(matches!(error, TemplateError::Render { index: 1, .. }), "{error}");
    }
}

proptest! {
    #[test]
    fn text_comes_out_as_it_went_in(text in "[^\0]{0,200}") {
        prop_assert_eq!(render("{{ input }}", json!(text.clone())), Ok(text));
    }

    #[test]
    fn no_word_panics(word in "([a-z{}%#|.() ]|\\{\\{|\\}\\}|input|task){0,30}") {
        if let Ok(template) = Template::parse(&words(&["agent", &word])) {
            let made = template.render(&assignment(json!({"a": [1, "x"]})));
            prop_assert!(made.is_err() || made.is_ok_and(|argv| argv.len() == 2));
        }
    }
}

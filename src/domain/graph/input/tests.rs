//! Inputs that are filled in, and inputs that can't be.

use proptest::prelude::*;

use super::*;

fn results(deps: &Value) -> Results {
    let deps = deps.as_object().cloned();
    Results { deps, bytes: 10, most: 100 }
}

fn sample() -> Results {
    results(&json!({
        "a": {"id": "tsk_1", "state": "completed", "error": null,
            "output": {"text": "hi \"you\"", "n": 7, "list": [1, {"x": null}], "none": null}},
        "b-2": {"id": "tsk_2", "state": "failed", "output": null,
            "error": {"class": "exit", "message": "status 3"}},
        "empty": {"output": {}},
    }))
}

fn filled(input: &Value) -> Result<Value, String> {
    render(input, &sample(), 1_000).map_err(|error| error.to_string())
}

#[test]
fn texts_are_filled_in_and_lone_expressions_keep_their_type() {
    let rows = [
        (json!("plain { text } %}"), json!("plain { text } %}")),
        (json!("say {{ deps.a.output.text }}!"), json!("say hi \"you\"!")),
        (json!("{{ deps.a.output.text }}"), json!("hi \"you\"")),
        (json!("{{ deps.a.output.n }}"), json!(7)),
        (json!("{{- deps.a.output.n -}}"), json!(7)),
        (json!(" {{ deps.a.output.n }}"), json!(" 7")),
        (json!("{{ deps.a.output.n }}{{ deps.a.output.n }}"), json!("77")),
        (json!("{{ deps.a.output }}"), sample().deps.unwrap()["a"]["output"].clone()),
        (json!("{{ deps.a.output.list[1] }}"), json!({"x": null})),
        (json!("{{ deps.a.output.list }}, all"), json!("[1,{\"x\":null}], all")),
        (json!("{{ deps.a.output.none }}"), json!(null)),
        (json!("{{ deps['b-2'].error.message }}"), json!("status 3")),
        (json!("{{ deps.a.output.n + 1 }}"), json!(8)),
        (json!("{{ deps.a.output.nope | default('x') }}"), json!("x")),
        (json!("{{ deps.a.output.nope is defined }}"), json!(false)),
        (json!("{{ [deps.a.state, 'x'] }}"), json!(["completed", "x"])),
        (json!("{% for name in deps %}{{ name }};{% endfor %}"), json!("a;b-2;empty;")),
        (json!("{{ '}} {{' }}"), json!("}} {{")),
        (
            json!({"{{ deps.a }}": ["{{ deps.a.id }}", 1, null, {"k": "{{ deps.a.state }}"}]}),
            json!({"{{ deps.a }}": ["tsk_1", 1, null, {"k": "completed"}]}),
        ),
    ];
    for (input, made) in rows {
        assert_eq!(filled(&input), Ok(made), "{input}");
    }
}

#[test]
fn what_is_missing_is_told_with_its_place_and_what_there_is() {
    let rows = [
        (
            json!({"p": "{{ deps.a.output.txt }}"}),
            "input.p: `deps.a.output` has no `txt`; it has `list`, `n`, `none`, `text`",
        ),
        (json!(["", "x {{ deps.a.output.txt }}"]), "input[1]: `deps.a.output` has no `txt`"),
        (json!("{{ deps.c.output }}"), "input: `deps` has no `c`; it has `a`, `b-2`, `empty`"),
        (json!("{{ deps.a.output.n.x }}"), "`deps.a.output.n` is a number"),
        (json!("{{ deps.a.output.text.x }}"), "`deps.a.output.text` is a text"),
        (json!("{{ deps.a.output.list.x }}"), "`deps.a.output.list` is an array"),
        (json!("{{ deps.a.output.none.x }}"), "`deps.a.output.none` is null"),
        (json!("{{ deps.empty.output.x }}"), "`deps.empty.output` is empty"),
        (json!("{{ [deps.a.output.txt] }}"), "has no `txt`"),
        (json!("{{ {'k': deps.a.output.txt} }}"), "has no `txt`"),
        (json!("{{ deps['zz'].output }}"), "undefined"),
        (json!("{{ 1 / 'x' }}"), "input: "),
        (
            json!("{% for i in range(10000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}"),
            "100000 steps",
        ),
        (json!("{{ deps.a. }}"), "can't be read as a template"),
    ];
    for (input, told) in rows {
        let error = filled(&input).unwrap_err();
        assert!(error.contains(told), "{input}: {error}");
        assert!(error.starts_with("the input can't be made: "), "{error}");
    }
}

#[test]
fn what_comes_out_is_bounded() {
    let big = results(&json!({"a": {"output": "x".repeat(600)}}));
    let once = json!(["{{ deps.a.output }}", 1]);
    assert!(render(&once, &big, 1_000).is_ok());
    let twice = json!({"one": "{{ deps.a.output }}", "two": ["{{ deps.a.output }}"]});
    let error = render(&twice, &big, 1_000).unwrap_err();
    assert_eq!(error, InputError::TooLarge { at: "input.two[0]".to_owned(), most: 1_000 });
    let huge = Results { deps: None, bytes: 1_000, most: 100 };
    let error = render(&once, &huge, 1_000).unwrap_err().to_string();
    assert!(error.contains("1000 bytes; at most 100"), "{error}");
}

#[test]
fn a_template_is_checked_before_there_are_results() {
    let names = ["a", "b-2", "c"];
    let used = |input: Value| check(&input, Names(&names));
    assert_eq!(used(json!({"k": [1, "plain"]})), Ok(vec![false, false, false]));
    assert_eq!(
        used(json!(["{{ deps.a.output }}", "{{ deps.c.id }}"])),
        Ok(vec![true, false, true])
    );
    assert_eq!(used(json!("{{ deps['b-2'].output }}")), Ok(vec![true; 3]), "which, is not known");
    assert_eq!(
        used(json!("{% for name in deps %}{{ loop.index }}{% endfor %}")),
        Ok(vec![true; 3])
    );
    assert_eq!(used(json!("{{ range(3) }}")), Ok(vec![false; 3]));
    let rows = [
        (
            json!({"p": "{{ deps.d.output }}"}),
            "input.p",
            "`d` is none of the dependencies: `a`, `b-2`, `c`",
        ),
        (json!(["{{ input.x }}"]), "input[0]", "uses `input.x`; the only name"),
        (json!("{{ deps.a.output"), "input", "can't be read"),
        (json!("{% if %}"), "input", "can't be read"),
    ];
    for (input, at, told) in rows {
        let wrong = used(input.clone()).unwrap_err();
        assert_eq!(wrong.len(), 1, "{input}: {wrong:?}");
        assert!(wrong[0].at == at && wrong[0].what.contains(told), "{input}: {wrong:?}");
    }
    let none = check(&json!("{{ deps.a }}"), Names(&[])).unwrap_err();
    assert!(none[0].what.contains("there are none"), "{none:?}");
}

proptest! {
    /// No text panics, whatever its braces; and what has none comes out as it went in.
    #[test]
    fn any_text_is_filled_in_or_refused(text in "[{}%a-c. \\-'|]{0,24}") {
        let input = json!({ "t": text });
        let checked = check(&input, Names(&["a", "b", "c"]));
        let made = render(&input, &sample(), 10_000);
        if !is_template(&text) {
            prop_assert_eq!(checked, Ok(vec![false; 3]));
            prop_assert_eq!(made.as_ref(), Ok(&input));
        }
    }
}

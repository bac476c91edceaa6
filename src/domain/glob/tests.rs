//! The decision about two patterns against looking at every short path there is.

use proptest::prelude::*;

use super::*;

fn glob(text: &str) -> Glob {
    text.parse().unwrap()
}

#[test]
fn patterns_meet_where_a_file_could_be() {
    let rows = [
        ("src/http/**", "src/http/auth.rs", true),
        ("src/http/**", "src/http", false),
        ("src/**", "src/http/**", true),
        ("src/*/mod.rs", "src/http/**", true),
        ("src/*.rs", "src/http/*.rs", false),
        ("**/mod.rs", "mod.rs", true),
        ("**/mod.rs", "src/http/m*.rs", true),
        ("client/**", "client/client.py", true),
        ("client/", "client/client.py", true),
        ("client/**", "clients/client.py", false),
        ("docs/{A,B}.md", "docs/{B,C}.md", true),
        ("docs/{A,B}.md", "docs/{C,D}.md", false),
        ("{src,tests}/**/*.rs", "tests/it/main.rs", true),
        ("a[0-4].txt", "a[4-9].txt", true),
        ("a[0-3].txt", "a[4-9].txt", false),
        ("a[!0-3].txt", "a[0-3].txt", false),
        ("a[!0-3].txt", "a[3-4].txt", true),
        ("*a*", "*b*", true),
        ("a?c", "a??", true),
        ("a?c", "a?", false),
        ("./src//lib.rs", "src/lib.rs", true),
        ("src{,/http}/x", "src/x", true),
        ("SRC/x", "src/x", false),
        ("**", ".hidden", true),
        ("[]]x", "]x", true),
        ("[{,}]", ",", true),
    ];
    for (a, b, meet) in rows {
        assert_eq!(glob(a).overlaps(&glob(b)), meet, "{a} {b}");
        assert_eq!(glob(b).overlaps(&glob(a)), meet, "{b} {a}");
    }
}

/// Two such patterns took minutes: each of 256 alternatives against each other, by a table of half a
/// million places. Who decides holds up every host.
#[test]
fn patterns_that_are_made_to_keep_it_busy_are_taken_to_overlap() {
    let busy = |end: char| {
        let braces = "{a,b,c,d}".repeat(4);
        glob(&format!("*{braces}{}{end}", "*a".repeat(400)))
    };
    let work = Work::new(100_000);
    assert!(busy('x').overlaps_within(&busy('y'), &work), "though no name ends in both");
    let plain = |path: &str| glob("src/**/a[bc]*.rs").overlaps_within(&glob(path), &work);
    assert!(!plain("src/store/tasks/d.rs"), "plain ones are compared as before");
    assert!(plain("src/store/tasks/abcd.rs"));
    assert!(
        busy('x').overlaps_within(&busy('y'), &work),
        "and without any of the common work, too"
    );
    assert!(busy('x').overlaps(&busy('y')), "it comes to an end");
    assert!(busy('x').size() > 200_000);
    assert_eq!((glob("src/*.rs").size(), glob("a/**/[a-cx]").size()), (9, 6));
}

#[test]
fn what_is_no_pattern_says_why() {
    let rows = [
        ("", "names nothing"),
        ("/etc/passwd", "relative"),
        ("../x", "leaves the workspace"),
        ("a/{b,../../c}", "leaves the workspace"),
        ("a**b", "stand alone"),
        ("[a", "not closed"),
        ("{a", "not closed"),
        ("a}", "no `{`"),
        ("[z-a]", "backwards"),
        ("a\nb", "control character"),
        ("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", "more than 256"),
    ];
    for (text, why) in rows {
        let error = text.parse::<Glob>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn only_plain_patterns_are_literal() {
    assert_eq!(glob("./a/b.rs").literal(), Some("a/b.rs".to_owned()));
    for text in ["a/*", "a/**", "a?", "[ab]", "{a,b}"] {
        assert_eq!(glob(text).literal(), None, "{text}");
    }
}

/// An independent reading of patterns: by backtracking over the characters of a path.
fn names(pattern: &[char], path: &[char], at_start: bool) -> bool {
    match pattern {
        [] => path.is_empty(),
        ['*', '*'] => at_start && !path.is_empty(),
        ['*', '*', '/', rest @ ..] if at_start => {
            names(rest, path, true)
                || path
                    .iter()
                    .position(|c| *c == '/')
                    .is_some_and(|slash| slash > 0 && names(pattern, &path[slash + 1..], true))
        }
        ['*', rest @ ..] => {
            names(rest, path, false)
                || path
                    .split_first()
                    .is_some_and(|(c, tail)| *c != '/' && names(pattern, tail, false))
        }
        ['?', rest @ ..] => {
            path.split_first().is_some_and(|(c, tail)| *c != '/' && names(rest, tail, false))
        }
        ['[', 'a', ']', rest @ ..] => path.first() == Some(&'a') && names(rest, &path[1..], false),
        ['[', '!', 'a', ']', rest @ ..] => {
            path.first().is_some_and(|c| *c != 'a' && *c != '/') && names(rest, &path[1..], false)
        }
        ['{', 'a', ',', 'b', '}', rest @ ..] => {
            path.first().is_some_and(|c| matches!(c, 'a' | 'b')) && names(rest, &path[1..], false)
        }
        [c, rest @ ..] => path.first() == Some(c) && names(rest, &path[1..], *c == '/'),
    }
}

/// Every path of at most six characters over `a`, `b`, `c` and the slash.
fn short_paths() -> Vec<Vec<char>> {
    let mut all: Vec<Vec<char>> = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..6 {
        let to = all.len();
        for at in from..to {
            for c in ['a', 'b', 'c', '/'] {
                let mut longer = all[at].clone();
                longer.push(c);
                all.push(longer);
            }
        }
        from = to;
    }
    all.retain(|path| {
        let text: String = path.iter().collect();
        !text.is_empty() && !text.starts_with('/') && !text.ends_with('/') && !text.contains("//")
    });
    all
}

/// A pattern so short that two of them that meet do so in a short path.
fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("a"),
        Just("b"),
        Just("*"),
        Just("?"),
        Just("[a]"),
        Just("[!a]"),
        Just("{a,b}"),
    ];
    let name = prop_oneof![
        3 => proptest::collection::vec(part, 1..=2).prop_map(|parts| parts.concat()),
        1 => Just("**".to_owned()),
    ];
    proptest::collection::vec(name, 1..=2)
        .prop_map(|names| names.join("/"))
        .prop_filter("runs of stars", |text| {
            text == "**" || !text.replace("**/", "").trim_end_matches("/**").contains("**")
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn two_patterns_meet_exactly_where_some_path_is_named_by_both(a in pattern(), b in pattern()) {
        let (x, y): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        let paths = short_paths();
        let common = paths.iter().find(|path| names(&x, path, true) && names(&y, path, true));
        prop_assert_eq!(glob(&a).overlaps(&glob(&b)), common.is_some(), "{} {} {:?}", a, b, common);
    }

    #[test]
    fn a_pattern_names_what_the_other_reading_says(a in pattern()) {
        let x: Vec<char> = a.chars().collect();
        for path in short_paths().into_iter().filter(|path| path.len() <= 4) {
            let text: String = path.iter().collect();
            prop_assert_eq!(glob(&a).matches(&text), names(&x, &path, true), "{} {}", a, text);
        }
    }

    #[test]
    fn no_text_makes_it_panic(a in any::<String>(), b in "[a*?/{},\\[\\]!.-]{0,12}") {
        if let (Ok(a), Ok(b)) = (a.parse::<Glob>(), b.parse::<Glob>()) {
            prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
            prop_assert!(b.overlaps(&b) || b.as_str().contains('['));
        }
    }
}

//! Keeps `src/` a one-way street, and its files small. Runs in milliseconds.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Which top-level module may name which others. A module may always name itself.
/// Reading order is building order: a row names only rows above it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("links", &[]),
    ("memory", &[]),
    ("rounds", &["domain"]),
    ("settings", &["domain"]),
    ("plan", &["domain", "settings"]),
    ("telemetry", &["domain", "settings"]),
    ("protocol", &["domain"]),
    ("process", &["domain", "links", "memory", "settings", "telemetry"]),
    ("embedded", &["domain", "settings", "telemetry"]),
    ("store", &["domain", "links", "settings", "telemetry"]),
    ("access", &["domain", "rounds", "settings", "telemetry", "store"]),
    ("audit", &["domain", "telemetry", "store"]),
    ("janitor", &["domain", "rounds", "plan", "telemetry", "store"]),
    ("history", &["domain", "settings", "telemetry", "store", "janitor"]),
    ("heartbeat", &["domain", "settings", "telemetry"]),
    ("events", &["domain", "settings", "telemetry", "protocol", "store"]),
    ("queue", &["domain", "rounds", "settings", "telemetry", "store", "events"]),
    ("webhooks", &["domain", "rounds", "settings", "telemetry", "store", "access", "queue"]),
    ("sessions", &["domain", "settings", "telemetry", "store", "queue"]),
    ("workspace", &["domain", "settings", "telemetry"]),
    (
        "agent",
        &[
            "domain",
            "settings",
            "telemetry",
            "protocol",
            "process",
            "heartbeat",
            "queue",
            "workspace",
        ],
    ),
    ("supervisor", &["domain", "rounds", "settings", "telemetry", "heartbeat", "queue", "agent"]),
    (
        "http",
        &[
            "domain",
            "links",
            "memory",
            "rounds",
            "settings",
            "plan",
            "telemetry",
            "protocol",
            "events",
            "access",
            "audit",
            "queue",
            "webhooks",
            "sessions",
            "workspace",
            "supervisor",
        ],
    ),
    (
        "app",
        &[
            "domain",
            "rounds",
            "settings",
            "telemetry",
            "protocol",
            "process",
            "embedded",
            "store",
            "access",
            "audit",
            "heartbeat",
            "events",
            "queue",
            "sessions",
            "janitor",
            "history",
            "webhooks",
            "workspace",
            "agent",
            "supervisor",
            "http",
        ],
    ),
    (
        "cli",
        &[
            "domain",
            "settings",
            "plan",
            "telemetry",
            "protocol",
            "process",
            "embedded",
            "store",
            "history",
            "http",
            "app",
        ],
    ),
];

/// The most lines of a file under `src/`; tests stand in files of their own past that.
const MAX_LINES: usize = 450;

/// What may not be named outside the module that is there for it.
const ONLY_IN: &[(&str, &[&str])] = &[
    // SQL has one home.
    ("tokio_postgres::Row", &["store"]),
    ("include_str!(\"../../sql", &["store"]),
    // So have processes.
    ("pre_exec", &["process", "embedded"]),
    ("unsafe ", &["links", "memory", "process", "embedded"]),
    // And `process::exit` skips every drop: nobody calls it.
    ("process::exit(", &[]),
];

fn modules_named(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| [line, "\n"])
        .collect();
    let ident = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut named = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = code[at + "crate::".len()..].trim_start();
        let Some(group) = rest.strip_prefix('{') else {
            named.insert(ident(rest));
            continue;
        };
        let (mut depth, mut item_start) = (1, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                named.insert(ident(&group[item_start..at]));
                item_start = at + 1;
            }
            if depth == 0 {
                break;
            }
        }
    }
    named.remove("");
    named
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// Every file under `src/`: its path inside, the module it belongs to, its text.
fn source() -> Vec<(PathBuf, String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files).expect("src is readable");
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let inside = file.strip_prefix(&src).expect("found under src").to_owned();
            let first = inside.components().next().expect("not empty").as_os_str();
            let owner = first.to_string_lossy().trim_end_matches(".rs").to_owned();
            (inside, owner, fs::read_to_string(&file).expect("a file of ours is text"))
        })
        .collect()
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let modules: BTreeSet<&str> = MAY_USE.iter().map(|row| row.0).collect();
    let mut breaches = Vec::new();
    for (inside, owner, text) in source() {
        let Some((_, allowed)) = MAY_USE.iter().find(|row| row.0 == owner) else {
            assert!(matches!(&*owner, "lib" | "main"), "{owner} is missing in the table");
            continue;
        };
        // Tests may set a part up with anything.
        if inside.ends_with("tests.rs") {
            continue;
        }
        for name in modules_named(&text) {
            if modules.contains(&*name) && name != owner && !allowed.contains(&&*name) {
                breaches.push(format!("{}: {name}", inside.display()));
            }
        }
    }
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn the_table_itself_has_no_circle() {
    for (row, (owner, allowed)) in MAY_USE.iter().enumerate() {
        for name in *allowed {
            let at = MAY_USE.iter().position(|other| other.0 == *name);
            assert!(at.is_some_and(|at| at < row), "{owner} names {name}, which is not above it");
        }
    }
}

#[test]
fn what_has_one_home_is_named_nowhere_else() {
    let mut breaches = Vec::new();
    for (inside, owner, text) in source() {
        for (what, homes) in ONLY_IN {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            if !homes.contains(&&*owner) && code.into_iter().any(|line| line.contains(what)) {
                breaches.push(format!("{}: {what}", inside.display()));
            }
        }
    }
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn files_are_small() {
    let large: Vec<_> = source()
        .into_iter()
        .map(|(inside, _, text)| (inside, text.lines().count()))
        .filter(|(inside, lines)| *lines > MAX_LINES && !inside.ends_with("tests.rs"))
        .collect();
    assert!(large.is_empty(), "over {MAX_LINES} lines: {large:?}");
}

#[test]
fn grouped_and_plain_imports_are_both_seen() {
    let named = modules_named(
        "use crate::{domain::{A, B}, store};\nlet x = crate::http::y(); // crate::cli",
    );
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["domain", "http", "store"]);
}

//! `examples/webhooks`: each file is sent, and its answer compared. `HOSTLER_WRITE_EXAMPLES=1` writes the
//! expected answers anew, for a person to read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::support::{
    host::{Host, WORKER},
    wire::Ask,
};

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/webhooks")
}

/// The files in the order of the README.
fn names(readme: &str) -> Vec<String> {
    let links = readme.lines().filter_map(|line| line.strip_prefix("- [`")?.split_once(".json`]"));
    links.map(|(name, _)| name.to_owned()).collect()
}

/// What differs each time, by what it is.
fn settled(value: Value) -> Value {
    match value {
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => json!("<time>"),
        Value::String(text) => {
            let hex = text.bytes().rev().take_while(u8::is_ascii_hexdigit).count();
            match hex >= 32 {
                true if text.starts_with("tsk_") => json!("<task>"),
                true => json!("<made up>"),
                false => Value::String(text),
            }
        }
        Value::Array(items) => Value::Array(items.into_iter().map(settled).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let took = name == "execution_time_ms" && value.is_u64();
                let value = if took { json!("<milliseconds>") } else { settled(value) };
                (name, value)
            });
            Value::Object(fields.collect())
        }
        other => other,
    }
}

#[test]
fn every_example_is_answered_as_the_file_beside_it_says() {
    let fleet = WORKER.replace("quick", "claude");
    let host = Host::new(&fleet).up();
    let readme = fs::read_to_string(dir().join("README.md")).unwrap();
    let names = names(&readme);
    let mut there: Vec<String> = fs::read_dir(dir())
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".json").map(str::to_owned)
        })
        .collect();
    there.sort();
    let mut listed = names.clone();
    listed.sort();
    assert_eq!(listed, there, "the README lists every file");
    let write = std::env::var_os("HOSTLER_WRITE_EXAMPLES").is_some();
    for name in &names {
        assert!(readme.contains(&format!("--data @{name}.json")), "{name} has its line of curl");
        let body = fs::read(dir().join(format!("{name}.json"))).unwrap();
        let answer = host.ask(&Ask::new("POST", "/webhook").text(body));
        let got = json!({ "status": answer.status, "body": settled(answer.json()) });
        let path = dir().join(format!("expected/{name}.json"));
        if write {
            fs::create_dir_all(dir().join("expected")).unwrap();
            fs::write(path, serde_json::to_string_pretty(&got).unwrap() + "\n").unwrap();
            continue;
        }
        let expected: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(got, expected, "{name}");
    }
}

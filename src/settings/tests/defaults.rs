//! `config/default.toml` is what the code reads, no more and no less; and it is documented.

use config::{Map, Value, ValueKind};

use super::{super::layers::DEFAULTS, *};

/// The dotted names of all keys of `config/default.toml`; tables that take any key count as keys.
fn knobs() -> Vec<String> {
    fn collect(path: &str, table: &toml_edit::Table, knobs: &mut Vec<String>) {
        for (key, item) in table {
            let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            match item.as_table() {
                Some(table) if !table.is_empty() => collect(&path, table, knobs),
                _ => knobs.push(path),
            }
        }
    }
    let document = toml_edit::Document::parse(DEFAULTS).unwrap();
    let mut knobs = Vec::new();
    collect("", document.as_table(), &mut knobs);
    knobs
}

#[test]
fn the_defaults_are_whole_and_sound() {
    let settings = World::empty().settings();
    assert_eq!(settings.host.data_dir, PathBuf::from("/data"));
    assert_eq!(settings.host.name, "box");
    assert_eq!(settings.host.lease, Duration::from_secs(30));
    assert_eq!(settings.http.bind.unwrap().to_string(), "127.0.0.1:7117");
    assert_eq!(settings.log.level, slog::Level::Info);
    assert_eq!(settings.tasks.retry.backoff_max, Duration::from_secs(300));
    assert!(settings.database.url.is_none() && settings.http.api_key.is_none());
    assert!(settings.fleets.is_empty() && settings.queues.is_empty());
}

#[test]
fn every_key_is_read() {
    // A list of a list is wrong for every key. Who is silent about it did not read the key.
    for knob in knobs() {
        let (table, key) = knob.rsplit_once('.').unwrap();
        let problems = World::with(&format!("[{table}]\n{key} = [[]]")).problems();
        assert!(problems.starts_with(&format!("hostler.toml:2: {knob}")), "{knob}: {problems}");
    }
}

#[test]
fn every_key_that_is_read_is_in_the_file() {
    // The reader says so of any that is not, and then the defaults alone could not be loaded; here
    // a fleet and a queue of each kind make the rest of the code read its keys.
    let mut toml = String::from("[queues.default]\n");
    for protocol in ["exec", "worker", "service"] {
        toml += &format!("[fleets.{protocol}]\nprotocol = \"{protocol}\"\ncommand = [\"agent\"]\n");
    }
    assert_eq!(World::with(&toml).settings().fleets.len(), 3);
}

#[test]
fn every_key_has_a_comment_and_is_in_the_book() {
    let book = include_str!("../../../docs/CONFIG.md");
    let mut before = "";
    for line in DEFAULTS.lines() {
        if let Some((key, default)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(before.starts_with('#'), "config/default.toml says nothing of {key}");
            let row = format!("| `{key}` | `{default}` |");
            assert!(book.contains(&row), "docs/CONFIG.md has no row {row}");
        } else if line.starts_with('[') {
            assert!(book.contains(&format!("### `{line}`")), "docs/CONFIG.md has no {line}");
        }
        before = line;
    }
    for component in Component::ALL {
        assert!(DEFAULTS.contains(component.as_str()), "{component} is not in config/default.toml");
    }
}

#[test]
fn the_other_files_of_the_house_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["development", "production"] {
        let mut world = World::empty();
        world.sources.files.push(root.join(format!("config/{name}.toml")));
        let settings = world.settings();
        assert!(settings.fleets.is_empty(), "{name}");
    }
}

#[test]
fn the_quickstart_loads_where_python_and_sh_are() {
    let mut world = World::empty();
    let agents = world.path().join("examples/agents");
    fs::create_dir_all(agents).unwrap();
    let toml = include_str!("../../../examples/fleets/quickstart.toml");
    world.file("examples/fleets/quickstart.toml", toml);
    for program in ["python3", "sh"] {
        let path = world.write(&format!("bin/{program}"), "");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let settings = world.settings();
    let names: Vec<&str> = settings.fleets.iter().map(|fleet| fleet.name.as_str()).collect();
    assert_eq!(names, ["quick", "shell"]);
    assert_eq!(settings.fleets[0].cwd, world.path().join("examples/fleets/../agents"));
    assert_eq!(settings.fleets[1].command[1], "exec_task.sh");
}

#[test]
fn a_key_that_is_missing_from_the_file_is_a_problem() {
    let world = World::empty();
    let merged = super::super::layers::merge(&world.sources);
    let (context, _) = super::super::context::Context::new(&world.sources, merged);
    let table: Map<String, Value> = Map::from([("a".to_owned(), Value::new(None, ValueKind::Nil))]);
    let section = super::super::reader::Section::new(&context, "x".to_owned(), &table);
    assert_eq!(section.bool("b"), None);
    let (problems, _) = context.into_findings();
    assert_eq!(problems[0].to_string(), "built in: x.b: is not in config/default.toml");
}

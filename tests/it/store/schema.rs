//! The files in `sql/` against the schema that the migrations make.

use std::{fs, path::Path};

use super::World;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Run with `HOSTLER_WRITE_SCHEMA=1` to write the file anew after a migration was added.
#[tokio::test]
async fn the_dump_is_up_to_date() {
    let world = World::new().await;
    let rows = world.db.query(include_str!("dump_schema.sql"), &[]).await.unwrap();
    let parts: Vec<String> = rows.iter().map(|row| row.get("statement")).collect();
    let head = "-- The schema after all migrations, written by a test: do not edit.\n\n";
    let dump = format!("{head}{}\n", parts.join("\n\n"));
    let file = Path::new(ROOT).join("sql/schema.sql");
    if std::env::var_os("HOSTLER_WRITE_SCHEMA").is_some() {
        fs::write(&file, &dump).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == dump, "sql/schema.sql is old: run this test with HOSTLER_WRITE_SCHEMA=1");
}

#[tokio::test]
async fn every_statement_is_described_and_prepares() {
    let world = World::new().await;
    let source = read_all(&Path::new(ROOT).join("src/store"));
    let mut seen = 0;
    for table in fs::read_dir(Path::new(ROOT).join("sql/queries")).unwrap() {
        for file in fs::read_dir(table.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            let verb = file.file_stem().unwrap().to_str().unwrap();
            let table = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
            let name = format!("{table}/{verb}");
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with(&format!("-- {name}: ")), "{name}: head");
            for part in ["\n-- State: ", "\n-- Locks: ", "\n-- Index: "] {
                assert!(text.contains(part), "{name}: {part}");
            }
            assert_eq!(text.matches(';').count(), 1 + text.matches("; ").count(), "{name}");
            assert!(source.contains(&format!("sql!(\"{name}\")")), "{name} is used");
            world.db.prepare(&text).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

/// The texts of all files below `directory`.
fn read_all(directory: &Path) -> String {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { read_all(&path) } else { fs::read_to_string(path).unwrap() })
        .collect()
}

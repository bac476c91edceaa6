//! The tree of the first system: the files of one session, with a byte that no text has between them.
#![no_main]

use std::{env, fs, path::PathBuf, sync::LazyLock};

/// Where they are written, each run over the last.
static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = env::temp_dir().join(format!("tree-{}", std::process::id())).join("walk");
    for part in ["conversation", "memories", "tasks", "artifacts"] {
        fs::create_dir_all(dir.join(part)).expect("a directory");
    }
    dir
});

const FILES: [&str; 5] = [
    "session.json",
    "conversation/chunk_1.json",
    "memories/key.json",
    "tasks/task.json",
    "artifacts/a_meta.json",
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(FILES.len(), |byte| *byte == 0xff);
    for file in FILES {
        fs::write(DIR.join(file), parts.next().unwrap_or_default()).expect("a file");
    }
    hostler::cli::import_json::fuzzed(&DIR);
});

//! Documents that people wrote, and what becomes of them.

use proptest::prelude::*;

use super::*;
use crate::plan::{read, write};

const SMALL: &str = "# Ship it 🚀\n\n## Phase A: Build ✅\n\n### Task 1: Write the parser\n**Time:** 2-4 hours\n**Files:** `src/parser.rs`, `tests/**`\n**Dependencies:** None\n\n### Task 2: Write the printer\n**Time**: 90 min\n**Files**:\n- `src/printer.rs` (new)\n- the usual ones\n**Dependencies**: Write the parser\n**Blockers**: the moon\n\n### Strategy\n**Time**: 2 hours\n\n## Notes\nTask 9: not one\n";

#[test]
fn sections_with_fields_are_tasks() {
    let imported = import(SMALL);
    let plan = &imported.plan;
    assert_eq!(plan.title, "Ship it");
    let ids: Vec<&str> = plan.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["write-the-parser", "write-the-printer"]);
    assert_eq!(plan.tasks[1].depends_on, [plan.tasks[0].id.clone()]);
    assert!(plan.tasks[0].estimate.is_range());
    assert_eq!(plan.tasks[0].files.len(), 2);
    let doubts: Vec<(usize, &str)> =
        imported.doubts.iter().map(|doubt| (doubt.line, doubt.message.as_str())).collect();
    assert_eq!(
        doubts,
        [
            (5, "a time of two figures: their middle is taken for the likely one"),
            (14, "`the usual ones` names no file: passed over"),
            (16, "`the moon` names no task of the plan: passed over"),
        ]
    );
}

#[test]
fn what_is_imported_is_written_and_read_again() {
    let plan = import(SMALL).plan;
    let text = write::to_toml(&plan);
    let again = read::parse(&text, read::Format::Toml, std::path::Path::new("p")).unwrap();
    assert_eq!(again, plan, "{text}");
}

proptest! {
    #[test]
    fn no_document_makes_it_panic(text in "[#*:`|\\- 0-9a-zA-Z\n✅.]{0,200}", any in any::<String>()) {
        for text in [text, any] {
            let plan = import(&format!("## Phase 1: x\n### Stream 1: y\n**Time**: 2h\n{text}")).plan;
            prop_assert!(plan.tasks.len() < 400);
        }
    }
}

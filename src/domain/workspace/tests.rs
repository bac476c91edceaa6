use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn name(template: &str, kind: &str) -> Result<String, BranchError> {
    let (queue, agent) = ("default".parse().unwrap(), "mock-1".parse().unwrap());
    let task = TaskId::from_uuid(Uuid::from_u128(7));
    let facts = Facts { task, attempt: Attempt(2), kind, queue: &queue, agent: &agent };
    branch_name(template, &facts)
}

#[test]
fn a_branch_is_called_after_its_task() {
    let rows = [
        ("feature/{task}", "feature/tsk_00000000000000000000000000000007"),
        ("{queue}/{kind}.{attempt}", "default/review-it.2"),
        ("{agent}", "mock-1"),
        ("plain", "plain"),
    ];
    for (template, expected) in rows {
        assert_eq!(name(template, "review it").as_deref(), Ok(expected));
        assert_eq!(check_template(template), Ok(()));
    }
    assert_eq!(name("{kind}", "../..").as_deref(), Ok("x"));
}

#[test]
fn what_git_does_not_take_is_refused_before_git_sees_it() {
    for bad in [
        "", "-x", "a..b", "a b", "a~", "a^", "a:b", "a?", "a*", "a[", "a\\", "/a", "a/", "a//b",
        "a/.b", "a.lock", "a.lock/b", "a.", "@", "HEAD", "a@{1", "a\u{7}", "{colour}", "{task",
    ] {
        assert!(check_template(bad).is_err(), "{bad:?}");
    }
    assert!(check_ref(&"x".repeat(MAX_BRANCH + 1)).is_err());
}

#[test]
fn names_go_on_by_number() {
    let names: Vec<_> = (1..4).map(|nth| nth_name("a/b", nth)).collect();
    assert_eq!(names, ["a/b", "a/b.2", "a/b.3"]);
}

#[test]
fn files_that_nobody_announced_are_outside() {
    let changed: Vec<String> = ["src/a.rs", "src/b/c.rs", "README.md"].map(str::to_owned).to_vec();
    let globs: Vec<Glob> = ["src/**"].iter().map(|glob| glob.parse().unwrap()).collect();
    assert_eq!(outside(&changed, &globs), ["README.md"]);
    assert!(outside(&changed, &[]).is_empty(), "nothing was announced");
}

/// Every rule alone keeps a worktree.
#[test]
fn a_worktree_goes_only_if_nothing_speaks_for_it() {
    assert_eq!(kept(&Sight::default()), None);
    let alone = Sight::default;
    for (sight, expected) in [
        (Sight { at_work: true, ..alone() }, Kept::AtWork),
        (Sight { locked: true, ..alone() }, Kept::Locked),
        (Sight { processes: vec![7], ..alone() }, Kept::Processes(vec![7])),
        (Sight { uncommitted: true, ..alone() }, Kept::Uncommitted),
        (Sight { unmerged: true, ..alone() }, Kept::Unmerged),
        (Sight { unknown: Some("no".into()), ..alone() }, Kept::Unknown("no".into())),
    ] {
        assert_eq!(kept(&sight), Some(expected));
    }
}

proptest! {
    /// Whatever a task calls itself, the branch is one that git takes, and it is one part of the name.
    #[test]
    fn no_kind_breaks_out_of_its_part(kind in ".{0,200}") {
        let made = name("a/{kind}/b", &kind).unwrap();
        prop_assert_eq!(made.split('/').count(), 3);
        prop_assert!(check_ref(&made).is_ok());
    }

    /// With anything to be said for it, it stays.
    #[test]
    fn whatever_speaks_for_a_worktree_keeps_it(
        bits in prop::array::uniform4(any::<bool>()),
        processes in prop::collection::vec(any::<u32>(), 0..3),
        unknown in prop::option::of("[a-z]{1,5}"),
    ) {
        let [at_work, locked, uncommitted, unmerged] = bits;
        let free = bits == [false; 4] && processes.is_empty() && unknown.is_none();
        let sight = Sight { at_work, locked, processes, uncommitted, unmerged, unknown };
        prop_assert_eq!(kept(&sight).is_none(), free);
    }
}

use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::admission::Rate;

fn grants(scopes: &[Scope], fleets: &[&str], queues: &[&str]) -> Grants {
    Grants {
        scopes: scopes.iter().copied().collect(),
        fleets: fleets.iter().map(|name| name.parse().unwrap()).collect(),
        queues: queues.iter().map(|name| name.parse().unwrap()).collect(),
    }
}

#[test]
fn a_scope_allows_itself_and_admin_allows_all() {
    for has in Scope::ALL {
        let key = grants(&[has], &[], &[]);
        for needed in Scope::ALL {
            let good = has == needed || has == Scope::Admin;
            for about in [About::Nothing, About::Host, About::Queue(&"q".parse().unwrap())] {
                let verdict = key.allow(needed, about);
                assert_eq!(verdict, if good { Ok(()) } else { Err(Denied::Scope { needed }) });
            }
        }
    }
    assert!(grants(&[], &[], &[]).allow(Scope::Read, About::Nothing).is_err());
    assert!(Grants::all().allow(Scope::Control, About::Host).is_ok());
}

#[test]
fn fleets_bring_along_the_queues_that_nobody_else_serves() {
    let name = |text: &str| text.parse::<FleetName>().unwrap();
    let queues = |texts: &[&str]| -> Vec<QueueName> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let all = [
        (name("claude"), queues(&["review", "shared"])),
        (name("codex"), queues(&["build", "shared"])),
        (name("watch"), queues(&[])),
    ];
    let own = |fleets: &[&str]| -> Vec<String> {
        let fleets = fleets.iter().map(|text| name(text)).collect();
        let all = all.iter().map(|(fleet, queues)| (fleet, &queues[..]));
        own_queues(all, &fleets).iter().map(ToString::to_string).collect()
    };
    assert_eq!(own(&["claude"]), ["review"]);
    assert_eq!(own(&["codex", "watch"]), ["build"]);
    assert_eq!(own(&["claude", "codex"]), ["build", "review", "shared"]);
    for none in [&[][..], &["watch"], &["gone"]] {
        assert!(own(none).is_empty(), "{none:?}");
    }
}

#[test]
fn a_limited_key_reaches_what_it_is_limited_to() {
    let key = grants(&[Scope::Admin], &["claude"], &["review"]);
    let (claude, codex) = ("claude".parse().unwrap(), "codex".parse().unwrap());
    let (review, default) = ("review".parse().unwrap(), "default".parse().unwrap());
    let rows = [
        (About::Nothing, None),
        (About::Fleet(&claude), None),
        (About::Queue(&review), None),
        (About::Host, Some("this is about more than that")),
        (About::Fleet(&codex), Some("the fleet `codex`")),
        (About::Queue(&default), Some("the queue `default`")),
    ];
    for (about, part) in rows {
        match (key.allow(Scope::Read, about), part) {
            (Ok(()), None) => {}
            (Err(denied), Some(part)) => {
                let text = denied.to_string();
                assert!(text.contains(part) && text.contains("fleet `claude`, queue `review`"));
            }
            (verdict, _) => panic!("{about:?}: {verdict:?}"),
        }
    }
    // A queue of the name of a fleet is not that fleet.
    let queue = "claude".parse().unwrap();
    assert!(key.allow(Scope::Read, About::Queue(&queue)).is_err());
}

#[test]
fn scopes_read_what_they_print() {
    for scope in Scope::ALL {
        assert_eq!(scope.to_string().parse(), Ok(scope));
    }
    assert!("root".parse::<Scope>().unwrap_err().to_string().contains("`root` is no scope"));
}

#[test]
fn a_key_is_recognised_and_shows_nothing() {
    let key = ApiKey::of(Uuid::from_u128(1 << 90), [Uuid::from_u128(7), Uuid::from_u128(8)]);
    assert_eq!(ApiKey::id_in(key.reveal().as_bytes()), Some(key.id().clone()));
    assert_eq!(KeyHash::of(key.reveal().as_bytes()), key.hash());
    let secret = key.reveal().rsplit_once('_').unwrap().1;
    let shown = format!("{key:?} {:?}", key.hash());
    assert!(!shown.contains(secret), "{shown}");
    let bad = [
        "",
        "hostler_",
        "hostler_0123456789ab_",
        "hostler_0123456789ab_00",
        &key.reveal()[1..],
        &format!("{}0", key.reveal()),
        &key.reveal().to_uppercase(),
        &key.reveal().replace("hostler_", "hostler-"),
    ];
    for text in bad {
        assert_eq!(ApiKey::id_in(text.as_bytes()), None, "{text}");
    }
}

proptest! {
    #[test]
    fn every_key_that_is_made_is_read(id: u128, one: u128, two: u128) {
        let id = uuid::Builder::from_random_bytes(id.to_be_bytes()).into_uuid();
        let key = ApiKey::of(id, [Uuid::from_u128(one), Uuid::from_u128(two)]);
        prop_assert_eq!(ApiKey::id_in(key.reveal().as_bytes()), Some(key.id().clone()));
        prop_assert_eq!(key.id().to_string().parse::<KeyId>(), Ok(key.id().clone()));
    }

    #[test]
    fn whatever_is_sent_as_a_key_is_read_without_a_panic(sent: Vec<u8>, tail in "_?[0-9a-f_]{0,90}") {
        if let Some(id) = ApiKey::id_in(&sent) {
            prop_assert!(std::str::from_utf8(&sent).unwrap().contains(id.as_str()));
        }
        let text = format!("hostler_{tail}");
        if let Some(id) = ApiKey::id_in(text.as_bytes()) {
            let start = format!("hostler_{id}_");
            prop_assert!(text.starts_with(&start));
        }
    }

    /// Within any window no more than twice the rate gets through (what was saved up, and what came in
    /// meanwhile), a caller that waits as told gets through, and one that keeps to the rate never waits.
    #[test]
    fn a_bucket_keeps_to_its_rate(
        count in 1..50u32,
        per_ms in 1..10_000u64,
        gaps in proptest::collection::vec(0..2_000u64, 1..200),
    ) {
        let per = Duration::from_millis(per_ms);
        let rate = Rate { count, per };
        let (mut bucket, mut now, mut let_in) = (Bucket::default(), Duration::ZERO, Vec::new());
        for gap in gaps {
            now += Duration::from_millis(gap);
            let before = bucket;
            match bucket.take(rate, now) {
                Ok(()) => let_in.push(now),
                Err(Wait(wait)) => {
                    prop_assert_eq!(bucket, before, "who waits takes nothing");
                    prop_assert!(wait <= per && !wait.is_zero());
                    let mut later = bucket;
                    prop_assert_eq!(later.take(rate, now + wait), Ok(()));
                }
            }
            let within = let_in.iter().filter(|at| **at + per > now).count();
            prop_assert!(within <= 2 * count as usize, "{} within {:?}", within, per);
        }
        let (mut steady, each) = (Bucket::default(), per / count + Duration::from_nanos(1));
        for nth in 0..3 * count {
            prop_assert_eq!(steady.take(rate, each * nth), Ok(()));
        }
    }
}

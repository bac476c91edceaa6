//! Good and broken queries.

use actix_web::http::header::{HeaderName, HeaderValue};

use super::*;
use crate::domain::task::FailureClass;

fn detail<T>(result: Result<T, ApiError>) -> String {
    result.err().map(|error| error.problem().detail).unwrap_or_default()
}

#[test]
fn a_filter_is_read() {
    let id = "tsk_00000000000000000000000000000007";
    let query = format!(
        "state=pending,running&queue=gpu&kind=a%20b&limit=7&cursor={id}\
         &group=g&batch=bat_00000000000000000000000000000009&class=timeout\
         &created_after=2030-01-31T08:00:00Z&created_before=2030-02-01T08:00:00Z"
    );
    let expected = TaskFilter {
        states: vec![TaskState::Pending, TaskState::Running],
        queue: Some("gpu".parse().unwrap()),
        kind: Some("a b".to_owned()),
        group: Some("g".parse().unwrap()),
        batch: Some("bat_00000000000000000000000000000009".parse().unwrap()),
        class: Some(FailureClass::Timeout),
        created_after: Some("2030-01-31T08:00:00Z".parse().unwrap()),
        created_before: Some("2030-02-01T08:00:00Z".parse().unwrap()),
        limit: 7,
        before: Some(id.parse().unwrap()),
    };
    assert_eq!(filter(&query).unwrap(), expected);
    let default = TaskFilter { limit: DEFAULT_LIMIT, ..TaskFilter::default() };
    assert_eq!(filter("").unwrap(), default);
}

#[test]
fn broken_filters_are_named() {
    let rows = [
        ("state=done", "`state`"),
        ("state=", "`state`"),
        ("state=pending,", "`state`"),
        ("queue=G", "`queue`"),
        ("queue=", "`queue`"),
        ("kind=", "`kind`"),
        ("kind=a%00b", "`kind`"),
        ("group=A", "`group`"),
        ("batch=7", "`batch`"),
        ("class=oops", "`class`"),
        ("created_after=today", "`created_after`"),
        ("created_before=", "`created_before`"),
        ("batch=tsk_00000000000000000000000000000007", "`batch`"),
        ("limit=0", "`limit`"),
        ("limit=501", "`limit`"),
        ("limit=-1", "`limit`"),
        ("limit=ten", "`limit`"),
        ("limit=4294967297", "`limit`"),
        ("cursor=7", "`cursor`"),
        ("cursor=hst_00000000000000000000000000000007", "`cursor`"),
        ("cursor=%00", "`cursor`"),
        ("limit=1&limit=2", "twice"),
        ("page=2", "`page`"),
        ("Limit=2", "`Limit`"),
        ("%00%1b[31m=1", "`[31m`"),
    ];
    for (query, word) in rows {
        let detail = detail(filter(query));
        assert!(detail.contains(word), "{query}: {detail}");
    }
}

#[test]
fn filters_of_dead_letters_are_read() {
    let query = "queue=q&kind=k&group=g&class=timeout&created_after=2030-01-31T08:00:00Z\
        &created_before=2030-02-01T08:00:00%2B01:00&discarded=true&limit=3";
    let read = letters(query).unwrap();
    let of = &read.selection;
    assert_eq!(of.class, Some(FailureClass::Timeout));
    assert_eq!(of.created_before, Some("2030-02-01T07:00:00Z".parse().unwrap()));
    assert_eq!((of.discarded, read.limit, read.before), (true, 3, None));
    let rows = [
        ("class=oops", "`class`"),
        ("created_after=yesterday", "`created_after`"),
        ("created_before=2030-01-31", "`created_before`"),
        ("discarded=yes", "`discarded`"),
        ("state=failed", "`state`"),
        ("batch=x", "`batch`"),
        ("cursor=x", "`cursor`"),
        ("limit=0", "`limit`"),
    ];
    for (query, word) in rows {
        let detail = detail(letters(query));
        assert!(detail.contains(word), "{query}: {detail}");
    }
}

#[test]
fn a_wait_is_cut_to_the_longest() {
    let max = Duration::from_secs(60);
    assert_eq!(wait("", max).unwrap(), None);
    assert_eq!(wait("wait=500ms", max).unwrap(), Some(Duration::from_millis(500)));
    assert_eq!(wait("wait=2h", max).unwrap(), Some(max));
    for query in ["wait=", "wait=-1s", "wait=30", "wait=soon", "wiat=1s", "wait=1s&wait=1s"] {
        assert!(!detail(wait(query, max)).is_empty(), "{query}");
    }
}

#[test]
fn tails_are_read() {
    assert_eq!(tail("").unwrap(), Tail { lines: DEFAULT_TAIL, follow: false });
    assert_eq!(tail("tail=0&follow=true").unwrap(), Tail { lines: 0, follow: true });
    for query in ["tail=-1", "tail=x", "tail=100001", "follow=yes", "follow", "lines=3"] {
        assert!(!detail(tail(query)).is_empty(), "{query}");
    }
}

#[test]
fn an_extent_is_read() {
    assert_eq!(extent("").unwrap(), GraphExtent::All(DEFAULT_GRAPH));
    assert_eq!(extent("extent=near&limit=5").unwrap(), GraphExtent::Near(5));
    for query in ["extent=far", "limit=0", "limit=200001", "depth=1"] {
        assert!(!detail(extent(query)).is_empty(), "{query}");
    }
}

#[test]
fn a_key_in_the_header_is_plain() {
    let read = |value: &[u8]| {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static(IDEMPOTENCY_KEY);
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        idempotency_key(&headers).map(|key| key.map(str::to_owned))
    };
    assert_eq!(read(b"a-1").unwrap().as_deref(), Some("a-1"));
    for bad in [b"".as_slice(), b"\xe4", &[b'x'; 256]] {
        assert!(detail(read(bad)).contains("Idempotency-Key"), "{bad:?}");
    }
}

use uuid::Uuid;

use super::*;
use crate::domain::{
    Attempt, TaskId,
    event::{EventFilter, Labels, TaskEvent},
    record::FeedEvent,
    task::TaskState,
};

fn event(number: u32, queue: &str) -> Written {
    let step = FeedEvent {
        task: TaskId::from_uuid(Uuid::from_u128(1)),
        number,
        state: TaskState::Completed,
        attempt: Attempt(1),
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    let labels = Labels { queue: Some(queue.parse().unwrap()), ..Labels::default() };
    (Event::Task(TaskEvent::of(step, labels)), Bytes::from(format!("<{number}>")))
}

fn of_queue(queue: &str) -> Arc<Ear> {
    let filter = EventFilter { queues: vec![queue.parse().unwrap()], ..EventFilter::default() };
    Arc::new(filter.into())
}

fn reader() -> Reader {
    let settings = crate::settings::Database {
        url: None,
        pool_size: 1,
        connect_timeout: Duration::from_secs(1),
        embedded: crate::settings::Embedded {
            bin_dir: None,
            user: String::new(),
            shared_buffers: 0,
        },
    };
    let config = "host=/nowhere sslmode=disable".parse().unwrap();
    Reader {
        store: Store::new(&settings, config).unwrap(),
        news: watch::channel(0).1,
        log: Logger::root(slog::Discard, slog::o!()),
        metrics: Arc::new(Metrics::new("0")),
        asked: mpsc::channel(1).1,
        waiting: Vec::new(),
        subscribers: Vec::new(),
        at: FeedCursor::beginning(),
    }
}

fn join(reader: &mut Reader, ear: Arc<Ear>) -> Live {
    let (tell, mut told) = oneshot::channel();
    reader.waiting.push(Join { ear, tell });
    reader.admit();
    told.try_recv().unwrap()
}

#[test]
fn one_frame_is_shared_and_several_are_one_piece() {
    let events = [event(1, "a"), event(2, "b"), event(3, "a")];
    assert_eq!(chosen(&events, &of_queue("a")), "<1><3>");
    assert_eq!(chosen(&events, &Ear::default()), "<1><2><3>");
    assert_eq!(chosen(&events, &of_queue("c")), "");
    let alone = chosen(&events, &of_queue("b"));
    assert_eq!(alone.as_ptr(), events[1].1.as_ptr(), "not a copy");
}

#[tokio::test]
async fn five_thousand_who_listen_to_the_same_share_its_bytes() {
    let mut reader = reader();
    let mut listeners: Vec<_> =
        (0..5000).map(|_| join(&mut reader, Arc::new(Ear::default()))).collect();
    let mut other = join(&mut reader, of_queue("b"));
    reader.tell(&[event(1, "a"), event(2, "a")]);
    let first = listeners[0].pages.try_recv().unwrap();
    for listener in &mut listeners[1..] {
        assert_eq!(listener.pages.try_recv().unwrap().as_ptr(), first.as_ptr());
    }
    assert!(other.pages.try_recv().is_err(), "its filter takes none of it");
    reader.keep_alive();
    assert_eq!(other.pages.try_recv().unwrap(), sse::keep_alive(&reader.at.to_string()));
}

#[tokio::test]
async fn a_slow_subscriber_is_dropped_with_a_word_and_others_are_not() {
    let mut reader = reader();
    let slow = join(&mut reader, Arc::new(Ear::default()));
    let mut quick = join(&mut reader, Arc::new(Ear::default()));
    for number in 0..=BUFFER {
        reader.tell(&[event(u32::try_from(number).unwrap(), "a")]);
        assert!(quick.pages.try_recv().is_ok());
    }
    assert_eq!(reader.subscribers.len(), 1);
    let mut slow = Subscription {
        hub: FeedHub { joins: mpsc::channel(1).0, store: reader.store.clone() },
        ear: Arc::new(Ear::default()),
        stage: Stage::Live(slow),
        pending: None,
    };
    for number in 0..BUFFER {
        assert_eq!(slow.next().await.unwrap(), format!("<{number}>"));
    }
    assert_eq!(slow.next().await.unwrap(), sse::farewell(SLOW));
    assert_eq!(slow.next().await, None);
}

#[tokio::test]
async fn who_went_away_is_forgotten() {
    let mut reader = reader();
    drop(join(&mut reader, Arc::new(Ear::default())));
    assert_eq!(reader.subscribers.len(), 1);
    reader.keep_alive();
    assert_eq!(reader.subscribers.len(), 0);
}

//! pgmq as plain SQL, without the extension: ten consumers that read and delete 500 at a time. The
//! benchmark loads the SQL before `setup`.

use std::{sync::Arc, time::Duration};

use futures::{stream, StreamExt};
use queue_peers::*;
use tokio::sync::{mpsc, Mutex};
use tokio_postgres::AsyncMessage;

const READ: &str = "select msg_id, message from pgmq.read('noop', 300, $1::integer)";
const DELETE: &str = "select pgmq.delete('noop', $1::bigint[])";
const DELETE_ONE: &str = "select pgmq.delete('noop', $1::bigint)";
const SEND: &str = "select pgmq.send('noop', $1::jsonb)";
const SEND_MANY: &str = "select pgmq.send_batch('noop', $1::jsonb[])";

async fn consume(meter: Arc<Meter>) {
    let client = client().await;
    let read = client.prepare(READ).await.expect("prepares");
    let delete = client.prepare(DELETE).await.expect("prepares");
    loop {
        let rows = client.query(&read, &[&500]).await.expect("messages");
        if rows.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let _read: Vec<serde_json::Value> = rows.iter().map(|row| row.get(1)).collect();
        meter.hit(ids.len());
        client.query(&delete, &[&ids]).await.expect("deletes");
    }
}

/// Rings for each message that comes, once NOTIFY has said that one did.
async fn answer(bell: Bell) {
    let (listener, mut connection) =
        tokio_postgres::connect(&url(), tokio_postgres::NoTls).await.expect("connect");
    let (tell, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(_) = message {
                let _ = tell.send(());
            }
        }
    });
    let before = "select pgmq.enable_notify_insert('noop', 0); select pgmq.purge_queue('noop')";
    listener.batch_execute(before).await.expect("notifies");
    listener.batch_execute("listen \"pgmq.q_noop.INSERT\"").await.expect("listens");
    let read = listener.prepare(READ).await.expect("prepares");
    let delete = listener.prepare(DELETE_ONE).await.expect("prepares");
    tokio::spawn(async move {
        while told.recv().await.is_some() {
            for row in listener.query(&read, &[&1]).await.expect("messages") {
                bell.ring();
                listener.query(&delete, &[&row.get::<_, i64>(0)]).await.expect("deletes");
            }
        }
    });
}

#[tokio::main]
async fn main() {
    let (command, a, b) = arguments();
    match command.as_str() {
        "setup" => {
            let make = "select pgmq.create('noop'); select pgmq.send('noop', '{}')";
            client().await.batch_execute(make).await.expect("the queue");
            out(serde_json::json!({}));
        }
        "submit" => {
            let mut free = vec![];
            for _ in 0..b as usize {
                let client = client().await;
                let send = client.prepare(SEND).await.expect("prepares");
                free.push((client, send));
            }
            let free = Arc::new(Mutex::new(free));
            let send = move |number| {
                let free = free.clone();
                async move {
                    let (client, send) = free.lock().await.pop().expect("as many as callers");
                    client.query(&send, &[&payload(number)]).await.expect("a message");
                    free.lock().await.push((client, send));
                }
            };
            submit(a, b as usize, send).await
        }
        "bulk" => {
            let client = &client().await;
            let send = &client.prepare(SEND_MANY).await.expect("prepares");
            bulk(a, b as usize, |numbers| async move {
                let payloads: Vec<_> = numbers.map(payload).collect();
                client.query(send, &[&payloads]).await.expect("messages");
            })
            .await
        }
        "drain" => {
            let meter = Meter::new(a);
            let shared = meter.clone();
            drain(meter, b, || async move {
                for _ in 0..10 {
                    tokio::spawn(consume(shared.clone()));
                }
            })
            .await
        }
        "pickup" => {
            let (bell, heard) = Bell::new();
            answer(bell).await;
            let client = &client().await;
            let send = &client.prepare(SEND).await.expect("prepares");
            pickup(a, b, heard, |number| async move {
                client.query(send, &[&payload(number)]).await.expect("a message");
            })
            .await
        }
        other => panic!("no command: {other}"),
    }
}

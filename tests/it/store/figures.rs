//! How long the hot statements take. Not a test: run it by name and read what it prints.

use std::time::Duration;

use hostler::{domain::task::TaskEvent, store::tasks};
use tokio::time::Instant;

use super::{World, end};

#[tokio::test]
#[ignore = "prints figures: cargo test --release --test it figures -- --ignored --nocapture"]
async fn figures() {
    let world = World::new().await;
    for triggers in ["ENABLE", "DISABLE"] {
        for batch in [1, 10, 100, 500] {
            let rounds = 2_000_usize.div_ceil(batch).clamp(8, 200);
            let [mut submit, mut claim, mut settle] = [Duration::ZERO; 3];
            world.submit(batch * 8).await;
            for _ in 0..rounds {
                let start = Instant::now();
                world.submit(batch).await;
                submit += start.elapsed();
                world
                    .db
                    .batch_execute(&format!("ALTER TABLE hostler.tasks {triggers} TRIGGER USER"))
                    .await
                    .unwrap();
                // The first use after that plans anew, and is not counted.
                let warm = world.claim(batch).await;
                let ends: Vec<_> = warm.iter().map(|a| end(a, TaskEvent::Released)).collect();
                world.settle(&ends).await;

                let start = Instant::now();
                let given = world.claim(batch).await;
                claim += start.elapsed();
                let ends: Vec<_> = given.iter().map(|a| end(a, TaskEvent::Completed)).collect();
                let start = Instant::now();
                assert_eq!(world.settle(&ends).await.len(), batch);
                settle += start.elapsed();
                world
                    .db
                    .batch_execute("ALTER TABLE hostler.tasks ENABLE TRIGGER USER")
                    .await
                    .unwrap();
            }
            let each = |total: Duration| total / u32::try_from(rounds).unwrap();
            println!(
                "triggers {triggers:7} batch {batch:3}: submit {:?}, claim {:?}, settle {:?}",
                each(submit),
                each(claim),
                each(settle)
            );
        }
        tasks::promote_due(&world.db).await.unwrap();
    }
}

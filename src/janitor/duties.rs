//! The duties that belong to nobody else.

use std::{collections::BTreeSet, time::Duration};

use slog::{Logger, info};

use super::{Done, Duty};
use crate::{
    domain::{history::Keep, leadership::Matter},
    store::{audit, hosts, limits, queues, sessions::receipts},
};

/// How often hosts and pauses are looked at though the database did not say that it is time. Claims go by
/// the time of a pause itself, and the poll of hosts finds what waited.
const LOOK: Duration = Duration::from_secs(60);
/// How often answers to requests with a key are looked for that nobody needs any more.
const LOOK_FOR_RECEIPTS: Duration = Duration::from_secs(600);
/// As many as one statement forgets; then there may be more.
const RECEIPTS_AT_ONCE: usize = 10_000;
/// How often records of the audit are looked for whose term is over.
const LOOK_FOR_AUDIT: Duration = Duration::from_secs(600);
/// As many as one statement forgets.
const AUDIT_AT_ONCE: u32 = 5_000;
/// The pause before the next statement that forgets: others want the disk, too.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked for what began so long ago that no rate counts it.
const LOOK_FOR_STARTS: Duration = Duration::from_secs(600);
/// A host that is claiming in the very moment is left for the next look, this much later.
const SOON: Duration = Duration::from_millis(100);
/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Puts back what hosts hold whose lease has ended: in the moment in which it ends.
///
/// Harmless whoever does it, so it needs no fence.
pub fn lost_hosts(log: Logger) -> Duty {
    let duty = Duty::new("lost hosts", LOOK, move |leading| {
        let log = log.clone();
        async move {
            let look = async |db: &_| hosts::take_over(db).await;
            let taken = leading.store().within(LIMIT, look).await?;
            if !taken.returned.is_empty() {
                info!(log, "tasks of lost hosts put back"; "count" => taken.returned.len());
            }
            let woken: BTreeSet<_> = taken.returned.into_iter().map(|back| back.queue).collect();
            Ok(Done {
                woken: woken.into_iter().collect(),
                again_in: taken.next.map(|next| next.max(SOON)),
            })
        }
    });
    duty.on(Matter::LostHosts)
}

/// Takes down the pauses of queues and keys that have ended by themselves, and says so in the log.
/// Claims go by the time itself, so nothing waits for this.
///
/// Harmless whoever does it, so it needs no fence.
pub fn ended_pauses(log: Logger) -> Duty {
    let duty = Duty::new("ended pauses", LOOK, move |leading| {
        let log = log.clone();
        async move {
            let look = async |db: &_| queues::end_pauses(db).await;
            let ended = leading.store().within(LIMIT, look).await?;
            for queue in &ended.queues {
                info!(log, "queue resumed: its pause has ended"; "queue" => %queue);
            }
            for key in &ended.keys {
                info!(log, "key resumed: its pause has ended"; "key" => %key);
            }
            Ok(Done { woken: ended.queues, again_in: ended.next.map(|next| next.max(SOON)) })
        }
    });
    duty.on(Matter::Pauses)
}

/// Forgets answers to requests with a key that are older than `kept`.
///
/// Harmless whoever does it, so it needs no fence.
pub fn forget_receipts(kept: Duration) -> Duty {
    Duty::new("receipts", LOOK_FOR_RECEIPTS, move |leading| async move {
        let prune = async |db: &_| receipts::prune(db, kept).await;
        let forgotten = leading.store().within(LIMIT, prune).await?;
        let again_in = (forgotten == RECEIPTS_AT_ONCE).then_some(Duration::ZERO);
        Ok(Done { again_in, ..Done::default() })
    })
}

/// Forgets what the audit record has kept for longer than `keep`.
///
/// Harmless whoever does it, so it needs no fence.
pub fn forget_audit(keep: Keep) -> Duty {
    Duty::new("audit", LOOK_FOR_AUDIT, move |leading| async move {
        let Keep::For(kept) = keep else { return Ok(Done::default()) };
        let prune = async |db: &_| audit::prune(db, kept, AUDIT_AT_ONCE).await;
        let forgotten = leading.store().within(LIMIT, prune).await?;
        let again_in = (forgotten == AUDIT_AT_ONCE as usize).then_some(PAUSE);
        Ok(Done { again_in, ..Done::default() })
    })
}

/// Forgets what began longer ago than any rate counts.
///
/// Harmless whoever does it, so it needs no fence.
pub fn forget_starts() -> Duty {
    Duty::new("rate starts", LOOK_FOR_STARTS, move |leading| async move {
        let forget = async |db: &_| limits::forget_starts(db).await;
        let forgotten = leading.store().within(LIMIT, forget).await?;
        let again_in = (forgotten == limits::STARTS_AT_ONCE).then_some(PAUSE);
        Ok(Done { again_in, ..Done::default() })
    })
}

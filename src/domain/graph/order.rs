//! Ids in an order in which a dependency is always older than what waits for it.
//!
//! The database relies on it: one order of ids is then one order for locks, and no circle can be
//! written. Ids are UUIDs of version 7, so a larger one is one of a later moment.

use uuid::Uuid;

use crate::domain::{TaskId, plan::Graph};

/// How far the milliseconds of a version 7 stand from the end of its bits.
const TIME_AT: u32 = 80;

/// Gives the tasks of `graph` these ids, each to one of them, so that every task has a larger one
/// than those before it, and all have larger ones than `after`. Ids that are in order stay.
///
/// None if the graph has a circle, or if no id could come after `after`. Tasks that the graph does
/// not order keep the order of the submit as far as that can be.
pub fn in_order(ids: &[TaskId], graph: &Graph, after: Option<TaskId>) -> Option<Vec<TaskId>> {
    let mut raw: Vec<u128> = ids.iter().map(|id| id.as_uuid().as_u128()).collect();
    let back = |(at, before): (usize, &Vec<usize>)| before.iter().all(|one| raw[*one] < raw[at]);
    if !graph.before.iter().enumerate().all(back) {
        let order = graph.order();
        if order.len() < ids.len() {
            return None;
        }
        let mut sorted = raw.clone();
        sorted.sort_unstable();
        for (id, at) in sorted.into_iter().zip(order) {
            raw[at] = id;
        }
    }
    let after = after.map(|id| id.as_uuid().as_u128());
    if let (Some(after), Some(least)) = (after, raw.iter().copied().min())
        && least <= after
    {
        // All of them move by the same time, so that their order stays.
        let moved = ((after >> TIME_AT) + 1 - (least >> TIME_AT)) << TIME_AT;
        for id in &mut raw {
            *id = id.checked_add(moved)?;
        }
    }
    Some(raw.into_iter().map(|raw| TaskId::from_uuid(Uuid::from_u128(raw))).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(raw: u128) -> TaskId {
        TaskId::from_uuid(Uuid::from_u128(raw))
    }

    /// An id of version 7 of this moment.
    fn at(ms: u128, rest: u128) -> TaskId {
        id(ms << TIME_AT | 7 << 76 | rest)
    }

    #[test]
    fn what_is_in_order_stays() {
        let ids = [at(1, 1), at(1, 2), at(2, 0)];
        let graph = Graph::from_before(vec![vec![], vec![0], vec![0, 1]]);
        assert_eq!(in_order(&ids, &graph, Some(at(1, 0))), Some(ids.to_vec()));
    }

    #[test]
    fn what_waits_for_a_later_one_gets_a_later_id() {
        let ids = [at(1, 1), at(1, 2), at(1, 3)];
        let graph = Graph::from_before(vec![vec![2], vec![], vec![]]);
        assert_eq!(in_order(&ids, &graph, None), Some(vec![at(1, 3), at(1, 1), at(1, 2)]));
    }

    #[test]
    fn all_come_after_what_was_there_though_its_clock_was_ahead() {
        let ids = [at(10, 5), at(11, 4)];
        let graph = Graph::from_before(vec![vec![], vec![0]]);
        let made = in_order(&ids, &graph, Some(at(12, 9))).unwrap();
        assert_eq!(made, [at(13, 5), at(14, 4)]);
        assert_eq!(made[0].as_uuid().get_version_num(), 7);
        assert_eq!(in_order(&ids, &graph, Some(id(u128::MAX))), None);
    }

    #[test]
    fn a_circle_has_no_order() {
        let graph = Graph::from_before(vec![vec![1], vec![0]]);
        assert_eq!(in_order(&[at(1, 1), at(1, 2)], &graph, None), None);
    }

    proptest! {
        #[test]
        fn every_edge_goes_to_an_older_id(
            edges in prop::collection::vec((0usize..20, 0usize..20), 0..60),
            shuffled in Just((0..20usize).collect::<Vec<_>>()).prop_shuffle(),
            times in prop::collection::vec(0u128..4, 20),
            after in prop::option::of(0u128..6),
        ) {
            // Edges go down the shuffled order, so that there is no circle.
            let mut before = vec![Vec::new(); 20];
            for (one, other) in edges {
                if one != other {
                    before[shuffled[one.max(other)]].push(shuffled[one.min(other)]);
                }
            }
            let graph = Graph::from_before(before);
            let ids: Vec<_> =
                times.into_iter().zip(0..).map(|(ms, rest)| at(ms, rest)).collect();
            let after = after.map(|ms| at(ms, 3));
            let made = in_order(&ids, &graph, after).unwrap();
            for (task, before) in graph.before.iter().enumerate() {
                prop_assert!(before.iter().all(|one| made[*one] < made[task]));
                prop_assert!(after.is_none_or(|after| after < made[task]));
            }
            let distinct: std::collections::HashSet<_> = made.iter().collect();
            prop_assert_eq!(distinct.len(), 20);
        }
    }
}

//! How much of one resource is taken when.

/// A step function over time, which begins at 0 with nothing taken.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    capacity: u32,
    /// From this time on, so much is taken; sorted, the first at 0.
    steps: Vec<(u64, u32)>,
}

impl Profile {
    /// Nothing is taken.
    pub(super) fn new(capacity: u32) -> Self {
        Self { capacity, steps: vec![(0, 0)] }
    }

    /// Gives everything back.
    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.steps.push((0, 0));
    }

    /// The step that holds at `time`.
    fn step_at(&self, time: u64) -> usize {
        // Most questions are about the end: look from there for a few steps.
        let from = self.steps.len().saturating_sub(4);
        if self.steps[from].0 <= time {
            let tail = &self.steps[from..];
            return from + tail.iter().rposition(|(at, _)| *at <= time).unwrap_or(0);
        }
        self.steps[..from].partition_point(|(at, _)| *at <= time) - 1
    }

    /// The first time from `from` on when `units` are free for `duration`.
    pub(super) fn earliest(&self, from: u64, duration: u64, units: u32) -> u64 {
        if duration == 0 {
            return from;
        }
        let free = self.capacity - units;
        let mut begin = from;
        let mut at = self.step_at(from);
        while let Some((time, used)) = self.steps.get(at).copied() {
            if time >= begin.saturating_add(duration) {
                break;
            }
            if used > free {
                // The last step has nothing taken, so that there is one behind this.
                begin = self.steps.get(at + 1).map_or(begin, |(time, _)| *time);
            }
            at += 1;
        }
        begin
    }

    /// Takes `units` from `start` for `duration`.
    pub(super) fn take(&mut self, start: u64, duration: u64, units: u32) {
        if duration == 0 || units == 0 {
            return;
        }
        let from = self.split(start);
        let to = self.split(start + duration);
        for (_, used) in &mut self.steps[from..to] {
            *used += units;
        }
    }

    /// Gives back what [`Profile::take`] took.
    pub(super) fn give(&mut self, start: u64, duration: u64, units: u32) {
        if duration == 0 || units == 0 {
            return;
        }
        let from = self.split(start);
        let to = self.split(start + duration);
        for (_, used) in &mut self.steps[from..to] {
            *used -= units;
        }
        for at in [to, from] {
            if at > 0 && self.steps[at].1 == self.steps[at - 1].1 {
                self.steps.remove(at);
            }
        }
    }

    /// Makes a step begin at `time`; its place.
    fn split(&mut self, time: u64) -> usize {
        let at = self.step_at(time);
        let (begin, used) = self.steps[at];
        if begin == time {
            return at;
        }
        self.steps.insert(at + 1, (time, used));
        at + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_found_if_it_is_long_enough() {
        let mut profile = Profile::new(2);
        profile.take(0, 4, 2);
        profile.take(6, 2, 1);
        assert_eq!(profile.earliest(0, 2, 1), 4);
        assert_eq!(profile.earliest(0, 2, 2), 4);
        assert_eq!(profile.earliest(0, 3, 2), 8);
        assert_eq!(profile.earliest(1, 0, 2), 1);
        profile.give(0, 4, 2);
        profile.give(6, 2, 1);
        assert_eq!(profile.steps, [(0, 0)]);
    }
}

//! What a machine must have left before another process is started on it.
//!
//! Below a floor nothing starts: agents without a process are paused, with the reason, and go on by
//! themselves once there is enough again, and a tenth more, so that nothing flaps.

use std::fmt;

/// The floors of a host; absent means none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Floors {
    /// Bytes of memory that programs can still have.
    pub memory: Option<u64>,
    /// Bytes that are free where the data directory is.
    pub disk: Option<u64>,
    /// The most load, as a multiple of the number of CPUs.
    pub load: Option<f64>,
}

impl Floors {
    /// Whether there is any.
    pub const fn is_any(&self) -> bool {
        self.memory.is_some() || self.disk.is_some() || self.load.is_some()
    }
}

/// What a machine has left. What can't be found out is absent, and holds nothing up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Machine {
    /// Bytes of memory that programs can still have.
    pub memory: Option<u64>,
    /// Bytes that are free where the data directory is.
    pub disk: Option<u64>,
    /// How many processes wanted to run in the last minute, by CPU.
    pub load: Option<f64>,
}

/// What there is too little or too much of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shortage {
    /// So much memory, and the floor.
    Memory(u64, u64),
    /// So much disk, and the floor.
    Disk(u64, u64),
    /// So much load, and the ceiling.
    Load(f64, f64),
}

impl Shortage {
    /// The causes, in the order in which they are looked for.
    pub const CAUSES: [&str; 3] = ["memory", "disk", "load"];

    /// The word in metrics.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Memory(..) => "memory",
            Self::Disk(..) => "disk",
            Self::Load(..) => "load",
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        match *self {
            Self::Memory(has, floor) => {
                write!(f, "only {:.1} MiB of memory are left; ", mib(has))?;
                write!(f, "nothing starts below host.floors.memory ({:.1} MiB)", mib(floor))
            }
            Self::Disk(has, floor) => {
                write!(f, "only {:.1} MiB are free on the disk of the data directory; ", mib(has))?;
                write!(f, "nothing starts below host.floors.disk ({:.1} MiB)", mib(floor))
            }
            Self::Load(has, most) => {
                write!(f, "the load is {has:.2} for each CPU; ")?;
                write!(f, "nothing starts above host.floors.load ({most:.2})")
            }
        }
    }
}

/// What is short. While something `was`, that must be a tenth better than its floor to be over.
pub fn judge(floors: &Floors, machine: &Machine, was: Option<Shortage>) -> Option<Shortage> {
    let was = was.map(|shortage| shortage.cause());
    let eased = |cause, floor: u64| {
        if was == Some(cause) { floor.saturating_add(floor / 10) } else { floor }
    };
    let memory = floors.memory.zip(machine.memory);
    if let Some((floor, has)) = memory.filter(|(floor, has)| *has < eased("memory", *floor)) {
        return Some(Shortage::Memory(has, floor));
    }
    let disk = floors.disk.zip(machine.disk);
    if let Some((floor, has)) = disk.filter(|(floor, has)| *has < eased("disk", *floor)) {
        return Some(Shortage::Disk(has, floor));
    }
    let ease = if was == Some("load") { 0.9 } else { 1.0 };
    let load = floors.load.zip(machine.load).filter(|(most, has)| *has > most * ease);
    load.map(|(most, has)| Shortage::Load(has, most))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLOORS: Floors = Floors { memory: Some(1000), disk: Some(2000), load: Some(4.0) };

    fn machine(memory: u64, disk: u64, load: f64) -> Machine {
        Machine { memory: Some(memory), disk: Some(disk), load: Some(load) }
    }

    #[test]
    fn each_floor_and_the_way_back() {
        let (low, thin, hot) =
            (Shortage::Memory(1, 1), Shortage::Disk(1, 1), Shortage::Load(1.0, 1.0));
        let rows = [
            (machine(1000, 2000, 4.0), None, None),
            (machine(999, 1999, 5.0), None, Some(Shortage::Memory(999, 1000))),
            (machine(1000, 1999, 5.0), None, Some(Shortage::Disk(1999, 2000))),
            (machine(1000, 2000, 4.1), None, Some(Shortage::Load(4.1, 4.0))),
            (machine(1099, 2000, 4.0), Some(low), Some(Shortage::Memory(1099, 1000))),
            (machine(1100, 2000, 4.0), Some(low), None),
            (machine(1000, 2199, 4.0), Some(thin), Some(Shortage::Disk(2199, 2000))),
            (machine(1000, 2200, 4.0), Some(thin), None),
            (machine(1000, 2000, 3.7), Some(hot), Some(Shortage::Load(3.7, 4.0))),
            (machine(1000, 2000, 3.6), Some(hot), None),
            (Machine::default(), Some(low), None),
        ];
        for (machine, was, expected) in rows {
            assert_eq!(judge(&FLOORS, &machine, was), expected, "{machine:?} {was:?}");
        }
        assert_eq!(judge(&Floors::default(), &machine(0, 0, 1e9), None), None);
        assert!(!Floors::default().is_any() && FLOORS.is_any());
    }

    #[test]
    fn a_shortage_says_how_much_is_missing_and_where_that_is_set() {
        let text = Shortage::Memory(1 << 20, 64 << 20).to_string();
        assert_eq!(
            text,
            "only 1.0 MiB of memory are left; nothing starts below host.floors.memory (64.0 MiB)"
        );
        assert!(Shortage::Load(8.5, 4.0).to_string().contains("8.50 for each CPU"));
    }

    proptest! {
        /// What stands at a floor does not flap: between the floor and a tenth more nothing changes.
        #[test]
        fn in_the_band_it_stays_as_it_was(memory in 1000_u64..1100) {
            let machine = machine(memory, 9999, 0.0);
            prop_assert_eq!(judge(&FLOORS, &machine, None), None);
            let was = Some(Shortage::Memory(1, 1000));
            prop_assert!(judge(&FLOORS, &machine, was).is_some());
        }
    }
}

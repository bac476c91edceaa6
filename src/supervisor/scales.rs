//! The sizes that operators and autoscaling gave fleets. They are kept in a file, so that a next host
//! takes agents back that are more than the settings say; and they end when the settings say another
//! size than before.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::domain::{FleetName, fleet::Fleet};

/// The size that a fleet was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scale {
    /// How many agents.
    pub(super) count: u16,
    /// What the settings said when it was given.
    pub(super) configured: u16,
}

/// The sizes that fleets were given, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scales(BTreeMap<FleetName, Scale>);

impl Scales {
    /// Reads `file`; nothing where it is not there.
    ///
    /// # Errors
    ///
    /// It can't be read.
    pub fn read(file: &Path) -> io::Result<Self> {
        match fs::read(file) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes `file`, whole or not at all.
    pub(super) fn write(&self, file: &Path) -> io::Result<()> {
        let new = file.with_extension("new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(&new, file)
    }

    /// How many agents `fleet` is to have.
    pub fn count_of(&self, fleet: &Fleet) -> u16 {
        let given = self.0.get(&fleet.name).filter(|given| given.configured == fleet.count);
        let count = given.map_or(fleet.count, |given| given.count);
        fleet.scale.map_or(count, |scale| scale.within(count))
    }

    pub(super) fn set(&mut self, fleet: &FleetName, scale: Scale) {
        if scale.count == scale.configured {
            self.0.remove(fleet);
        } else {
            self.0.insert(fleet.clone(), scale);
        }
    }

    /// Forgets what the settings speak against by now.
    pub(super) fn retain<'a>(&mut self, fleets: impl Iterator<Item = &'a Fleet>) {
        let counts: BTreeMap<_, _> = fleets.map(|fleet| (&fleet.name, fleet.count)).collect();
        self.0.retain(|name, given| counts.get(name) == Some(&given.configured));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{agent::tests::fleet, domain::fleet::Protocol};

    #[test]
    fn a_size_holds_until_the_settings_say_another() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("scales.json");
        let mut scales = Scales::read(&file).unwrap();
        let mut fleet = Fleet { count: 2, ..fleet(Protocol::Worker) };
        assert_eq!(scales.count_of(&fleet), 2);
        scales.set(&fleet.name, Scale { count: 5, configured: 2 });
        scales.write(&file).unwrap();
        let mut read = Scales::read(&file).unwrap();
        assert_eq!((read.count_of(&fleet), &read), (5, &scales));
        let policy = crate::domain::autoscale::Policy {
            min: 1,
            max: 4,
            up_after: std::time::Duration::ZERO,
            down_after: std::time::Duration::ZERO,
            cooldown: std::time::Duration::ZERO,
        };
        let scaled = Fleet { scale: Some(policy), ..fleet.clone() };
        assert_eq!(read.count_of(&scaled), 4, "within its bounds");
        fleet.count = 3;
        assert_eq!(read.count_of(&fleet), 3);
        read.retain(std::iter::once(&fleet));
        assert_eq!(read, Scales::default());
        scales.set(&fleet.name, Scale { count: 3, configured: 3 });
        assert_eq!(scales, Scales::default(), "as the settings say");
        fs::write(&file, "{").unwrap();
        assert!(Scales::read(&file).is_err());
    }
}

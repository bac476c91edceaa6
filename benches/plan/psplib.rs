//! Reads PSPLIB's `.sm` files: single-mode instances.

use std::{fs, path::Path};

use hostler::{
    domain::plan::Graph,
    plan::solve::{Demand, Problem},
};

/// A file in that format.
pub(crate) const SAMPLE: &str = "\
projects                      :  1
jobs (incl. supersource/sink ):  5
RESOURCES
  - renewable                 :  2   R
PRECEDENCE RELATIONS:
jobnr.    #modes  #successors   successors
   1        1          2           2   3
   2        1          1           4
   3        1          1           5
   4        1          1           5
   5        1          0
************************************************************************
REQUESTS/DURATIONS:
jobnr. mode duration  R 1  R 2
------------------------------------------------------------------------
  1      1     0       0    0
  2      1     8       4    0
  3      1     4       0    3
  4      1     6       2    1
  5      1     0       0    0
************************************************************************
RESOURCEAVAILABILITIES:
  R 1  R 2
   12   13
************************************************************************
";

/// Every `.sm` file of a directory, in the order of their names.
pub(crate) fn files(dir: &Path) -> Vec<Problem> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "sm"));
    paths.sort();
    paths.iter().map(|path| parse(&fs::read_to_string(path).unwrap()).unwrap()).collect()
}

/// The problem in `text`, or nothing if it is in another format.
pub(crate) fn parse(text: &str) -> Option<Problem> {
    let rows = |head: &str| -> Vec<Vec<usize>> {
        let from = text.lines().skip_while(|line| !line.starts_with(head)).skip(1);
        let own = from.take_while(|line| !line.starts_with("***"));
        let numbers = own.map(|line| {
            line.split_whitespace()
                .map(str::parse)
                .collect::<Result<Vec<usize>, _>>()
                .unwrap_or_default()
        });
        numbers.filter(|row| !row.is_empty()).collect()
    };
    let jobs = rows("REQUESTS/DURATIONS");
    let mut before = vec![Vec::new(); jobs.len()];
    for row in rows("PRECEDENCE RELATIONS") {
        for later in row.get(3..)? {
            before.get_mut(later.checked_sub(1)?)?.push(row[0].checked_sub(1)?);
        }
    }
    let capacity: Option<Vec<u32>> =
        rows("RESOURCEAVAILABILITIES").first()?.iter().map(|it| u32::try_from(*it).ok()).collect();
    let mut modes = Vec::new();
    for row in &jobs {
        let demands = row.get(3..)?.iter().enumerate().filter(|(_, units)| **units > 0);
        let demand = |(resource, units): (usize, &usize)| {
            Some(Demand { resource, units: u32::try_from(*units).ok()? })
        };
        modes.push(vec![demands.map(demand).collect::<Option<Vec<_>>>()?]);
    }
    let duration =
        jobs.iter().map(|row| row.get(2).map(|it| *it as u64)).collect::<Option<Vec<_>>>()?;
    let priority = vec![0; duration.len()];
    Some(Problem::new(duration, Graph::from_before(before), modes, capacity?, priority))
}

//! Whether a program can take the place of the one that runs, and what that does to the agents.

use serde::{Deserialize, Serialize};

/// What a program says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traits {
    /// Its version.
    pub version: String,
    /// The newest schema that it knows.
    pub schema: u32,
    /// The newest version in which it speaks with keepers.
    pub keeper: u32,
    /// The oldest; absent: none but the newest.
    #[serde(default)]
    pub keeper_oldest: Option<u32>,
}

/// What becomes of the agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Agents {
    /// They go on, and the new program takes them back.
    Kept,
    /// They end their attempts first, and are started by the new program: it can't speak with the
    /// keeper that has them.
    Drained,
}

/// An upgrade that can be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// The version that runs.
    pub from: String,
    /// The version that takes its place.
    pub to: String,
    /// What becomes of the agents.
    pub agents: Agents,
    /// The new program changes the schema: the old one may not know it any more.
    pub migrates: bool,
}

/// Whether a program of `new` traits can take the place of one of `now`, whose schema is in use.
///
/// # Errors
///
/// A sentence for a person: it can't.
pub fn plan(now: &Traits, new: &Traits) -> Result<Plan, String> {
    if new.schema < now.schema {
        return Err(format!(
            "version {} knows the schema up to {}, and the database has {}: use a newer one",
            new.version, new.schema, now.schema
        ));
    }
    Ok(Plan {
        from: now.version.clone(),
        to: new.version.clone(),
        agents: if (new.keeper_oldest.unwrap_or(new.keeper)..=new.keeper).contains(&now.keeper) {
            Agents::Kept
        } else {
            Agents::Drained
        },
        migrates: new.schema > now.schema,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traits(schema: u32, keeper: u32) -> Traits {
        Traits { version: format!("1.{schema}"), schema, keeper, keeper_oldest: None }
    }

    #[test]
    fn only_a_program_that_knows_the_schema_takes_over() {
        let now = traits(7, 2);
        let rows = [
            (traits(7, 2), Some((Agents::Kept, false))),
            (traits(8, 2), Some((Agents::Kept, true))),
            (traits(7, 3), Some((Agents::Drained, false))),
            (traits(8, 1), Some((Agents::Drained, true))),
            (traits(6, 2), None),
        ];
        for (new, expected) in rows {
            let planned = plan(&now, &new).map(|plan| (plan.agents, plan.migrates));
            assert_eq!(planned.ok(), expected, "{new:?}");
        }
        for (oldest, agents) in [(1, Agents::Kept), (2, Agents::Kept), (3, Agents::Drained)] {
            let new = Traits { keeper_oldest: Some(oldest), ..traits(7, 3) };
            assert_eq!(plan(&now, &new).unwrap().agents, agents, "speaks {oldest} to 3");
        }
        assert!(plan(&now, &traits(6, 2)).unwrap_err().contains("the database has 7"));
    }
}

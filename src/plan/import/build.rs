//! From drafts to a plan, and what was unsure on the way.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Doubt, Imported,
    collect::{Collected, Draft, DraftPhase, Source},
    text::{hints_at, names, quoted, slug, words},
};
use crate::domain::{
    PhaseName, PlanTaskId,
    plan::{Estimate, FileUse, Merge, Needs, Owner, Phase, Plan, PlanTask, Pool},
    workspace::Resolver,
};

struct Builder {
    collected: Collected,
    ids: Vec<PlanTaskId>,
    doubts: Vec<Doubt>,
}

/// The plan of what was collected.
pub(super) fn build(mut collected: Collected) -> Imported {
    let ids = names_of(&collected.drafts);
    let doubts = std::mem::take(&mut collected.doubts);
    let doubts = doubts.into_iter().map(|(line, message)| Doubt { line, message }).collect();
    let mut builder = Builder { collected, ids, doubts };
    builder.totals();
    let tasks: Vec<PlanTask> =
        (0..builder.collected.drafts.len()).map(|at| builder.task(at)).collect();
    let phases = builder.phases(&tasks);
    let pools = builder.pools();
    builder.claims();
    builder.doubts.sort();
    builder.doubts.dedup();
    let title = builder.collected.title;
    Imported { plan: Plan { title, people: 1, pools, phases, tasks }, doubts: builder.doubts }
}

/// A name of its own for each draft.
fn names_of(drafts: &[Draft]) -> Vec<PlanTaskId> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut ids = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let base = slug(&draft.title);
        let count = counts.entry(base.clone()).or_insert(0);
        *count += 1;
        let name = if *count == 1 { base } else { format!("{base}-{count}") };
        // A slug is a name by its making.
        ids.extend(name.parse::<PlanTaskId>());
    }
    ids
}

impl Builder {
    fn doubt(&mut self, line: usize, message: String) {
        self.doubts.push(Doubt { line, message });
    }

    /// Shares a phase's total among its tasks without a time.
    fn totals(&mut self) {
        for at in 0..self.collected.phases.len() {
            let without: Vec<usize> = (0..self.collected.drafts.len())
                .filter(|draft| self.collected.drafts[*draft].phase == Some(at))
                .filter(|draft| self.collected.drafts[*draft].time.is_none())
                .collect();
            let (Some(first), Ok(count)) = (without.first(), u32::try_from(without.len())) else {
                continue;
            };
            let line = self.collected.drafts[*first].line;
            let share = match self.collected.phases[at].total {
                Some((total, line)) => {
                    let message = format!(
                        "{count} tasks have no time of their own: the total is shared out evenly"
                    );
                    self.doubt(line, message);
                    total / count
                }
                None => {
                    self.doubt(
                        line,
                        format!(
                            "{count} tasks of the phase have no time: one hour each is a guess"
                        ),
                    );
                    std::time::Duration::from_secs(3_600)
                }
            };
            for draft in without {
                self.collected.drafts[draft].time = Some((share, None));
            }
        }
    }

    fn task(&mut self, at: usize) -> PlanTask {
        let owner = self.owner(at);
        let files = self.files(at);
        let depends_on = self.depends_on(at);
        let split_of = self.split_of(at);
        let branch = if owner == Owner::Human { None } else { self.branch(at) };
        let estimate = self.estimate(at);
        let draft = &self.collected.drafts[at];
        let input = match draft.task.as_slice() {
            [] => Value::Null,
            lines => json!({ "prompt": lines.join("\n") }),
        };
        PlanTask {
            id: self.ids[at].clone(),
            title: draft.title.clone(),
            needs: Needs::Anyone,
            estimate,
            depends_on,
            files,
            priority: 0,
            input,
            condition: None,
            approval: false,
            stale_after: None,
            phase: draft.phase.and_then(|at| name_of(&self.collected.phases[at])),
            owner,
            split_of,
            branch,
            merge: Merge::Merge,
            git: None,
            base: None,
            on_conflict: Resolver::Agent,
        }
    }

    fn owner(&self, at: usize) -> Owner {
        let said = self.collected.drafts[at].agent.as_deref().map(words).unwrap_or_default();
        let is_person =
            said.iter().any(|word| matches!(word.as_str(), "human" | "person" | "user" | "me"));
        if is_person { Owner::Human } else { Owner::Agent }
    }

    /// A range of two figures becomes three, with the likely one in their middle.
    fn estimate(&mut self, at: usize) -> Estimate {
        let draft = &self.collected.drafts[at];
        let line = draft.line;
        match draft.time {
            Some((low, Some(high))) if low < high => {
                self.doubt(
                    line,
                    "a time of two figures: their middle is taken for the likely one".to_owned(),
                );
                Estimate::Range { optimistic: low, likely: (low + high) / 2, pessimistic: high }
            }
            Some((time, _)) => Estimate::Fixed(time),
            None => Estimate::Fixed(std::time::Duration::from_secs(3_600)),
        }
    }

    fn files(&mut self, at: usize) -> Vec<FileUse> {
        let said = self.collected.drafts[at].files.clone();
        let mut files: Vec<FileUse> = Vec::new();
        for (text, line) in said {
            let mut found: Vec<String> = quoted(&text).into_iter().map(str::to_owned).collect();
            if found.is_empty() {
                let words = words(&text);
                let all = words.iter().position(|word| word == "all");
                let named = all
                    .and_then(|at| words.get(at + 1))
                    .filter(|_| words.iter().any(|word| word == "files"));
                match named {
                    Some(name) => {
                        let glob = format!("{name}/**");
                        self.doubt(line, format!("`{text}` names no file: taken for `{glob}`"));
                        found.push(glob);
                    }
                    None => self.doubt(line, format!("`{text}` names no file: passed over")),
                }
            }
            let write = !text.to_lowercase().starts_with("read");
            for name in found {
                match name.parse() {
                    Ok(glob) => {
                        let file = FileUse { glob, write };
                        if !files.contains(&file) {
                            files.push(file);
                        }
                    }
                    Err(error) => self.doubt(line, format!("{error}: passed over")),
                }
            }
        }
        files
    }

    /// The tasks before `at` that `text` names, by their ids or the first words of their titles.
    fn named(&self, text: &str, at: usize) -> Vec<usize> {
        let said = words(text);
        (0..self.collected.drafts.len())
            .filter(|other| *other != at)
            .filter(|other| {
                let title = words(&self.collected.drafts[*other].title);
                let short = title.get(..2).unwrap_or(&title);
                names(&said, &title) || (short.len() == 2 && names(&said, short))
            })
            .collect()
    }

    fn depends_on(&mut self, at: usize) -> Vec<PlanTaskId> {
        let draft = &self.collected.drafts[at];
        let mut places: Vec<usize> = Vec::new();
        if draft.in_sequence {
            let before = (0..at).rev().find(|other| {
                let other = &self.collected.drafts[*other];
                other.phase == draft.phase && other.source == draft.source
            });
            places.extend(before);
        }
        if draft.source == Source::Join {
            let parts = (0..at).filter(|other| {
                let other = &self.collected.drafts[*other];
                other.phase == draft.phase && other.source == Source::Part
            });
            places.extend(parts);
        }
        let said: Vec<(String, usize)> =
            draft.depends.iter().chain(&draft.blockers).cloned().collect();
        for (text, line) in said {
            places.extend(self.said_dependency(&text, line, at));
        }
        places.dedup();
        places.into_iter().map(|place| self.ids[place].clone()).collect()
    }

    /// The tasks that one sentence makes a task wait for.
    fn said_dependency(&mut self, text: &str, line: usize, at: usize) -> Vec<usize> {
        let words = words(text);
        if words.first().is_none_or(|word| matches!(word.as_str(), "none" | "no" | "nothing")) {
            if words.iter().any(|word| word == "if") {
                self.doubt(line, format!("`{text}`: taken for none"));
            }
            return Vec::new();
        }
        let named = self.named(text, at);
        let soft = ["mock", "optional", "optionally", "stub"];
        if words.iter().any(|word| soft.contains(&word.as_str())) {
            let names: Vec<&str> = named.iter().map(|it| self.ids[*it].as_str()).collect();
            let of =
                if names.is_empty() { String::new() } else { format!(" on {}", names.join(", ")) };
            self.doubt(line, format!("`{text}`: can be done without, so it is no dependency{of}"));
            return Vec::new();
        }
        if named.is_empty() {
            self.doubt(line, format!("`{text}` names no task of the plan: passed over"));
        }
        named
    }

    /// What a part stands for: the tasks of its phase that the way to split, or a part, names.
    fn split_of(&mut self, at: usize) -> Vec<PlanTaskId> {
        let draft = &self.collected.drafts[at];
        let (Source::Part | Source::Join, Some(phase)) = (draft.source, draft.phase) else {
            return Vec::new();
        };
        let Some((split, line)) = self.collected.phases[phase].split.clone() else {
            return Vec::new();
        };
        let drafts = &self.collected.drafts;
        let of_phase = |source: Source| {
            let is_it = move |other: &usize| {
                drafts[*other].phase == Some(phase) && drafts[*other].source == source
            };
            (0..drafts.len()).filter(is_it)
        };
        let parts = of_phase(Source::Part).map(|it| drafts[it].title.clone());
        let said: Vec<Vec<String>> = parts.chain([split]).map(|text| words(&text)).collect();
        let is_named = |other: &usize| {
            let title = words(&drafts[*other].title);
            let short = title.get(..2).unwrap_or(&title);
            said.iter().any(|said| names(said, short))
        };
        let whole: Vec<PlanTaskId> =
            of_phase(Source::Item).filter(is_named).map(|it| self.ids[it].clone()).collect();
        let list: Vec<&str> = whole.iter().map(PlanTaskId::as_str).collect();
        let message = match list.as_slice() {
            [] => "a way to split that names no task: its parts are tasks of their own".to_owned(),
            list => {
                format!("the parts are taken to stand for {}, which they name", list.join(" and "))
            }
        };
        self.doubt(line, message);
        whole
    }

    /// The branch that the document makes for a task, or one like those that it makes for others.
    fn branch(&mut self, at: usize) -> Option<String> {
        let (first, line) = self.collected.branches.first()?.clone();
        let title = words(&self.collected.drafts[at].title);
        let own = self.collected.branches.iter().find(|(branch, _)| {
            let name = branch.rsplit('/').next().unwrap_or(branch);
            hints_at(&title, &words(name))
        });
        if let Some((branch, _)) = own {
            return Some(branch.clone());
        }
        self.doubt(line, "tasks that no branch is named for get one of the same kind".to_owned());
        let kind = first.rsplit_once('/').map_or("feature", |(kind, _)| kind);
        Some(format!("{kind}/{}", self.ids[at]))
    }

    fn phases(&mut self, tasks: &[PlanTask]) -> Vec<Phase> {
        let mut phases = Vec::new();
        let summed: Vec<String> =
            self.collected.summed.iter().map(|(mark, _)| mark.clone()).collect();
        for at in 0..self.collected.phases.len() {
            let draft = &self.collected.phases[at];
            let (Some(name), line) = (name_of(draft), draft.line()) else { continue };
            let (title, mark) = (draft.title.clone(), draft.mark.clone());
            let of_phase = || tasks.iter().filter(|task| task.phase.as_ref() == Some(&name));
            if of_phase().next().is_none() {
                self.doubt(line, format!("phase {mark} has no task that was understood: left out"));
                continue;
            }
            let by_people = of_phase().all(|task| task.owner == Owner::Human);
            let preparation = by_people && !summed.is_empty() && !summed.contains(&mark);
            if preparation {
                self.doubt(line, format!("phase {mark} is a person's and no sum of times counts it: taken for a preparation"));
            }
            if draft_is_chain(&self.collected, at) {
                self.doubt(line, format!("the tasks of phase {mark} are taken to follow each other, as it says that they are sequential"));
            }
            phases.push(Phase { name, title, preparation });
        }
        phases
    }

    /// As many agents as the document numbers.
    fn pools(&mut self) -> Vec<Pool> {
        let said: Vec<(String, usize)> = self
            .collected
            .drafts
            .iter()
            .filter_map(|draft| draft.agent.clone().map(|agent| (agent, draft.line)))
            .collect();
        let number = |text: &String| {
            let words = words(text);
            let at = words.iter().position(|word| word == "agent")?;
            words.get(at + 1)?.parse::<u32>().ok()
        };
        let count = said.iter().filter_map(|(text, _)| number(text)).max().unwrap_or(0);
        if let Some((_, line)) = said.iter().find(|(text, _)| number(text).is_some()) {
            self.doubt(
                *line,
                "programs of agents are not taken over: name fleets of your config with `fleet`"
                    .to_owned(),
            );
        }
        let pool = (1..=10_000).contains(&count).then(|| Pool { count, ..Pool::default() });
        pool.into_iter().collect()
    }

    /// What a person should compare with the analysis.
    fn claims(&mut self) {
        let lines: Vec<usize> = self
            .collected
            .phases
            .iter()
            .filter_map(|phase| phase.split.as_ref())
            .map(|it| it.1)
            .collect();
        for line in lines {
            self.doubt(line, "what the split is said to save is not taken over: `hostler plan analyze` says what it does".to_owned());
        }
    }
}

fn name_of(phase: &DraftPhase) -> Option<PhaseName> {
    format!("phase-{}", phase.mark.to_lowercase()).parse().ok()
}

/// Whether the rows of a phase follow each other because the phase says so.
fn draft_is_chain(collected: &Collected, phase: usize) -> bool {
    collected
        .drafts
        .iter()
        .any(|draft| draft.phase == Some(phase) && draft.in_sequence && draft.source == Source::Row)
}

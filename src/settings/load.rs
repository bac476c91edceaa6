//! From sources to settings.

use config::{Map, Value};

use super::{
    Settings, check,
    context::Context,
    database, fleets, history, host, http, layers, limits, log, places,
    problem::{Origin, Problem, Problems},
    queues,
    reader::Section,
    schedules,
    sources::Sources,
    tasks, webhook, webhooks, workspaces,
};

/// Reads, merges and checks every source. Finds every problem, not the first alone.
///
/// # Errors
///
/// Everything that is wrong, each with its place, its field and what to do.
pub fn load(sources: &Sources) -> Result<Settings, Problems> {
    let (context, root) = Context::new(sources, layers::merge(sources));
    let settings = read(&context, &root);
    let (found, provenance) = context.into_findings();
    match (Problems::of(found), settings) {
        (None, Some(settings)) => Ok(Settings { provenance, ..settings }),
        (Some(problems), _) => Err(problems),
        (None, None) => Err(nameless()),
    }
}

/// What is said when a field could not be read and nothing says why: a defect of this program.
fn nameless() -> Problems {
    Problems::one(Problem {
        origin: Origin::BuiltIn,
        field: String::new(),
        message:
            "the settings cannot be read, and this program does not know why: please report it"
                .to_owned(),
    })
}

fn read(context: &Context<'_>, root: &Map<String, Value>) -> Option<Settings> {
    let all = Section::new(context, String::new(), root);
    let host = all.section("host").and_then(|section| host::read(&section));
    let database = all.section("database").and_then(|section| database::read(&section));
    let http = all.section("http").and_then(|section| http::read(&section));
    let log = all.section("log").and_then(|section| log::read(&section));
    let tasks = all.section("tasks").and_then(|section| tasks::read(&section));
    check::input_fits_body(&all, tasks.as_ref(), http.as_ref());
    let limits = all.section("limits").and_then(|section| limits::all(&section));
    let history = all.section("history").and_then(|section| history::read(&section));
    let workspaces = all.section("workspaces").and_then(|section| workspaces::read(&section));
    let deliveries = all.section("deliveries").and_then(|section| webhooks::read(&section));
    let webhooks = webhooks::endpoints(context, root);
    let (mut fleets, complete) = fleets::read(context, root);
    let roots = host.as_ref().map(|host| host.roots.as_slice()).unwrap_or_default();
    places::settle(context, root, roots, &mut fleets);
    let queues = queues::read(context, root, &fleets, complete);
    let schedules = schedules::read(context, root, &queues, complete);
    let of_fleets = complete.then_some(&*fleets);
    let webhook = all.section("webhook").and_then(|section| webhook::read(&section, of_fleets));
    let github = webhook::rules(context, root, &queues, complete);
    Some(Settings {
        host: host?,
        database: database?,
        http: http?,
        log: log?,
        tasks: tasks?,
        limits: limits?,
        history: history?,
        workspaces: workspaces?,
        deliveries: deliveries?,
        webhooks,
        webhook: webhook?,
        github,
        queues,
        schedules,
        fleets,
        provenance: std::collections::BTreeMap::new(),
    })
}

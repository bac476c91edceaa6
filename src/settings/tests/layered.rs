//! Which source wins, and where relative paths begin.

use super::*;
use crate::domain::{fleet::StopSignal, restart::When, retry::Growth};

const FLEET: &str = "[fleets.a]\nprotocol = \"worker\"\ncommand = [\"agent\"]\n";

#[test]
fn later_sources_win_field_by_field() {
    let mut world =
        World::with("[host]\nlease = \"10s\"\nname = \"one\"\n[tasks]\nmax_attempts = 7");
    world.file("two.toml", "[host]\nname = \"two\"\ndrain_grace = \"1s\"");
    let world = world.env("HOSTLER__HOST__DRAIN_GRACE", "2s").env("HOSTLER__TASKS__POLL", "3s");
    let world = world.flag("tasks.poll", "4s").flag("http.bind", "off").env("HOSTLER_AGENT", "no");
    let settings = world.settings();
    assert_eq!(settings.host.lease, Duration::from_secs(10));
    assert_eq!(settings.host.name, "two");
    assert_eq!(settings.host.drain_grace, Duration::from_secs(2));
    assert_eq!(settings.tasks.poll, Duration::from_secs(4));
    assert_eq!(settings.tasks.max_attempts, 7);
    assert_eq!(settings.http.bind, None);
    let told = |field: &str| settings.provenance[field].to_string();
    assert_eq!(told("host.lease"), "hostler.toml:2");
    assert_eq!(told("host.drain_grace"), "HOSTLER__HOST__DRAIN_GRACE");
    assert_eq!(told("tasks.poll"), "flag tasks.poll");
    assert_eq!(told("http.max_wait"), "built in");
}

#[test]
fn variables_are_toml_where_they_are_and_text_where_text_is_wanted() {
    let world = World::with(FLEET)
        .env("HOSTLER__HTTP__API_KEY", "1234567890123456")
        .env("HOSTLER__FLEETS__A__QUEUES", "[\"x\", \"y\"]")
        .env("HOSTLER__FLEETS__A__COUNT", "3")
        .env("HOSTLER__FLEETS__A__ENV__MixedCase", "8")
        .env("HOSTLER__FLEETS__A__RESTART", "{ when = \"never\" }")
        .env("HOSTLER__FLEETS__B", "{ protocol = \"service\", command = [\"agent\"] }")
        .flag("log.components", "{ queue = \"trace\" }")
        .flag("fleets.\"c.d\".protocol", "exec")
        .flag("fleets.\"c.d\".command", "[\"agent\"]");
    let settings = world.settings();
    assert_eq!(settings.http.api_key.unwrap().reveal(), "1234567890123456");
    let [a, b, c] = settings.fleets.as_slice() else { panic!("three fleets") };
    assert_eq!((a.count, a.restart.when, a.restart.max_restarts), (3, When::Never, 10));
    assert_eq!(a.env["MixedCase"], "8");
    assert_eq!(a.queues.iter().map(QueueName::as_str).collect::<Vec<_>>(), ["x", "y"]);
    assert!(b.queues.is_empty(), "a service has none, whatever the defaults say");
    assert_eq!(c.name.as_str(), "c.d");
    assert_eq!(settings.log.components["queue"], slog::Level::Trace);
    assert_eq!(settings.queues.len(), 3);
}

#[test]
fn queues_say_what_differs_from_the_retries_of_all_tasks() {
    let world = World::with(&format!(
        "{FLEET}queues = [\"plain\", \"slow\"]
[tasks]
max_attempts = 4
retry = {{ backoff_min = \"2s\", never_on = [\"task:17\"] }}
[queue_defaults]
timeout = \"1h\"
[queues.slow]
timeout = \"2h\"
max_attempts = 9
retry = {{ kind = \"fixed\", backoff_min = \"10m\", jitter = 0, retry_on = [\"exit:3\"] }}"
    ));
    let terms = world.settings().queue_terms();
    let (plain, slow) = (terms.of(&"plain".parse().unwrap()), terms.of(&"slow".parse().unwrap()));
    let hour = Duration::from_secs(3600);
    assert_eq!((plain.timeout, plain.max_attempts), (Some(hour), 4));
    assert_eq!(plain.retry.kind, Growth::Exponential);
    assert_eq!((plain.retry.backoff_min.as_secs(), plain.retry.jitter), (2, 0.5));
    assert_eq!((slow.timeout, slow.max_attempts), (Some(hour * 2), 9));
    assert_eq!((slow.retry.kind, slow.retry.jitter), (Growth::Fixed, 0.0));
    assert_eq!((slow.retry.backoff_min, slow.retry.backoff_max), (hour / 6, hour / 6));
    assert_eq!(slow.retry.retry_on, ["exit:3".parse().unwrap()]);
    assert_eq!(slow.retry.never_on, ["task:17".parse().unwrap()]);
    assert_eq!(terms.fallback.timeout, None, "of a queue that this host does not know");
}

#[test]
fn fleets_take_what_they_do_not_say_from_the_defaults() {
    let world = World::with(&format!(
        "{FLEET}env = {{ B = \"2\" }}\nstop_signal = \"SIGINT\"\n[queues.default]\ndescription = \"d\"\n[fleet_defaults]\ncount = 5\nenv = {{ A = \"1\" }}\ntask_timeout = \"off\"\n[queue_defaults]\npaused = true"
    ));
    let settings = world.settings();
    let fleet = &settings.fleets[0];
    assert_eq!((fleet.count, fleet.task_timeout), (5, None));
    assert_eq!(fleet.stop_signal, StopSignal::Sigint);
    assert_eq!(fleet.env.keys().collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!(fleet.heartbeat.stale_after, Some(Duration::from_secs(300)));
    let queue = &settings.queues[&fleet.queues[0]];
    assert!(queue.paused && queue.description == "d");
}

#[test]
fn relative_paths_begin_where_they_are_written() {
    let mut world = World::empty();
    world.write("conf/tools/run", "");
    let run = world.path().join("conf/tools/run");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    world.file(
        "conf/main.toml",
        "[host]\ndata_dir = \"data\"\n[fleets.a]\nprotocol = \"worker\"\ncommand = [\"tools/run\", \"x/y\"]",
    );
    world.write("url", "postgres://h/db");
    let world = world.env("HOSTLER__DATABASE__URL_FILE", "url");
    let settings = world.settings();
    let conf = world.path().join("conf");
    assert_eq!(settings.host.data_dir, conf.join("data"));
    assert_eq!(settings.fleets[0].cwd, conf);
    assert_eq!(settings.fleets[0].command, [run.to_str().unwrap(), "x/y"]);
    assert_eq!(settings.database.url.unwrap().reveal(), "postgres://h/db");
}

#[test]
fn of_a_secret_and_its_file_the_later_source_counts() {
    let mut world = World::with("[database]\nurl_file = \"url\"");
    world.write("url", "postgres://file/db\n");
    assert_eq!(world.settings().database.url.unwrap().reveal(), "postgres://file/db");
    world = world.env("HOSTLER__DATABASE__URL", "postgres://env/db");
    assert_eq!(world.settings().database.url.unwrap().reveal(), "postgres://env/db");
    world = world.flag("database.url_file", "url");
    assert_eq!(world.settings().database.url.unwrap().reveal(), "postgres://file/db");
}

#[test]
fn the_path_of_a_fleet_is_searched_before_the_hosts() {
    let world = World::with(&format!("{FLEET}env = {{ PATH = \"own\" }}"));
    let path = world.write("own/agent", "");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(world.settings().fleets[0].command, [path.to_str().unwrap()]);
}

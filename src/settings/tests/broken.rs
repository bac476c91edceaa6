//! Broken configs, and exactly what is said about each.

use proptest::prelude::*;

use super::*;

/// The config, and its problems.
const TABLE: &[(&str, &str)] = &[
    (
        "[history]\ncompleted = \"5s\"",
        "hostler.toml:2: history.completed: must be 1m to 100years, got 5s",
    ),
    (
        "[history]\ndead_letters = \"never\"",
        "hostler.toml:2: history.dead_letters: `never` is not a duration: write whole numbers with units, such as \"30s\", \"5m\" or \"1h 30m\", or \"forever\"",
    ),
    ("[http]\nbnd = \"1\"", "hostler.toml:2: http.bnd: unknown key; did you mean `bind`?"),
    (
        "colour = true",
        "hostler.toml:1: colour: unknown key; the keys here are `database`, `deliveries`, `fleet_defaults`, `fleets`, `github`, `github_defaults`, `history`, `host`, `http`, `limits`, `log`, `queue_defaults`, `queues`, `schedule_defaults`, `schedules`, `tasks`, `webhook`, `webhook_defaults`, `webhooks`, `workspaces`",
    ),
    ("[fleet.a]", "hostler.toml:1: fleet: unknown key; did you mean `fleets`?"),
    ("http = 3", "hostler.toml:1: http: must be a table: write `[http]` and its keys below"),
    ("fleets = []", "hostler.toml:1: fleets: must be a table: write `[fleets.NAME]`"),
    ("[fleets]\na = 1", "hostler.toml:2: fleets.a: must be a table: write `[fleets.NAME]`"),
    (
        "[host]\n\nlease = 30",
        "hostler.toml:3: host.lease: a duration needs a unit: write \"30s\" or \"30m\" instead of 30",
    ),
    (
        "[host]\nlease = \"30\"",
        "hostler.toml:2: host.lease: a duration needs a unit: write \"30s\" or \"30m\" instead of 30",
    ),
    (
        "[host]\nlease = \"30 parsecs\"",
        "hostler.toml:2: host.lease: `30 parsecs` is not a duration: write whole numbers with units, such as \"30s\", \"5m\" or \"1h 30m\"",
    ),
    (
        "[host]\nlease = true",
        "hostler.toml:2: host.lease: must be a duration such as \"30s\", got true",
    ),
    ("[host]\nlease = \"10ms\"", "hostler.toml:2: host.lease: must be 1s to 1h, got 10ms"),
    ("[host]\nname = 5", "hostler.toml:2: host.name: must be a text in quotes, got a whole number"),
    (
        "[http]\nmax_body = 5",
        "hostler.toml:2: http.max_body: a size needs a unit: write \"5B\" or \"5MiB\" instead of 5",
    ),
    (
        "[http]\nmax_body = \"5 lots\"",
        "hostler.toml:2: http.max_body: `5 lots` is not a size: write a whole number with a unit, such as \"64KiB\", \"10MB\" or \"1GiB\"",
    ),
    (
        "[tasks.retry]\njitter = 2",
        "hostler.toml:2: tasks.retry.jitter: must be a number from 0 to 1, got 2",
    ),
    (
        "[queue_defaults]\nretry = { backoff_min = \"2m\", backoff_max = \"1m\" }",
        "hostler.toml:2: queue_defaults.retry.backoff_max: is 1m, less than backoff_min (2m): raise it",
    ),
    (
        "[tasks.retry]\nnever_on = [\"exit\", \"exit:many\"]",
        "hostler.toml:2: tasks.retry.never_on[1]: `exit:many` is no kind of failure: write a class (exit, task, timeout, stale, spawn, protocol, internal or memory), or one with a code, as `exit:3` or `task:17`",
    ),
    (
        "[schedule_defaults]\ncron = \"0 25 * * *\"",
        "hostler.toml:2: schedule_defaults.cron: `0 25 * * *` is no cron expression: hour `25`: `25` is not 0 to 23",
    ),
    (
        "[schedule_defaults]\nzone = \"Mars\"",
        "hostler.toml:2: schedule_defaults.zone: `Mars` is no time zone: write a name of the IANA database, as in `Europe/Berlin`, or `UTC`",
    ),
    (
        "[schedule_defaults]\novrlap = \"skip\"",
        "hostler.toml:2: schedule_defaults.ovrlap: unknown key; did you mean `overlap`?",
    ),
    (
        "[schedules.a]\nevery = \"1h\"",
        "hostler.toml:1: schedules.a.queue: no fleet serves the queue `default`: put it into the `queues` of a fleet",
    ),
    (
        "[schedules.a]\nevery = \"1h\"\ncron = \"@daily\"",
        "hostler.toml:1: schedules.a.queue: no fleet serves the queue `default`: put it into the `queues` of a fleet\nhostler.toml:2: schedules.a.every: give either `cron` or `every`",
    ),
    ("[http]\nmax_body = \"1B\"", "hostler.toml:2: http.max_body: must be 1KiB to 1GiB, got 1B"),
    (
        "[http]\nbind = \"localhost\"",
        "hostler.toml:2: http.bind: `localhost` is not an address: write an IP address and a port, such as \"127.0.0.1:7117\", or \"off\"",
    ),
    (
        "[http]\napi_key = \"hunter2\"",
        "hostler.toml:2: http.api_key: must have at least 16 characters, got 7: make one with `openssl rand -hex 32`",
    ),
    (
        "[http]\napi_key = 1234567890123456",
        "hostler.toml:2: http.api_key: must be a text in quotes, got a whole number",
    ),
    (
        "[http]\napi_key = \"with a space in it\"",
        "hostler.toml:2: http.api_key: must be letters, digits and signs of ASCII without spaces: it is sent in a header",
    ),
    (
        "[http]\napi_key = \"0123456789abcdef\"\napi_key_file = \"key\"",
        "hostler.toml:2: http.api_key: contradicts `api_key_file`, which is set too: remove one of them",
    ),
    (
        "[http]\napi_key_file = \"none\"",
        "hostler.toml:2: http.api_key_file: DIR/none cannot be read (No such file or directory (os error 2)): check the path",
    ),
    (
        "[database]\nurl = \"mysql://u:hunter2@h\"",
        "hostler.toml:2: database.url: is not a Postgres URL: write postgres://USER:PASSWORD@HOST:PORT/DATABASE",
    ),
    (
        "[database]\npool_size = \"8\"",
        "hostler.toml:2: database.pool_size: must be a whole number, 1 to 500, got \"8\"",
    ),
    (
        "[database.embedded]\nbin_dir = \"none\"",
        "hostler.toml:2: database.embedded.bin_dir: DIR/none is not a directory: name the one that has `initdb`",
    ),
    (
        "[log]\nlevel = \"warnin\"",
        "hostler.toml:2: log.level: must be one of `critical`, `error`, `warning`, `info`, `debug`, `trace`, got \"warnin\"; did you mean `warning`?",
    ),
    (
        "[log.components]\nqeue = \"debug\"",
        "hostler.toml:2: log.components.qeue: unknown component; did you mean `queue`?",
    ),
    (
        "[tasks]\nmax_input = \"70MiB\"",
        "hostler.toml:2: tasks.max_input: is 70MiB, but must be less than http.max_body (64MiB)",
    ),
    (
        "[tasks.retry]\nbackoff_min = \"1h\"",
        "hostler.toml:2: tasks.retry.backoff_min: is 1h, more than backoff_max (5m): lower it",
    ),
    (
        "[queues.lonely]\npaused = true",
        "hostler.toml:1: queues.lonely: no fleet serves this queue: put \"lonely\" into the `queues` of a fleet, or remove the table",
    ),
    (
        "[queue_defaults]\npaused = \"no\"",
        "hostler.toml:2: queue_defaults.paused: must be true or false, got \"no\"",
    ),
    (
        "[queue_defaults]\nrate = \"60\"",
        "hostler.toml:2: queue_defaults.rate: `60` is not a rate: write how many may begin within which time, as \"60/1m\"",
    ),
    (
        "[limits]\nconcurrency = -1",
        "hostler.toml:2: limits.concurrency: must be 0 to 1000000, got -1",
    ),
    (
        "[limits.keys.\"account:*\"]\nconcurency = 1",
        "hostler.toml:2: limits.keys.\"account:*\".concurency: unknown key; the keys here are `concurrency`, `rate`",
    ),
    ("[limits.keys]\na = 1", "hostler.toml:2: limits.keys.a: must be a table"),
    ("[http]\nmax_wait = \"1s\"\n[http]", "hostler.toml:3: is not TOML: duplicate key"),
    ("a = \"", "hostler.toml:1: is not TOML: invalid basic string, expected `\"`"),
];

/// What stands in `[fleets.a]`, below its protocol and command, and its problems.
const FLEETS: &[(&str, &str)] = &[
    ("count = 0", "hostler.toml:4: fleets.a.count: must be 1 to 1000, got 0"),
    ("count = 1001", "hostler.toml:4: fleets.a.count: must be 1 to 1000, got 1001"),
    ("count = 99999999999", "hostler.toml:4: fleets.a.count: must be 1 to 1000, got 99999999999"),
    (
        "queues = []",
        "hostler.toml:4: fleets.a.queues: is empty: name a queue, or make the fleet a service",
    ),
    (
        "queues = [\"x\",\n\"x\"]",
        "hostler.toml:5: fleets.a.queues[1]: \"x\" is named twice: remove one of them",
    ),
    ("queues = [1]", "hostler.toml:4: fleets.a.queues[0]: must be a text in quotes, got 1"),
    (
        "queues = \"x\"",
        "hostler.toml:4: fleets.a.queues: must be a list such as [\"a\", \"b\"], got \"x\"",
    ),
    (
        "cwd = \"none\"",
        "hostler.toml:4: fleets.a.cwd: DIR/none is not a directory: make it, or name another",
    ),
    (
        "env = { \"A=B\" = \"1\" }",
        "hostler.toml:4: fleets.a.env.\"A=B\": is not the name of a variable: it must not be empty and hold no `=` or NUL",
    ),
    (
        "env = { HOSTLER_URL = \"x\" }",
        "hostler.toml:4: fleets.a.env.HOSTLER_URL: names that begin with HOSTLER_ are the host's own: choose another",
    ),
    (
        "user = \"nobody-of-that-name\"",
        "hostler.toml:4: fleets.a.user: there is no user `nobody-of-that-name`: make it, or name another",
    ),
    (
        "stdin = \"null\"",
        "hostler.toml:4: fleets.a.stdin: means something only for an exec fleet, and this is a worker: remove it",
    ),
    (
        "restart = { when = \"on-failure\" }",
        "hostler.toml:4: fleets.a.restart.when: must be one of `always`, `on_failure`, `never`, got \"on-failure\"; did you mean `on_failure`?",
    ),
    (
        "restart = { backoff_min = \"1m\" }",
        "hostler.toml:4: fleets.a.restart.backoff_min: is 1m, more than backoff_max (30s): lower it",
    ),
    (
        "[fleets.a.restart]\nbackoff_max = \"1ms\"",
        "hostler.toml:5: fleets.a.restart.backoff_max: is 1ms, less than backoff_min (200ms): raise it",
    ),
    (
        "heartbeat.stale_after = \"10s\"",
        "hostler.toml:4: fleets.a.heartbeat.stale_after: is 10s, but must be more than every (10s)",
    ),
    (
        "heartbeat.every = \"5m\"",
        "hostler.toml:4: fleets.a.heartbeat.every: is 5m, but must be less than stale_after (5m)",
    ),
    (
        "limits.cpu = \"1500ms\"",
        "hostler.toml:4: fleets.a.limits.cpu: must be whole seconds: the kernel counts no finer",
    ),
    (
        "limits.open_files = 1",
        "hostler.toml:4: fleets.a.limits.open_files: must be 8 to 1000000000, got 1",
    ),
    (
        "stop_signal = \"SIGKILL\"",
        "hostler.toml:4: fleets.a.stop_signal: must be one of `SIGTERM`, `SIGINT`, `SIGHUP`, `SIGQUIT`, got \"SIGKILL\"",
    ),
    (
        "task_timeot = \"1h\"",
        "hostler.toml:4: fleets.a.task_timeot: unknown key; did you mean `task_timeout`?",
    ),
];

/// Whole fleets, and their problems.
const COMMANDS: &[(&str, &str)] = &[
    (
        "[fleets.a]\ncommand = [\"agent\"]",
        "hostler.toml:1: fleets.a.protocol: is missing: write \"exec\", \"worker\" or \"service\"",
    ),
    (
        "[fleets.a]\nprotocol = \"exce\"\ncommand = [\"agent\"]",
        "hostler.toml:2: fleets.a.protocol: must be one of `exec`, `worker`, `service`, got \"exce\"; did you mean `exec`?",
    ),
    (
        "[fleets.a]\nprotocol = \"exec\"",
        "hostler.toml:1: fleets.a.command: is missing: name a program, such as [\"python3\", \"worker.py\"]",
    ),
    (
        "[fleets.a]\nprotocol = \"exec\"\ncommand = [\"none\"]",
        "hostler.toml:3: fleets.a.command[0]: `none` is not a program in PATH: install it, or write its path (./none is next to this file)",
    ),
    (
        "[fleets.a]\nprotocol = \"exec\"\ncommand = [\"./none\"]",
        "hostler.toml:3: fleets.a.command[0]: DIR/./none is not there: check the path",
    ),
    (
        "[fleets.a]\nprotocol = \"exec\"\ncommand = [\"./hostler.toml\"]",
        "hostler.toml:3: fleets.a.command[0]: DIR/./hostler.toml may not be executed: run `chmod +x` on it",
    ),
    (
        "[fleets.a]\nprotocol = \"exec\"\ncommand = [\"./bin\"]",
        "hostler.toml:3: fleets.a.command[0]: DIR/./bin is not a file: name a program",
    ),
    (
        "[fleets.a]\nprotocol = \"exec\"\ncommand = [\"{{ input.tool }}\"]",
        "hostler.toml:3: fleets.a.command[0]: must not be a template: name the program, and put templates into the words after it",
    ),
    (
        "[fleets.a]\nprotocol = \"exec\"\ncommand = [\"agent\", \"{{ oops\"]",
        "hostler.toml:3: fleets.a.command: `{{ oops` is not a template: close it with `}}`",
    ),
    (
        "[fleets.a]\nprotocol = \"service\"\ncommand = [\"agent\"]\nqueues = [\"x\"]",
        "hostler.toml:4: fleets.a.queues: a service takes no tasks: remove it, or choose another protocol",
    ),
    (
        "[fleets.a-1]\nprotocol = \"exec\"\ncommand = [\"agent\"]",
        "hostler.toml:1: fleets.a-1: looks like the name of an agent: do not end it in `-` and a number",
    ),
    (
        "[fleets.A]\nprotocol = \"exec\"\ncommand = [\"agent\"]",
        "hostler.toml:1: fleets.A: `A` can not be the name of a fleet: use 1 to 63 characters, a to z, 0 to 9, `_`, `.` and `-`, and begin with a letter or a digit",
    ),
    (
        "[fleets.a]\nprotocol = \"exec\"\ncommand = [\"agent\"]\n[fleets.a]",
        "hostler.toml:4: is not TOML: duplicate key",
    ),
    (
        "[fleet_defaults]\ncount = 0\n[fleets.a]\nprotocol = \"exec\"\ncommand = [\"agent\"]\n[fleets.b]\nprotocol = \"exec\"\ncommand = [\"agent\"]",
        "hostler.toml:2: fleet_defaults.count: must be 1 to 1000, got 0",
    ),
];

#[test]
fn each_broken_config_is_answered_exactly() {
    let in_fleet =
        |toml: &str| format!("[fleets.a]\nprotocol = \"worker\"\ncommand = [\"agent\"]\n{toml}");
    let rows = TABLE.iter().chain(COMMANDS).map(|(toml, said)| ((*toml).to_owned(), *said));
    let rows = rows.chain(FLEETS.iter().map(|(toml, said)| (in_fleet(toml), *said)));
    let mut wrong = String::new();
    for (toml, said) in rows {
        let got = World::with(&toml).problems();
        if got != said {
            wrong += &format!("\n{toml}\n    want {said}\n    got  {got}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_problem_of_every_source_is_told_at_once_in_order() {
    let mut world = World::with("[host]\nlease = 1\n[http]\nbnd = 1\n[fleets.a]\ncount = 0");
    world.file("more.toml", "[log]\nlevel = 1");
    world.sources.files.push(PathBuf::from("gone.toml"));
    let world = world
        .env("HOSTLER__TASKS__POLL", "5")
        .env("HOSTLER__HTPP__BIND", "off")
        .env("HOSTLER__A____B", "1")
        .flag("tasks.max_batch", "many")
        .flag("a..b", "1");
    let expected = [
        "hostler.toml:2: host.lease: a duration needs a unit: write \"1s\" or \"1m\" instead of 1",
        "hostler.toml:4: http.bnd: unknown key; did you mean `bind`?",
        "hostler.toml:5: fleets.a.command: is missing: name a program, such as [\"python3\", \"worker.py\"]",
        "hostler.toml:5: fleets.a.protocol: is missing: write \"exec\", \"worker\" or \"service\"",
        "hostler.toml:6: fleets.a.count: must be 1 to 1000, got 0",
        "more.toml:2: log.level: must be one of `critical`, `error`, `warning`, `info`, `debug`, `trace`, got 1",
        "gone.toml: cannot be read (No such file or directory (os error 2)): check the path and its mode",
        "HOSTLER__A____B: a.\"\".b: is not the name of a field: write SECTION__FIELD, with two underlines for a dot",
        "HOSTLER__HTPP__BIND: htpp: unknown key; did you mean `http`?",
        "HOSTLER__TASKS__POLL: tasks.poll: a duration needs a unit: write \"5s\" or \"5m\" instead of 5",
        "flag a..b: is not the name of a field: write it as `section.field`",
        "flag tasks.max_batch: tasks.max_batch: must be a whole number, 1 to 1000000, got \"many\"",
    ];
    assert_eq!(world.problems(), expected.join("\n"));
}

#[test]
fn no_problem_tells_a_secret() {
    let world = World::with(
        "[database]\nurl = \"hunter2://u:hunter2@h\"\n[http]\napi_key = \"hunter2\"\n[fleets.a]\nenv = { KEY = [\"hunter2\"] }",
    )
    .env("HOSTLER__HTTP__API_KEY", "hunter2");
    let problems = world.problems();
    assert!(problems.lines().count() >= 3 && !problems.contains("hunter2"), "{problems}");
}

#[test]
fn a_file_of_a_secret_is_refused_where_others_may_write_it() {
    let world = World::with("[http]\napi_key_file = \"key\"");
    let key = world.write("key", "0123456789abcdef\n");
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o620);
    let said = "hostler.toml:2: http.api_key_file: DIR/key can be written by others: run `chmod go-w` on it";
    assert_eq!(world.problems(), said);
    mode(0o644);
    assert_eq!(world.settings().http.api_key.unwrap().reveal(), "0123456789abcdef");
    world.write("key", " \n");
    let said = "hostler.toml:2: http.api_key_file: DIR/key is empty: put the secret into it";
    assert_eq!(world.problems(), said);
}

#[test]
fn a_place_for_data_must_be_known() {
    let mut world = World::empty();
    world.sources.machine.data_dir = None;
    let said = "built in: host.data_dir: has no default, because neither HOME nor XDG_DATA_HOME is set: set it";
    assert_eq!(world.problems(), said);
}

/// A piece of TOML that is mostly right, so that what is behind the parser is reached.
fn toml() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "host",
        "http",
        "bind",
        "fleets",
        "a",
        "queues",
        "command",
        "count",
        "env",
        "restart",
        "when",
        "log",
        "components",
        "queue",
        "\"x y\"",
        "\"\"",
        "lease",
        "tasks",
        "retry",
        "limits",
        "é",
    ]);
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        any::<bool>().prop_map(|value| value.to_string()),
        ".{0,12}".prop_map(|text| format!("{text:?}")),
        "[0-9]{1,22} ?[a-zA-Z]{0,4}".prop_map(|text| format!("{text:?}")),
        Just("[\"a\", 1, [], {}]".to_owned()),
        Just("{ a.b = 1, c = \"off\" }".to_owned()),
        Just("2020-01-01".to_owned()),
    ];
    let dotted = || prop::collection::vec(key.clone(), 1..5).prop_map(|keys| keys.join("."));
    let line = prop_oneof![
        dotted().prop_map(|name| format!("[{name}]")),
        dotted().prop_map(|name| format!("[[{name}]]")),
        (dotted(), value).prop_map(|(name, value)| format!("{name} = {value}")),
    ];
    prop::collection::vec(line, 0..4).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_file_makes_it_panic(toml in prop_oneof![toml(), any::<String>()]) {
        if let Err(problems) = load(&World::with(&toml).sources) {
            prop_assert!(problems.as_slice().iter().all(|problem| !problem.message.is_empty()));
            prop_assert!(!problems.to_string().contains("please report it"), "{}", problems);
        }
    }

    #[test]
    fn no_variable_and_no_flag_makes_it_panic(name in "[A-Z_]{0,20}|.{0,8}", text: String) {
        let world = World::empty().env(&format!("HOSTLER__{name}"), &text).flag(&name, &text);
        if let Err(problems) = load(&world.sources) {
            prop_assert!(!problems.to_string().contains("please report it"), "{}", problems);
        }
    }
}

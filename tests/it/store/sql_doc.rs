//! The examples of `docs/SQL.md`, run as they stand by `psql`.
//!
//! A fenced `sql` block whose first line is `-- as ROLE` is an example. The blocks are run in their
//! order in one session, in which psql's variables live on, each under a login that has the role. A
//! `text` block after it is what it prints; ids and times may differ.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use hostler::store::roles as role_rows;

use super::{World, ensure, roles::login};

const DOC: &str = include_str!("../../../docs/SQL.md");
const ROLES: [&str; 3] = ["hostler_submit", "hostler_work", "hostler_admin"];
const MARK: &str = "~~~ next example";

/// One example: who runs it, what, and what it prints, where the page says that.
#[derive(Debug, Default)]
struct Example {
    role: String,
    sql: String,
    printed: Option<String>,
}

fn examples() -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut blocks = DOC.split("\n```").skip(1);
    while let (Some(block), rest) = (blocks.next(), blocks.next()) {
        let (language, body) = block.split_once('\n').unwrap_or((block, ""));
        match (language, body.strip_prefix("-- as ")) {
            ("sql", Some(body)) => {
                let (role, sql) = body.split_once('\n').unwrap();
                found.push(Example { role: role.to_owned(), sql: sql.to_owned(), printed: None });
            }
            // Right after its example: nothing but an empty line stands between.
            ("text", _) => found.last_mut().unwrap().printed = Some(body.to_owned()),
            _ => {}
        }
        assert!(rest.is_some() || blocks.next().is_none(), "a block has no end");
    }
    found
}

/// What is compared: words, without what differs each time.
fn plain(text: &str) -> Vec<String> {
    let word = |word: &str| {
        let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
        match word {
            id if id.len() == 36 && id.chars().all(hex) => "<id>".to_owned(),
            id if id.starts_with("tsk_") => "<id>".to_owned(),
            time if time.contains(':') && time.starts_with(|c: char| c.is_ascii_digit()) => {
                "<time>".to_owned()
            }
            date if date.len() == 10 && date.chars().all(|c| c.is_ascii_digit() || c == '-') => {
                "<date>".to_owned()
            }
            line if line.chars().all(|c| matches!(c, '-' | '+')) => "-".to_owned(),
            other => other.to_owned(),
        }
    };
    text.split_whitespace().map(word).collect()
}

#[tokio::test]
async fn every_example_prints_what_the_page_says() {
    let world = World::new().await;
    ensure(&world.db, "reports").await;
    world.db.batch_execute("CREATE TABLE public.orders (id bigint, buyer text)").await.unwrap();
    world.store.transact(async |db| role_rows::apply(db).await).await.unwrap();
    let database = world.database.config().get_dbname().unwrap().to_owned();
    for role in ROLES {
        login(&world, role).await;
        let grant = format!("GRANT ALL ON public.orders TO {role}");
        world.db.batch_execute(&grant).await.unwrap();
    }
    let examples = examples();
    assert!(examples.len() > 10, "{}", examples.len());
    let mut script = String::from("\\set QUIET on\n\\set ON_ERROR_STOP on\n");
    for example in &examples {
        script += &format!("\\c - {database}_{}\n{}\\echo '{MARK}'\n", example.role, example.sql);
    }
    let printed = psql(&world, &script).await;
    let printed: Vec<&str> = printed.split(MARK).collect();
    assert_eq!(printed.len(), examples.len() + 1);
    for (example, printed) in examples.iter().zip(printed) {
        let said = example.printed.as_deref().unwrap_or_default();
        assert_eq!(plain(printed), plain(said), "{}\nprints\n{printed}", example.sql);
    }
}

async fn psql(world: &World, script: &str) -> String {
    let url = world.database.url();
    let script = script.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut psql = Command::new("psql")
            .args(["-X", "-v", "VERBOSITY=terse", "-f", "-", &url])
            .env("PGTZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql, which comes with Postgres, is on PATH");
        psql.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = psql.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    })
    .await
    .unwrap()
}

/// The page has a section for each function that a role may call, and names each view.
#[tokio::test]
async fn the_page_has_every_function_and_every_view() {
    let world = World::new().await;
    world.store.transact(async |db| role_rows::apply(db).await).await.unwrap();
    let callable = "SELECT DISTINCT proname::text FROM pg_proc
        WHERE pronamespace = 'hostler'::regnamespace AND (
            has_function_privilege('hostler_submit', oid, 'EXECUTE')
            OR has_function_privilege('hostler_work', oid, 'EXECUTE'))";
    for row in world.db.query(callable, &[]).await.unwrap() {
        let name: String = row.get(0);
        assert!(DOC.contains(&format!("\n### `{name}")), "docs/SQL.md lacks {name}");
        let calls = |example: &Example| example.sql.contains(&format!("hostler.{name}("));
        assert!(examples().iter().any(calls), "no example of {name}");
    }
    let views = "SELECT relname::text FROM pg_class
        WHERE relnamespace = 'hostler'::regnamespace AND relkind = 'v'";
    for row in world.db.query(views, &[]).await.unwrap() {
        let name: String = row.get(0);
        let shows = |example: &Example| example.sql.contains(&format!("hostler.{name}"));
        assert!(DOC.contains(&format!("`{name}`")), "docs/SQL.md lacks {name}");
        assert!(examples().iter().any(shows), "no example of {name}");
    }
}

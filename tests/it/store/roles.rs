//! The three roles: what each can do, and what it cannot.

use hostler::{
    domain::TaskId,
    store::{StoreError, hosts, queues as queue_rows, roles, tasks},
};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::{World, agents, new_host, task};

/// A session of somebody who is given `role`, and nothing else.
pub(super) async fn login(world: &World, role: &str) -> Client {
    let name = format!("{}_{role}", world.database.config().get_dbname().unwrap());
    let make = format!("CREATE ROLE {name} LOGIN IN ROLE {role}");
    world.db.batch_execute(&make).await.unwrap();
    let mut config = world.database.config();
    config.user(&name);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn world() -> World {
    let world = World::new().await;
    // Once more changes nothing.
    for _ in 0..2 {
        let apply = world.store.transact(async |db| roles::apply(db).await).await;
        apply.unwrap();
    }
    world
}

async fn refused(client: &Client, statement: &str) {
    let error = client.batch_execute(statement).await.expect_err(statement);
    let code = error.code().expect("the server says it").code();
    assert_eq!(code, "42501", "{statement}: {error:?}");
}

/// What nobody may do who is not trusted with everything.
async fn sees_no_table(world: &World, client: &Client) {
    let relations = "SELECT format('hostler.%I', relname), relkind IN ('r', 'p') FROM pg_class
        WHERE relnamespace = 'hostler'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')";
    let relations = world.db.query(relations, &[]).await.unwrap();
    assert!(relations.len() > 12);
    for row in relations {
        let (name, is_table): (String, bool) = (row.get(0), row.get(1));
        refused(client, &format!("SELECT * FROM {name}")).await;
        if is_table {
            refused(client, &format!("DELETE FROM {name}")).await;
            refused(client, &format!("INSERT INTO {name} DEFAULT VALUES")).await;
        }
    }
    refused(client, "CREATE TABLE hostler.mine (n integer)").await;
    refused(client, "DROP TABLE hostler.tasks").await;
    refused(client, "SELECT hostler.put_back('{}', 'why')").await;
}

#[tokio::test]
async fn who_may_submit_can_do_that_alone() {
    let world = world().await;
    let shop = login(&world, "hostler_submit").await;
    // With every parameter that there is: the grant names them all.
    let call = "SELECT hostler.enqueue('default', 'say', '{}', 1, NULL, '1 s', 2, '3 s', 'k', true,
        stale_after => '4 s')";
    let id: Uuid = shop.query_one(call, &[]).await.unwrap().get(0);
    let many =
        "SELECT * FROM hostler.enqueue_many('[{\"queue\": \"default\", \"kind\": \"say\"}]')";
    shop.query_one(many, &[]).await.unwrap();
    let result = "SELECT state FROM hostler.task_result($1)";
    let row = shop.query_one(result, &[&id]).await.unwrap();
    assert_eq!(row.get::<_, &str>("state"), "scheduled");
    let granted = "SELECT array_agg(has_function_privilege('hostler_submit', oid, 'EXECUTE'))
        FROM pg_proc WHERE pronamespace = 'hostler'::regnamespace AND proname = 'enqueue'";
    let granted: Vec<bool> = world.db.query_one(granted, &[]).await.unwrap().get(0);
    assert_eq!(granted, [true], "there is one, and it may be called");
    sees_no_table(&world, &shop).await;
    refused(&shop, "SELECT hostler.claim_task('bot-1')").await;
    refused(&shop, "SELECT hostler.heartbeat('bot-1')").await;
    refused(&shop, &format!("SELECT hostler.complete_task('{id}', '1', 1)")).await;
    refused(&shop, &format!("SELECT hostler.fail_task('{id}', 'x', 1)")).await;
    refused(&shop, &format!("SELECT hostler.release_task('{id}', 'x', 1)")).await;
}

#[tokio::test]
async fn who_may_work_can_do_that_alone() {
    let world = world().await;
    let ids = world.submit(3).await;
    let bot = login(&world, "hostler_work").await;
    for (id, end) in ids.iter().zip(["complete_task", "fail_task", "release_task"]) {
        let claimed = bot.query_one("SELECT * FROM hostler.claim_task('bot-1')", &[]).await;
        assert_eq!(claimed.unwrap().get::<_, Uuid>("task_id"), *id.as_uuid());
        assert_eq!(
            bot.query("SELECT * FROM hostler.heartbeat('bot-1')", &[]).await.unwrap().len(),
            1
        );
        let end = format!("SELECT hostler.{end}('{}', '1', 1)", id.as_uuid());
        assert!(bot.query_one(&end, &[]).await.unwrap().get::<_, bool>(0), "{end}");
    }
    sees_no_table(&world, &bot).await;
    refused(&bot, "SELECT hostler.enqueue('default', 'say')").await;
    refused(&bot, "SELECT hostler.enqueue_many('[]')").await;
    refused(&bot, "SELECT hostler.task_result(gen_random_uuid())").await;
}

/// The role is enough for a host, as far as its statements go; not for a change of the schema.
#[tokio::test]
async fn an_admin_can_do_what_a_host_does() {
    let world = world().await;
    let admin = login(&world, "hostler_admin").await;
    for view in ["task_overview", "queue_overview", "host_overview", "dead_letters"] {
        admin.query(&format!("SELECT * FROM hostler.{view}"), &[]).await.unwrap();
    }
    refused(&admin, "DROP TABLE hostler.tasks").await;
    refused(&admin, "CREATE TABLE hostler.mine (n integer)").await;

    let mut config = world.database.config();
    config.user(format!("{}_hostler_admin", config.get_dbname().unwrap()));
    let store = crate::support::database::store(config);
    let db = store.client().await.unwrap();
    let host = new_host(Uuid::new_v4(), std::time::Duration::from_secs(60));
    hosts::register(&db, &host).await.unwrap();
    queue_rows::pause(&db, &world.queue, "upkeep", hostler::domain::admission::Until::Resumed)
        .await
        .unwrap();
    queue_rows::resume(&db, &world.queue).await.unwrap();
    tasks::submit(&db, &[task(&world.queue)]).await.unwrap();
    let queues = std::slice::from_ref(&world.queue);
    let given = tasks::claim(&db, host.id, queues, &agents(1), i16::MIN).await.unwrap();
    let ended = super::end(&given[0], hostler::domain::task::TaskEvent::Completed);
    assert_eq!(tasks::settle(&db, host.id, &[ended]).await.unwrap().len(), 1);
    tasks::promote_due(&db).await.unwrap();
    hosts::take_over(&db).await.unwrap();
    let delete = "DELETE FROM hostler.tasks WHERE state = 'completed'";
    assert_eq!(db.execute(delete, &[]).await.unwrap(), 1);
    let enqueue = "SELECT hostler.enqueue('default', 'say')";
    let id = TaskId::from_uuid(db.query_one(enqueue, &[]).await.unwrap().get(0));
    assert!(tasks::get(&db, id).await.unwrap().is_some());
    hosts::retire(&db, host.id).await.unwrap();
    // It is not the owner, and is told so.
    let error = store.transact(async |db| roles::apply(db).await).await.unwrap_err();
    assert!(matches!(error, StoreError::Statement { statement: "roles", .. }), "{error:?}");
}

#[tokio::test]
async fn what_later_migrations_make_is_for_admins() {
    let world = world().await;
    let admin = login(&world, "hostler_admin").await;
    world.db.batch_execute("CREATE TABLE hostler.later (n integer)").await.unwrap();
    admin.query("SELECT * FROM hostler.later", &[]).await.unwrap();
    let shop = login(&world, "hostler_submit").await;
    refused(&shop, "SELECT * FROM hostler.later").await;
}

/// A function that runs with its owner's rights must not be led astray by a `search_path`, and
/// must be nobody's before the roles are made.
#[tokio::test]
async fn what_runs_with_the_owners_rights_is_closed() {
    let world = World::new().await;
    let open = "SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = 'hostler'::regnamespace AND prosecdef AND (
            has_function_privilege('public', oid, 'EXECUTE')
            OR NOT 'search_path=pg_catalog, pg_temp' = ANY (coalesce(proconfig, '{}')))";
    let open = world.db.query(open, &[]).await.unwrap();
    assert!(open.is_empty(), "{:?}", open.iter().map(|row| row.get(0)).collect::<Vec<String>>());
}

#[tokio::test]
async fn everything_in_the_schema_says_what_it_is() {
    let world = World::new().await;
    let silent = "SELECT 'function ' || oid::regprocedure FROM pg_proc
            WHERE pronamespace = 'hostler'::regnamespace
                AND obj_description(oid, 'pg_proc') IS NULL
        UNION ALL SELECT relkind::text || ' ' || relname FROM pg_class
            WHERE relnamespace = 'hostler'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
                AND relname <> 'schema_history' AND obj_description(oid, 'pg_class') IS NULL
        ORDER BY 1";
    let silent = world.db.query(silent, &[]).await.unwrap();
    let silent: Vec<String> = silent.iter().map(|row| row.get(0)).collect();
    assert!(silent.is_empty(), "no COMMENT ON: {silent:#?}");
}

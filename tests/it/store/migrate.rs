//! Migrations: once, by whoever comes first, and not past what this program knows.

use hostler::store::{
    Recovery, StoreError,
    migrate::{self, KNOWN, Report},
};

use crate::support::TestDatabase;

#[tokio::test]
async fn twenty_starters_migrate_once() {
    let database = TestDatabase::empty().await;
    let status = migrate::status(&database.store().await).await.unwrap();
    assert_eq!((status.found, status.known), (0, KNOWN));
    assert_eq!(status.pending.len(), usize::try_from(KNOWN).unwrap());

    let starters = (0..20).map(|_| async {
        let store = database.store().await;
        tokio::spawn(async move { migrate::run(&store).await }).await.unwrap().unwrap()
    });
    let reports = futures_util::future::join_all(starters).await;
    let first: Vec<&Report> = reports.iter().filter(|report| report.from == 0).collect();
    assert_eq!(first.len(), 1, "{reports:?}");
    assert_eq!(first[0].applied, status.pending);
    for report in &reports {
        assert_eq!(report.to, KNOWN);
        assert_eq!(report.applied.is_empty(), report.from == KNOWN);
    }
    let status = migrate::status(&database.store().await).await.unwrap();
    assert_eq!((status.found, status.pending, status.broken_by), (KNOWN, vec![], None));
}

#[tokio::test]
async fn a_newer_schema_is_refused_only_if_it_breaks() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let db = store.client().await.unwrap();
    let add = "INSERT INTO hostler.schema_versions (version, breaking, reason) VALUES ($1, $2, $3)";
    let newer = i32::try_from(KNOWN + 1).unwrap();
    db.execute(add, &[&newer, &false, &None::<&str>]).await.unwrap();
    let report = migrate::run(&store).await.unwrap();
    assert_eq!((report.from, report.to, report.applied), (KNOWN + 1, KNOWN + 1, vec![]));

    db.execute(add, &[&(newer + 1), &true, &Some("tasks have moved")]).await.unwrap();
    db.execute(add, &[&(newer + 2), &false, &None::<&str>]).await.unwrap();
    let error = migrate::run(&store).await.unwrap_err();
    assert!(
        matches!(error, StoreError::SchemaTooNew { found, known: KNOWN, .. } if found == KNOWN + 2),
        "{error:?}"
    );
    assert!(error.to_string().contains("tasks have moved"), "{error}");
    assert_eq!(error.recovery(), Recovery::GiveUp);
    let status = migrate::status(&store).await.unwrap();
    assert_eq!(status.broken_by, Some((KNOWN + 2, "tasks have moved".to_owned())));
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_and_says_why() {
    let database = TestDatabase::empty().await;
    let store = database.store().await;
    let db = store.client().await.unwrap();
    db.batch_execute("CREATE SCHEMA hostler; CREATE TABLE hostler.tasks ()").await.unwrap();
    let error = migrate::run(&store).await.unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
    assert_eq!(error.recovery(), Recovery::GiveUp);
    db.batch_execute("DROP TABLE hostler.tasks").await.unwrap();
    assert_eq!(migrate::run(&store).await.unwrap().from, 0);
}

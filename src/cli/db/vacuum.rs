//! `db vacuum-report`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Told;
use crate::{
    cli::{
        exit::Exit,
        output::{Table, Tone, ago},
    },
    settings::format_size,
    store::{
        Store, StoreError,
        upkeep::{self, Holder, IndexUpkeep, TableUpkeep},
    },
};

/// So many transactions is an old snapshot: that many steps of tasks may have left dead rows.
const OLD: u64 = 10_000;
/// Fewer dead rows than this are nobody's trouble.
const FEW: u64 = 10_000;

/// Everything that is told.
struct Report {
    tables: Vec<TableUpkeep>,
    indexes: Vec<IndexUpkeep>,
    holders: Vec<Holder>,
}

pub(super) async fn run(store: &Store) -> Result<Told, StoreError> {
    let db = store.client().await?;
    let report = Report {
        tables: upkeep::tables(&db).await?,
        indexes: upkeep::indexes(&db).await?,
        holders: upkeep::holders(&db).await?,
    };
    Ok((Exit::Done, report.json(), report.text(Timestamp::now())))
}

/// Whether so many of the rows are dead that the server should have vacuumed long ago.
fn is_behind(table: &TableUpkeep) -> bool {
    table.dead > FEW && table.dead > table.live / 5
}

impl Report {
    fn json(&self) -> Value {
        let holders: Vec<_> = self
            .holders
            .iter()
            .map(|holder| {
                let mut value = json!(holder);
                value["advice"] = holder.advice().into();
                value
            })
            .collect();
        json!({
            "tables": self.tables,
            "indexes": self.indexes,
            "holders": holders,
            "behind": self.tables.iter().filter(|table| is_behind(table))
                .map(|table| &table.name).collect::<Vec<_>>(),
        })
    }

    fn text(&self, now: Timestamp) -> String {
        let when = |at: Option<Timestamp>| at.map_or("never".to_owned(), |at| ago(at, now));
        let mut tables = Table::new(&[
            "TABLE",
            "LIVE",
            "DEAD",
            "ROWS",
            "INDEXES",
            "EMPTY (GUESS)",
            "VACUUMED",
            "ANALYZED",
        ]);
        for table in &self.tables {
            let row = [
                table.name.clone(),
                table.live.to_string(),
                table.dead.to_string(),
                format_size(table.heap_bytes),
                format_size(table.index_bytes),
                table.bloat_bytes.map_or("-".to_owned(), format_size),
                when(table.vacuumed_at),
                when(table.analyzed_at),
            ];
            tables.row(if is_behind(table) { Tone::Warn } else { Tone::Plain }, row);
        }
        let mut indexes = Table::new(&["INDEX", "TABLE", "SIZE", "SCANS"]);
        for index in &self.indexes {
            let row = [
                index.name.clone(),
                index.table.clone(),
                format_size(index.bytes),
                index.scans.to_string(),
            ];
            indexes.row(Tone::Plain, row);
        }
        let mut holders =
            Table::new(&["HELD BACK BY", "OWNER", "STATE", "SINCE", "TRANSACTIONS AGO"]);
        for holder in &self.holders {
            let row = [
                format!("{} {}: {}", holder.kind, holder.name, holder.what),
                holder.owner.clone().unwrap_or_default(),
                holder.state.clone(),
                holder.since.map_or("-".to_owned(), |at| ago(at, now)),
                holder.age.to_string(),
            ];
            holders.row(if holder.age > OLD { Tone::Bad } else { Tone::Plain }, row);
        }
        let mut text = format!(
            "{}\n{}\n{}\n",
            tables.render("no tables"),
            indexes.render("no indexes"),
            holders.render("nothing holds vacuum back")
        );
        for advice in self.advice() {
            text.push_str(&format!("{advice}\n"));
        }
        text
    }

    /// What to do, the most urgent first.
    fn advice(&self) -> Vec<String> {
        let old = self.holders.iter().filter(|holder| holder.age > OLD).map(|holder| {
            let what = format!("{} {}", holder.kind, holder.name);
            format!("{} {what}: {}", Tone::Bad.paint("holds vacuum back:"), holder.advice())
        });
        let behind = self.tables.iter().filter(|table| is_behind(table)).map(|table| {
            let late = Tone::Warn.paint("vacuum is behind:");
            format!("{late} {}: VACUUM (ANALYZE) hostler.{0}", table.name)
        });
        old.chain(behind).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(live: u64, dead: u64) -> TableUpkeep {
        TableUpkeep {
            name: "tasks".to_owned(),
            live,
            dead,
            heap_bytes: 8192,
            index_bytes: 16384,
            total_bytes: 24576,
            bloat_bytes: None,
            vacuumed_at: None,
            vacuums: 0,
            analyzed_at: Some(Timestamp::UNIX_EPOCH),
        }
    }

    fn holder(kind: &str, state: &str, age: u64) -> Holder {
        Holder {
            kind: kind.to_owned(),
            name: "77".to_owned(),
            owner: Some("shop".to_owned()),
            what: "psql".to_owned(),
            state: state.to_owned(),
            since: None,
            age,
        }
    }

    #[test]
    fn who_holds_vacuum_back_is_told_with_what_to_do() {
        let holders = vec![
            holder("session", "idle in transaction", OLD + 1),
            holder("prepared", "prepared", OLD + 1),
            holder("slot", "inactive", OLD + 1),
            holder("session", "active", 3),
        ];
        let report = Report { tables: vec![table(10, 5)], indexes: Vec::new(), holders };
        let advice = report.advice().join("\n");
        for what in ["pg_terminate_backend(77)", "ROLLBACK PREPARED '77'", "drop_replication_slot"]
        {
            assert!(advice.contains(what), "{what}: {advice}");
        }
        assert!(!advice.contains("pg_cancel_backend"), "a young one is no trouble: {advice}");
        assert!(report.json()["holders"][3]["advice"].as_str().unwrap().contains("cancel"));
        assert!(report.text(Timestamp::UNIX_EPOCH).contains("never"));
    }

    #[test]
    fn a_table_is_behind_when_many_of_its_rows_are_dead() {
        let rows = [(10, 9_000, false), (1_000_000, 100_000, false), (100_000, 30_000, true)];
        for (live, dead, behind) in rows {
            assert_eq!(is_behind(&table(live, dead)), behind, "{live} {dead}");
        }
        let report =
            Report { tables: vec![table(0, 50_000)], indexes: Vec::new(), holders: Vec::new() };
        assert!(report.advice()[0].contains("VACUUM (ANALYZE) hostler.tasks"));
        assert_eq!(report.json()["behind"], json!(["tasks"]));
    }
}

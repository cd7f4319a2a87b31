//! A `SQLite` file as one side of a copy.

use std::path::Path;

use futures::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, Transaction, TypeInfo as _, ValueRef as _};
use tokio::sync::mpsc::{Receiver, Sender};

use super::value::Value;
use super::{Table, quoted};
use crate::store::{Result, StoreError};

pub(super) struct Side {
    tx: Transaction<'static, Sqlite>,
    /// Triggers that were taken out, as they were made.
    triggers: Vec<String>,
}

impl Side {
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(std::time::Duration::from_secs(30));
        let pool = SqlitePool::connect_with(options).await?;
        Ok(Self { tx: pool.begin_with("BEGIN IMMEDIATE").await?, triggers: vec![] })
    }

    async fn run(&mut self, statement: String) -> Result<()> {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *self.tx).await?;
        Ok(())
    }

    pub(super) async fn tables(&mut self) -> Result<Vec<Table>> {
        let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
            "SELECT m.name, c.name, c.type, c.pk FROM sqlite_master AS m, pragma_table_xinfo(m.name) AS c
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite~_%' ESCAPE '~' AND m.name <> '_sqlx_migrations' AND c.hidden = 0
             ORDER BY m.name, c.pk, c.cid",
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let mut tables: Vec<Table> = vec![];
        for (table, column, kind, place) in rows {
            if tables.last().is_none_or(|last| last.name != table) {
                tables.push(Table { name: table, columns: vec![], key: vec![] });
            }
            let table = tables.last_mut().expect("one was just pushed");
            if place > 0 {
                table.key.push(column.clone());
            }
            table.columns.push((column, kind));
        }
        Ok(tables)
    }

    pub(super) async fn read(&mut self, table: &Table, rows: Sender<Vec<Value>>) -> Result<()> {
        let statement =
            format!("SELECT {} FROM \"{}\" ORDER BY {}", table.names(), table.name, quoted(table.key.iter()));
        let mut found = sqlx::query(AssertSqlSafe(statement)).fetch(&mut *self.tx);
        while let Some(row) = found.try_next().await? {
            let row = (0..table.columns.len()).map(|place| value(&row, place)).collect::<Result<_>>()?;
            if rows.send(row).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    pub(super) async fn write(&mut self, table: &Table, mut rows: Receiver<Vec<Value>>) -> Result<()> {
        let places = vec!["?"; table.columns.len()].join(", ");
        let statement = format!("INSERT INTO \"{}\" ({}) VALUES ({places})", table.name, table.names());
        let statement = sqlx::SqlStr::from_static(Box::leak(statement.into_boxed_str()));
        while let Some(row) = rows.recv().await {
            let mut query = sqlx::query(statement.clone());
            for value in row {
                query = match value {
                    Value::Null => query.bind(None::<i64>),
                    Value::Integer(number) => query.bind(number),
                    Value::Real(number) => query.bind(number),
                    Value::Text(text) => query.bind(text),
                    Value::Bytes(bytes) => query.bind(bytes),
                };
            }
            query.execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    pub(super) async fn prepare(&mut self) -> Result<()> {
        // Rows refer to rows of tables that come later.
        self.run("PRAGMA defer_foreign_keys = ON".to_owned()).await?;
        let triggers: Vec<(String, String)> =
            sqlx::query_as("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
                .fetch_all(&mut *self.tx)
                .await?;
        for (name, sql) in triggers {
            self.run(format!("DROP TRIGGER \"{name}\"")).await?;
            self.triggers.push(sql);
        }
        Ok(())
    }

    pub(super) async fn settle(&mut self) -> Result<()> {
        for trigger in std::mem::take(&mut self.triggers) {
            self.run(trigger).await?;
        }
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }
}

fn value(row: &SqliteRow, place: usize) -> Result<Value> {
    let raw = row.try_get_raw(place)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let kind = raw.type_info().name().to_owned();
    Ok(match kind.as_str() {
        "INTEGER" | "BOOLEAN" => Value::Integer(row.try_get_unchecked(place)?),
        "REAL" => Value::Real(row.try_get_unchecked(place)?),
        "TEXT" => Value::Text(row.try_get_unchecked(place)?),
        "BLOB" => Value::Bytes(row.try_get_unchecked(place)?),
        other => return Err(StoreError::Damaged(format!("a value of the unknown type {other}"))),
    })
}

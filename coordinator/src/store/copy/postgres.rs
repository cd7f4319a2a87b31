//! A Postgres database as one side of a copy.

use std::fmt::Write as _;

use futures::TryStreamExt as _;
use serde_json::{Map, Value as Json, json};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Postgres, Row as _, Transaction};
use tokio::sync::mpsc::{Receiver, Sender};

use super::value::Value;
use super::{BATCH, Table};
use crate::store::{Result, StoreError};

pub(super) struct Side {
    tx: Transaction<'static, Postgres>,
    /// Constraints between tables whose check was put off: table and name.
    deferred: Vec<(String, String)>,
}

impl Side {
    pub(super) async fn open(url: &str) -> Result<Self> {
        let pool = PgPool::connect_with(crate::store::postgres::plain_options(url)?).await?;
        // Everything as it was when the transaction began.
        let tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        Ok(Self { tx, deferred: vec![] })
    }

    async fn run(&mut self, statement: String) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *self.tx).await?;
        Ok(())
    }

    pub(super) async fn tables(&mut self) -> Result<Vec<Table>> {
        let rows: Vec<(String, String, String, Option<i32>)> = sqlx::query_as(
            "SELECT t.relname::text, c.attname::text, k.typname::text, array_position(i.indkey::int2[], c.attnum)
             FROM pg_class AS t
             INNER JOIN pg_attribute AS c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped AND c.attgenerated = ''
             INNER JOIN pg_type AS d ON d.oid = c.atttypid
             INNER JOIN pg_type AS k ON k.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END
             LEFT JOIN pg_index AS i ON i.indrelid = t.oid AND i.indisprimary
             WHERE t.relkind = 'r' AND t.relnamespace = current_schema()::regnamespace AND t.relname <> '_sqlx_migrations'
             ORDER BY t.relname, array_position(i.indkey::int2[], c.attnum), c.attnum",
        )
        .fetch_all(&mut *self.tx)
        .await?;
        let mut tables: Vec<Table> = vec![];
        for (table, column, kind, place) in rows {
            if tables.last().is_none_or(|last| last.name != table) {
                tables.push(Table { name: table, columns: vec![], key: vec![] });
            }
            let table = tables.last_mut().expect("one was just pushed");
            if place.is_some() {
                table.key.push(column.clone());
            }
            table.columns.push((column, kind));
        }
        Ok(tables)
    }

    pub(super) async fn read(&mut self, table: &Table, rows: Sender<Vec<Value>>) -> Result<()> {
        // Text by its bytes, as SQLite orders it.
        let is_text = |key: &String| table.columns.iter().any(|(name, kind)| name == key && kind == "text");
        let order: Vec<String> = table
            .key
            .iter()
            .map(|key| if is_text(key) { format!("\"{key}\" COLLATE \"C\"") } else { format!("\"{key}\"") })
            .collect();
        let statement = format!("SELECT {} FROM \"{}\" ORDER BY {}", table.names(), table.name, order.join(", "));
        let mut found = sqlx::query(AssertSqlSafe(statement)).fetch(&mut *self.tx);
        while let Some(row) = found.try_next().await? {
            let columns = table.columns.iter().enumerate();
            let row = columns.map(|(place, (_, kind))| value(&row, place, kind)).collect::<Result<_>>()?;
            if rows.send(row).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    pub(super) async fn write(&mut self, table: &Table, mut rows: Receiver<Vec<Value>>) -> Result<()> {
        let (name, names) = (&table.name, table.names());
        let statement = format!(
            "INSERT INTO \"{name}\" ({names}) SELECT {names} FROM json_populate_recordset(NULL::\"{name}\", $1::json)"
        );
        loop {
            let mut batch = vec![];
            while batch.len() < BATCH
                && let Some(row) = rows.recv().await
            {
                let columns = table.columns.iter().map(|(name, _)| name.clone());
                batch.push(Json::Object(columns.zip(row.into_iter().map(as_json)).collect::<Map<_, _>>()));
            }
            if batch.is_empty() {
                return Ok(());
            }
            let batch = serde_json::to_string(&batch).expect("plain data with text keys");
            sqlx::query(AssertSqlSafe(statement.clone())).bind(batch).execute(&mut *self.tx).await?;
        }
    }

    pub(super) async fn prepare(&mut self, tables: &[Table]) -> Result<()> {
        // Rows refer to rows of tables that come later.
        self.deferred = sqlx::query_as(
            "SELECT t.relname::text, c.conname::text FROM pg_constraint AS c INNER JOIN pg_class AS t ON t.oid = c.conrelid
             WHERE c.contype = 'f' AND t.relnamespace = current_schema()::regnamespace AND NOT c.condeferrable",
        )
        .fetch_all(&mut *self.tx)
        .await?;
        for (table, constraint) in self.deferred.clone() {
            self.run(format!("ALTER TABLE \"{table}\" ALTER CONSTRAINT \"{constraint}\" DEFERRABLE")).await?;
        }
        self.run("SET CONSTRAINTS ALL DEFERRED".to_owned()).await?;
        for table in tables {
            self.run(format!("ALTER TABLE \"{}\" DISABLE TRIGGER USER", table.name)).await?;
        }
        Ok(())
    }

    pub(super) async fn settle(&mut self, tables: &[Table]) -> Result<()> {
        self.run("SET CONSTRAINTS ALL IMMEDIATE".to_owned()).await?;
        for (table, constraint) in std::mem::take(&mut self.deferred) {
            self.run(format!("ALTER TABLE \"{table}\" ALTER CONSTRAINT \"{constraint}\" NOT DEFERRABLE")).await?;
        }
        for table in tables {
            self.run(format!("ALTER TABLE \"{}\" ENABLE TRIGGER USER", table.name)).await?;
        }
        let counted: Vec<(String, String)> = sqlx::query_as(
            "SELECT t.relname::text, c.attname::text FROM pg_attribute AS c INNER JOIN pg_class AS t ON t.oid = c.attrelid
             WHERE c.attidentity <> '' AND t.relkind = 'r' AND t.relnamespace = current_schema()::regnamespace",
        )
        .fetch_all(&mut *self.tx)
        .await?;
        for (table, column) in counted {
            self.run(format!(
                "SELECT setval(pg_get_serial_sequence('\"{table}\"', '{column}'), max(\"{column}\")) FROM \"{table}\" \
                 HAVING max(\"{column}\") IS NOT NULL"
            ))
            .await?;
        }
        Ok(())
    }

    pub(super) async fn commit(mut self) -> Result<()> {
        // What the planner knows of the tables is from when they were empty; rows copied say nothing by themselves.
        self.run("ANALYZE".to_owned()).await?;
        Ok(self.tx.commit().await?)
    }
}

fn as_json(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(number) => json!(number),
        Value::Real(number) if number.is_finite() => json!(number),
        Value::Real(number) => json!(if number > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Text(text) => Json::String(text),
        Value::Bytes(bytes) => {
            let mut digits = String::from("\\x");
            for byte in bytes {
                let _ = write!(digits, "{byte:02x}");
            }
            Json::String(digits)
        }
    }
}

fn value(row: &PgRow, place: usize, kind: &str) -> Result<Value> {
    let value = match kind {
        "int8" => row.try_get::<Option<i64>, _>(place)?.map(Value::Integer),
        "int4" => row.try_get::<Option<i32>, _>(place)?.map(|number| Value::Integer(number.into())),
        "bool" => row.try_get::<Option<bool>, _>(place)?.map(|truth| Value::Integer(truth.into())),
        "float8" => row.try_get::<Option<f64>, _>(place)?.map(Value::Real),
        "text" => row.try_get::<Option<String>, _>(place)?.map(Value::Text),
        "bytea" => row.try_get::<Option<Vec<u8>>, _>(place)?.map(Value::Bytes),
        other => return Err(StoreError::Damaged(format!("a column of the unknown type {other}"))),
    };
    Ok(value.unwrap_or(Value::Null))
}

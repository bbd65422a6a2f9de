//! The generic plan of every statement of the engine, on tables that are empty, small and large: a
//! plan that was made while a table was tiny is kept when it is large.

mod fill;
mod tree;

use sqlx::PgConnection;
use subak_store::{Reads, Statement, every_statement};
use subak_testkit::{TestDatabase, database};

use tree::Rules;

/// Rows of a large table; `SUBAK_PLAN_ROWS` asks for more.
const ROWS: i64 = 200_000;

#[tokio::test]
async fn every_statement_reads_by_index_whatever_the_size_of_the_tables() -> anyhow::Result<()> {
    let rows = std::env::var("SUBAK_PLAN_ROWS").map_or(ROWS, |text| text.parse().unwrap());
    let database = database().await?;
    let mut found = Vec::new();
    found.extend(check(&database, "empty").await?);
    fill::rows(&database, 60).await?;
    found.extend(check(&database, "60 rows, never analysed").await?);
    fill::analyse(&database).await?;
    found.extend(check(&database, "60 rows").await?);
    fill::rows(&database, rows).await?;
    found.extend(check(&database, &format!("{rows} rows, as analysed at 60")).await?);
    fill::analyse(&database).await?;
    found.extend(check(&database, &format!("{rows} rows")).await?);
    assert!(found.is_empty(), "{} wrong plans:\n{}", found.len(), found.join("\n"));
    Ok(())
}

/// The rules themselves: each kind of wrong plan is found out.
#[tokio::test]
async fn a_wrong_plan_is_found_out() -> anyhow::Result<()> {
    let database = database().await?;
    fill::rows(&database, 60).await?;
    let mut session = database.store.engine_session().await?;
    let rules = Rules::read(&mut session).await?;
    for (sql, reads, problem) in [
        ("SELECT * FROM live WHERE session = $1", Reads::Points, "from end to end"),
        ("SELECT * FROM live WHERE session = $1", Reads::Whole, ""),
        ("SELECT * FROM live WHERE task = $1", Reads::Points, "no equality"),
        ("SELECT * FROM live WHERE run_key > $1", Reads::Points, "no equality"),
        ("SELECT * FROM live WHERE due_at < $1 LIMIT 5", Reads::Due, ""),
        ("SELECT * FROM live WHERE due_at < $1 LIMIT 5", Reads::Points, "no equality"),
        ("SELECT * FROM live WHERE due_at < $1", Reads::Due, "no equality"),
        ("SELECT * FROM live WHERE run_key = $1 ORDER BY due_at LIMIT 5", Reads::Points, "sorts"),
        ("SELECT * FROM live WHERE run_key = $1", Reads::Points, ""),
    ] {
        let statement = Statement { name: "WRONG", sql, reads };
        let problems = problems(&mut session, &rules, &statement).await?;
        let fits = if problem.is_empty() {
            problems.is_empty()
        } else {
            problems.iter().any(|found| found.contains(problem))
        };
        assert!(fits, "{sql}, {reads:?}: expected {problem:?}, got {problems:?}");
    }
    Ok(())
}

async fn check(database: &TestDatabase, size: &str) -> anyhow::Result<Vec<String>> {
    // A new session: its plans are made of the tables as they are now.
    let mut session = database.store.engine_session().await?;
    let rules = Rules::read(&mut session).await?;
    let mut found = Vec::new();
    for statement in every_statement() {
        for problem in problems(&mut session, &rules, &statement).await? {
            found.push(format!("{size}: {}: {problem}", statement.name));
        }
    }
    Ok(found)
}

async fn problems(
    session: &mut PgConnection,
    rules: &Rules,
    statement: &Statement,
) -> anyhow::Result<Vec<String>> {
    let plan = tree::generic_plan(session, statement).await?;
    Ok(rules.problems(&plan, statement.reads))
}

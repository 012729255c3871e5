//! What is said of a statement, held against a real PostgreSQL: the server's own plan of it names no table that was not seen in its
//! text, and changes nothing where it was taken for a query alone.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_policy::sql::{Dialect, Kind, Name, Statements};
use chaperone_tests::peers::postgres::Postgres;
use serde_json::Value;
use std::collections::BTreeSet;

/// The statements that the core is tested with, each with a line of what it does.
const TABLE: &str = include_str!("../../policy/src/commands/sql/table/postgres.txt");
/// Statements with a place in which a query may stand.
const PLACES: &str = include_str!("../../policy/src/commands/sql/table/places.txt");

const TABLES: &str = r#"
    CREATE TABLE entries (id int, a int, b int, c int, x int, y int, e int, s text, j jsonb, arr int[], account int, at timestamptz);
    CREATE TABLE secrets (id int, a int, b int, s int, x int, y int);
    CREATE TABLE other (id int, a int);
    CREATE TABLE hidden (id int, a int, y int);
    CREATE TABLE a (id int);
    CREATE TABLE b (id int);
    CREATE TABLE "Customers" (id int, name text);
    CREATE TABLE "Entries" (id int);
    CREATE UNIQUE INDEX ON entries (a);
    CREATE VIEW seen AS SELECT * FROM secrets;
"#;

/// The tables that a plan names, and whether it changes any.
fn planned(plan: &Value, tables: &mut BTreeSet<String>) -> bool {
    match plan {
        Value::Array(all) => all.iter().map(|one| planned(one, tables)).filter(|changes| *changes).count() > 0,
        Value::Object(members) => {
            if let Some(name) = members.get("Relation Name").and_then(Value::as_str) {
                let schema = members.get("Schema").and_then(Value::as_str).expect("a verbose plan names it");
                tables.insert(format!("{schema}.{name}"));
            }
            let changes = members.get("Node Type").is_some_and(|node| node == "ModifyTable" || node == "LockRows");
            // All of them, whatever the first one does.
            members.values().map(|one| planned(one, tables)).filter(|changes| *changes).count() > 0 || changes
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// As the server finds them with its own search path.
fn resolved<'n>(names: impl Iterator<Item = &'n Name>) -> BTreeSet<String> {
    names
        .map(|name| match name.parts() {
            [own] if own.starts_with("pg_") => format!("pg_catalog.{own}"),
            [own] => format!("public.{own}"),
            [schema, own] | [_, schema, own] => format!("{schema}.{own}"),
            _ => panic!("{name}"),
        })
        .collect()
}

/// What is wrong with what was said of a statement, by the server's plan.
fn unseen(seen: &BTreeSet<String>, plan: &Value) -> Option<String> {
    let mut tables = BTreeSet::new();
    let changes = planned(plan, &mut tables);
    let missed: Vec<_> = tables.difference(seen).collect();
    (changes || !missed.is_empty()).then(|| format!("it reads {missed:?} besides {seen:?}, and changes something: {changes}"))
}

#[test]
fn the_servers_plan_names_no_table_that_was_not_seen() {
    let postgres = Postgres::start();
    postgres.run(TABLES).unwrap();
    let plan = |statement: &str| {
        // A text of several statements would run the others: only single ones get here.
        let text = postgres.run(&format!("EXPLAIN (VERBOSE, GENERIC_PLAN, FORMAT JSON) {statement}")).ok()?;
        Some(serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{statement}: {error}: {text}")))
    };
    // The comparison can fail.
    let secrets = plan("SELECT * FROM secrets").expect("it is there");
    assert!(unseen(&BTreeSet::from(["public.entries".to_owned()]), &secrets).is_some());
    assert!(unseen(&BTreeSet::from(["public.secrets".to_owned()]), &secrets).is_none());
    assert!(unseen(&BTreeSet::new(), &plan("UPDATE entries SET a = 1").expect("it is there")).is_some());

    let lines: Vec<_> = TABLE.lines().collect();
    let escapes = [("\\n", "\n"), ("\\r", "\r"), ("\\f", "\u{c}"), ("\\v", "\u{b}")];
    let written =
        lines.chunks(2).map(|pair| escapes.iter().fold(pair[0].to_owned(), |text, (escape, meant)| text.replace(escape, meant)));
    let fillings = ["1", "(SELECT s FROM secrets LIMIT 1)", "(SELECT count(*)::int FROM secrets, hidden)"];
    let filled = PLACES.lines().flat_map(|place| fillings.map(|filling| place.replace("{}", filling)));
    let (mut compared, mut wrong) = (0, Vec::new());
    for statement in written.chain(filled) {
        let Ok(judged) = Statements::read(statement.as_bytes(), Dialect::Postgres) else { continue };
        let [one] = judged.each() else { continue };
        // Of these alone a policy could say that they read what is named and do nothing else.
        if !one.kinds().eq([Kind::Select])
            || one.calls().next().is_some()
            || one.reads().any(|name| name.parts()[0] == "information_schema")
        {
            continue;
        }
        // What the server does not take does nothing.
        let Some(plan) = plan(&statement) else { continue };
        compared += 1;
        wrong.extend(unseen(&resolved(one.reads()), &plan).map(|what| format!("{statement}\n  {what}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 200, "{compared} plans");
    eprintln!("{compared} plans were compared");
}

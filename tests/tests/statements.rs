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

/// A function of the server that gives its plan of a text, or nothing for a text that it does not take.
const PLAN_OF: &str = r#"
    CREATE FUNCTION plan_of(statement text) RETURNS text LANGUAGE plpgsql AS $function$
    DECLARE plan text;
    BEGIN
        EXECUTE 'EXPLAIN (VERBOSE, GENERIC_PLAN, FORMAT JSON) ' || statement INTO plan;
        RETURN replace(plan, E'\n', ' ');
    EXCEPTION WHEN OTHERS THEN
        RETURN '';
    END $function$;
"#;

/// As many bytes of statements as are sent at once.
const BATCH: usize = 64 * 1024;

/// The server's plan of each; none of a statement that it does not take.
fn plans(postgres: &Postgres, statements: &[String]) -> Vec<Option<Value>> {
    let mut all = Vec::new();
    let mut rest = statements;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|statement| {
            bytes += statement.len() + 32;
            bytes <= BATCH
        });
        let (batch, later) = rest.split_at(fits.count().max(1));
        let texts: Vec<_> = batch.iter().map(|statement| format!("$statement${statement}$statement$")).collect();
        let query =
            format!("SELECT plan_of(text) FROM unnest(ARRAY[{}]) WITH ORDINALITY AS t(text, n) ORDER BY n", texts.join(","));
        let answered = postgres.run(&query).unwrap();
        let lines: Vec<_> = answered.lines().collect();
        assert_eq!(lines.len(), batch.len(), "a line for each");
        all.extend(lines.iter().map(|line| (!line.is_empty()).then(|| serde_json::from_str(line).expect("a plan"))));
        rest = later;
    }
    all
}

/// Of these alone a policy could say that they read what is named and do nothing else: the tables, as the server finds them.
fn query_alone(statement: &str) -> Option<BTreeSet<String>> {
    let judged = Statements::read(statement.as_bytes(), Dialect::Postgres).ok()?;
    let [one] = judged.each() else { return None };
    let alone = one.kinds().eq([Kind::Select]) && one.calls().next().is_none();
    // Its views are over other tables, and a plan names those.
    (alone && one.reads().all(|name| name.parts()[0] != "information_schema")).then(|| resolved(one.reads()))
}

/// Compares what is said of these with the server's plans; how many it has a plan of.
fn compare(postgres: &Postgres, statements: impl Iterator<Item = String>) -> usize {
    let (taken, seen): (Vec<_>, Vec<_>) =
        statements.filter_map(|statement| query_alone(&statement).map(|seen| (statement, seen))).unzip();
    let (mut compared, mut wrong) = (0, Vec::new());
    for ((statement, seen), plan) in taken.iter().zip(&seen).zip(plans(postgres, &taken)) {
        let Some(plan) = plan else { continue };
        compared += 1;
        wrong.extend(unseen(seen, &plan).map(|what| format!("{statement}\n  {what}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    compared
}

fn server() -> Postgres {
    let postgres = Postgres::start();
    postgres.run(TABLES).unwrap();
    postgres.run(PLAN_OF).unwrap();
    postgres
}

#[test]
fn the_servers_plan_names_no_table_that_was_not_seen() {
    let postgres = server();
    // The comparison can fail.
    let known = ["SELECT * FROM secrets", "UPDATE entries SET a = 1", "SELECT * FROM nowhere"].map(str::to_owned);
    let plans = plans(&postgres, &known);
    let [Some(secrets), Some(update), None] = plans.as_slice() else { panic!("two plans and none: {plans:?}") };
    assert!(unseen(&BTreeSet::from(["public.entries".to_owned()]), secrets).is_some());
    assert!(unseen(&BTreeSet::from(["public.secrets".to_owned()]), secrets).is_none());
    assert!(unseen(&BTreeSet::new(), update).is_some());

    let lines: Vec<_> = TABLE.lines().collect();
    let escapes = [("\\n", "\n"), ("\\r", "\r"), ("\\f", "\u{c}"), ("\\v", "\u{b}")];
    let written =
        lines.chunks(2).map(|pair| escapes.iter().fold(pair[0].to_owned(), |text, (escape, meant)| text.replace(escape, meant)));
    let fillings = ["1", "(SELECT s FROM secrets LIMIT 1)", "(SELECT count(*)::int FROM secrets, hidden)"];
    let filled = PLACES.lines().flat_map(|place| fillings.map(|filling| place.replace("{}", filling)));
    let compared = compare(&postgres, written.chain(filled));
    assert!(compared >= 200, "{compared} plans");
}

/// Where a word of the language may be a name, a parser can take what follows for something else. `{}` is each of the server's words.
const WORDS_IN: &[&str] = &[
    "select a {} from secrets",
    "select {} from secrets",
    "select 1 {}",
    "select 1 {} from secrets",
    "select a {} b from secrets",
    "select a from entries where a {} from secrets",
    "select {} \"secrets\"",
    "select ({} \"secrets\")",
    "select ({} secrets)",
    "select a from entries {} secrets",
    "select a from entries e {}, secrets",
    "select a from entries {} join secrets on true",
    "select a from {} secrets",
    "select {} and from secrets",
    "select true and {} from secrets",
    "select a {} into made from secrets",
    "select a {} {} from secrets",
    "select a {} union select a from secrets",
    "select a from entries {} union select a from secrets",
    "with x as (select 1) select a from entries {} select a from secrets",
    "select a from entries order by a {}, (select 1 from secrets)",
    "select a from entries limit 1 {} for update",
    "select a.{} from secrets a",
    "select secrets.{} from secrets",
    "select 1::{} from secrets",
    "select a as {} from secrets",
    "select a {} as b from secrets",
];

#[test]
fn no_word_of_the_language_hides_a_table() {
    let postgres = server();
    let words = postgres.run("SELECT word FROM pg_get_keywords()").unwrap();
    let words: Vec<_> = words.lines().collect();
    assert!(words.len() > 400, "{words:?}");
    let statements = WORDS_IN.iter().flat_map(|place| words.iter().map(|word| place.replace("{}", word)));
    let compared = compare(&postgres, statements);
    assert!(compared >= 1_000, "{compared} plans");
}

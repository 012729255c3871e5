use proptest::prelude::*;

use super::*;

/// `select; reads a, b; writes c; calls f; sets x` for each statement, or why it is refused.
fn told(text: &str, dialect: Dialect) -> String {
    let list = |what: &str, names: &BTreeSet<Name>| match names.len() {
        0 => String::new(),
        _ => format!("; {what} {}", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    };
    let one = |statement: &Statement| {
        let kinds: Vec<_> = statement.kinds().map(Kind::name).collect();
        let (reads, writes) = (list("reads", &statement.reads), list("writes", &statement.writes));
        format!("{}{reads}{writes}{}{}", kinds.join("+"), list("calls", &statement.calls), list("sets", &statement.sets))
    };
    match Statements::read(text.as_bytes(), dialect) {
        Ok(statements) => statements.each().iter().map(one).collect::<Vec<_>>().join(" | "),
        Err(fault) => format!("refused: {fault}"),
    }
}

/// `\n`, `\r`, `\f`, `\v` and `\0` of a table, for what an editor would hide.
fn unescaped(line: &str) -> String {
    [("\\n", "\n"), ("\\r", "\r"), ("\\f", "\u{c}"), ("\\v", "\u{b}"), ("\\0", "\0")]
        .into_iter()
        .fold(line.to_owned(), |line, (escape, meant)| line.replace(escape, meant))
}

/// Statements, each with a line that says what it does. One line is one statement, or several.
const TABLES: [(&str, &str, Dialect); 3] = [
    ("postgres", include_str!("table/postgres.txt"), Dialect::Postgres),
    ("clickhouse", include_str!("table/clickhouse.txt"), Dialect::ClickHouse),
    ("trino", include_str!("table/trino.txt"), Dialect::Trino),
];

#[test]
fn statements_do_what_the_tables_say() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for (name, table, dialect) in TABLES {
        let lines: Vec<_> = table.lines().collect();
        for pair in lines.chunks(2) {
            let [statement, says] = pair else { panic!("{name}: a statement without what it does: {pair:?}") };
            count += 1;
            let is = format!("=> {}", told(&unescaped(statement), dialect));
            if is != *says {
                wrong.push(format!("{name}: {statement}\n  says {says}\n  is   {is}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 350, "{count} statements");
}

/// Every place in which a query may stand in another statement. With `1` in its place the statement is taken.
const PLACES: &str = include_str!("table/places.txt");

#[test]
fn a_query_is_seen_wherever_it_stands() {
    for place in PLACES.lines() {
        let plain = place.replace("{}", "1");
        let taken = told(&plain, Dialect::Postgres);
        assert!(!taken.starts_with("refused") && !taken.contains("secrets"), "{plain}: {taken}");
        // Each of its places by itself.
        for (at, _) in place.match_indices("{}") {
            let (before, after) = place.split_at(at);
            let (before, after) = (before.replace("{}", "1"), after.replacen("{}", "", 1).replace("{}", "1"));
            for hidden in ["(SELECT s FROM secrets)", "((SELECT 1 WHERE EXISTS (SELECT * FROM secrets)))"] {
                let text = format!("{before}{hidden}{after}");
                let seen = told(&text, Dialect::Postgres);
                assert!(seen.starts_with("refused") || seen.contains("secrets"), "{text}: {seen}");
            }
            let call = told(&format!("{before}pg_read_file('x'){after}"), Dialect::Postgres);
            assert!(
                call.starts_with("refused") || call.contains("calls pg_read_file") || call.contains(", pg_read_file"),
                "{place}: {call}"
            );
        }
    }
}

#[test]
fn a_statement_is_the_same_whatever_its_values_are() {
    let reduced = |text: &str| Statements::read(text.as_bytes(), Dialect::Postgres).unwrap().reduced().to_owned();
    let one = reduced("SELECT *\n\tFROM entries -- all\n WHERE a = 'it''s' AND b > 17");
    assert_eq!(one, "SELECT * FROM entries WHERE a = '?' AND b > 0");
    assert_eq!(one, reduced("SELECT * FROM entries /* x */ WHERE a = E'\\'' AND b > 1.5e3"));
    assert_ne!(one, reduced("SELECT * FROM entries WHERE a = 'x' AND c > 1"));
}

#[test]
fn what_is_too_long_or_too_deep_is_refused_and_breaks_no_stack() {
    let chain = |start: &str, link: &str, count: usize| format!("SELECT {start}{}", link.repeat(count));
    let nested = |open: &str, close: &str, count: usize| format!("SELECT {}1{}", open.repeat(count), close.repeat(count));
    // As much as a VM has.
    let run = std::thread::Builder::new().stack_size(1024 * 1024).spawn(move || {
        for (text, taken) in [
            (chain("1", "+1", 900), true),
            (chain("1", "+1", 5_000), false),
            (chain("a", "::int", 450), true),
            (chain("a", "::int", 5_000), false),
            (chain("a", " OR a", 900), true),
            (chain("1", " UNION SELECT 1", 400), true),
            (chain("1", " UNION SELECT 1", 5_000), false),
            (chain("1", ", 1", 10_000), true),
            (nested("(", ")", 10), true),
            (nested("(", ")", 10_000), false),
            (nested("NOT ", "", 10_000), false),
            (nested("- ", "", 10_000), false),
            (nested("(SELECT ", ")", 5), true),
            ("SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM (SELECT 1) a) b) c) d".to_owned(), true),
            // The ways to the deepest stack, at the depth to which they are taken, and beyond.
            (nested("EXISTS (SELECT ", ")", 30), false),
            (format!("{}SELECT 1{}", "(SELECT 1 UNION ".repeat(40), ")".repeat(40)), false),
            (format!("{}entries{}", "SELECT * FROM (".repeat(40), ") x".repeat(40)), false),
            (format!("SELECT * FROM {}entries{}", "(".repeat(40), " JOIN other ON true)".repeat(40)), false),
            (format!("{}SELECT 1", "EXPLAIN ".repeat(40)), false),
            (nested("(SELECT ", ")", 5_000), false),
            (nested("CASE WHEN a THEN ", " END", 5_000), false),
            (nested("ARRAY[", "]", 5_000), false),
            (nested("lower(", ")", 5_000), false),
            (format!("SELECT '{}'", "x".repeat(limits::STATEMENT_BYTES)), false),
        ] {
            assert_eq!(Statements::read(text.as_bytes(), Dialect::Postgres).is_ok(), taken, "{text:.40}, {} bytes", text.len());
        }
    });
    run.unwrap().join().unwrap();
}

#[test]
fn what_is_no_text_is_refused() {
    for text in [b"SELECT '\xff'".as_slice(), b"SELECT \xc3\x28", b"SELECT 'a\0b'", b"SELECT $$a\0b$$", b"SELECT 1\0"] {
        assert!(Statements::read(text, Dialect::Postgres).is_err(), "{text:?}");
    }
    assert_eq!(Statements::read(b"", Dialect::Postgres).unwrap().each(), []);
    assert_eq!(Statements::read(b" -- nothing\n;;", Dialect::Postgres).unwrap().each(), []);
}

/// Pieces of which attacks on lexers are made.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "SELECT", "FROM", "secrets", "entries", "WHERE", "UNION", "WITH", "AS", "(", ")", ",", ";", "*", ".", "::", "1", "a", "TABLE",
        ]).prop_map(str::to_owned),
        3 => prop::sample::select(vec![
            "'", "''", "\"", "\"\"", "`", "\\", "\\'", "--", "/*", "*/", "\n", "\r", "$$", "$a$", "$1", "E'", "U&'", "U&\"", "x'", "#", "<", "-",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        2 => Just(" ".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever comes, it is judged or refused; and what is reduced once reads the same when it is reduced again.
    #[test]
    fn any_text_is_judged_or_refused(pieces in prop::collection::vec(piece(), 0..40), which in 0..3_usize) {
        let dialect = [Dialect::Postgres, Dialect::ClickHouse, Dialect::Trino][which];
        let text = pieces.concat();
        if let Ok(statements) = Statements::read(text.as_bytes(), dialect) {
            let reduced = statements.reduced().to_owned();
            prop_assert!(!reduced.contains("--") && !reduced.contains("/*") && !reduced.contains('\\'), "{reduced:?}");
            let again = Statements::read(reduced.as_bytes(), dialect);
            prop_assert!(again.as_ref().is_ok_and(|again| again.each() == statements.each()), "{text:?} {reduced:?} {again:?}");
        }
    }
}

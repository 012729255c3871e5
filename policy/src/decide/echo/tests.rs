use super::*;

fn watch(value: &str) -> Watch {
    let environment = BTreeMap::from([("T".to_owned(), Secret::new(value.to_owned()))]);
    let document = serde_json::json!({"header": "authorization", "value": "Bearer ${env:T}"});
    let mut errors = crate::document::Errors::default();
    let credential = Credential::read(&document, &crate::document::At::ROOT, &mut errors, |_, _, _| None).unwrap();
    let credential = Rc::new(credential.0);
    Watch::new(Rc::new(credential.fill(&environment).unwrap()), Bodies::Cut)
}

/// What reaches the client of a body in these pieces, and whether it was cut.
fn passed(watch: &mut Watch, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
    let (mut out, mut held) = (Vec::new(), Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        held.extend_from_slice(piece);
        match watch.body(&held, index + 1 == pieces.len()) {
            Passage::Pass => out.append(&mut held),
            Passage::Hold => {}
            Passage::Cut => return (out, true),
        }
    }
    (out, false)
}

#[test]
fn a_body_is_cut_wherever_its_pieces_split_it() {
    let secret = "tok/en+\"s3cr%t";
    for body in [
        format!("before {secret} after"),
        "before tok%2Fen%2B%22s3cr%25t after".to_owned(),
        r#"before \u0074ok\/en+\"s3cr%t after"#.to_owned(),
        // Three bytes of it that are not followed by the rest, and then all of it.
        format!("tok tok/ tok/en+{secret}"),
    ] {
        let body = body.as_bytes();
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let pieces = [&body[..first], &body[first..second], &body[second..]];
                let (out, cut) = passed(&mut watch(secret), &pieces);
                assert!(cut, "{first} {second}");
                let shown = out.windows(4).any(|window| b"s3cr".starts_with(window) || window == b"n+\"s");
                assert!(!shown, "{first} {second}: {}", String::from_utf8_lossy(&out));
            }
        }
        let (_, cut) = passed(&mut watch(secret), &body.chunks(1).collect::<Vec<_>>());
        assert!(cut);
    }
}

#[test]
fn any_other_body_passes_whole_and_at_once() {
    let body = b"data: eyJ tok %74ok 100% \\u0074 tok/e \\ Bearer x".as_slice();
    for first in 0..=body.len() {
        let (out, cut) = passed(&mut watch("tok/en+\"s3cr%t"), &[&body[..first], &body[first..]]);
        assert!(!cut && out == body, "{first}");
    }
    // Held is only what can be the beginning of more than three of its bytes, and never the last piece.
    for (piece, last, passage) in [
        (b"data: tok".as_slice(), false, Passage::Pass),
        (b"data: tok/", false, Passage::Hold),
        (b"data: tok%2", false, Passage::Pass),
        (b"data: tok%2f", false, Passage::Hold),
        (b"data: tok/", true, Passage::Pass),
        (b"data: tok/\n\n", false, Passage::Pass),
    ] {
        assert_eq!(watch("tok/en+\"s3cr%t").body(piece, last), passage, "{}", String::from_utf8_lossy(piece));
    }
}

#[test]
fn names_are_bounded() {
    let mut watch = watch("12345678");
    let names: Vec<String> = (0..40).map(|number| format!("x-{number}{}", "n".repeat(300))).collect();
    let headers: Vec<(&[u8], &[u8])> = names.iter().map(|name| (name.as_bytes(), b"a12345678b".as_slice())).collect();
    let mut edits = Edits::default();
    watch.strip(&headers, &mut edits);
    assert_eq!(edits.removed().count(), 40, "all of them go");
    assert_eq!(watch.names().len(), limits::ECHO_NAMES);
    assert!(watch.names().iter().all(|name| name.len() == limits::ECHO_NAME_BYTES));
}

#[test]
fn of_a_variable_with_its_scheme_in_it_what_comes_behind_that_is_looked_for() {
    let secret = "Token tok/en+\"s3cr%t";
    for shown in ["tok/en+\"s3cr%t", "Token tok/en+\"s3cr%t", "tok%2Fen%2B%22s3cr%25t"] {
        let (_, cut) = passed(&mut watch(secret), &[format!("auth={shown};").as_bytes()]);
        assert!(cut, "{shown}");
    }
    // What is left would be too short to be looked for: all of it is.
    let (_, cut) = passed(&mut watch("Password 1234567"), &[b"1234567 and Password"]);
    assert!(!cut);
}

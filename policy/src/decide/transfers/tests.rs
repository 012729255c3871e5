use super::*;
use crate::http::head::Head;

/// What a request with these fields is; `body`: something follows its head.
fn of(fields: &[(&str, &str)], body: bool) -> Transfer {
    let pseudo = [(":method", "POST"), (":path", "/"), (":authority", "a")];
    let all: Vec<(&[u8], &[u8])> = pseudo.iter().chain(fields).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let request = Request::read(&Head { headers: &all, body, ..Head::default() }).unwrap();
    Transfer::of(&all, &request, body)
}

/// Is a body of this type an upload, and by what sign?
fn typed(kind: &str) -> Option<Sign> {
    of(&[("content-type", kind)], true).upload
}

/// Is such a response a download?
fn download(fields: &[(&str, &str)]) -> bool {
    let all: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let mut transfer = of(&[], false);
    transfer.granted(
        Some(Transfers { uploads: true, downloads: false, max_request_bytes: None, max_response_bytes: None, session: None }),
        None,
    );
    let carried = transfer.respond(&all);
    !carried
}

#[test]
fn what_programs_say_to_each_other_is_no_upload() {
    for call in [
        "application/json",
        "Application/JSON; charset=utf-8",
        " application/json ",
        "application/vnd.api+json",
        "application/merge-patch+json",
        "application/x-ndjson",
        "application/json-seq",
        "application/xml",
        "application/soap+xml; action=x",
        "text/xml",
        "application/x-www-form-urlencoded",
        "application/graphql",
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/connect+proto",
        "application/proto",
        "application/x-protobuf",
    ] {
        assert_eq!(typed(call), None, "{call}");
    }
}

#[test]
fn everything_else_is_an_upload() {
    for file in [
        "multipart/form-data; boundary=x",
        "multipart/related; boundary=x",
        "application/octet-stream",
        "application/zip",
        "application/gzip",
        "application/pdf",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "image/png",
        "image/svg+xml",
        "model/gltf+json",
        "audio/ogg",
        "video/mp4",
        "font/woff2",
        "text/plain",
        "text/csv",
        "text/html",
        "message/rfc822",
        "application/partial-upload",
        "application/json, image/png",
        "application/json; charset=utf-8, image/png",
        "application/jsonx",
        "application/+json",
        "application/+xml",
        "application/grpcx",
        "xapplication/json",
        "json",
        "",
        ";",
    ] {
        assert_eq!(typed(file), Some(Sign::Type), "{file}");
    }
    assert_eq!(of(&[], true).upload, Some(Sign::Type), "a body of no type");
    let twice = [("content-type", "application/json"), ("Content-Type", "application/json")];
    assert_eq!(of(&twice, true).upload, Some(Sign::Type), "two types, though they are one");
    // What has no body is no file, whatever its type.
    assert_eq!(of(&[("content-type", "image/png")], false).upload, None);
    assert_eq!(of(&[], false).upload, None);
}

#[test]
fn a_file_shows_in_other_fields_too() {
    let json = ("content-type", "application/json");
    for (name, value, sign) in [
        ("content-disposition", "attachment; filename=a", Sign::Disposition),
        ("Content-Disposition", "inline", Sign::Disposition),
        ("content-encoding", "gzip", Sign::Coded),
        ("content-encoding", "identity, gzip", Sign::Coded),
        ("content-range", "bytes 0-9/100", Sign::Resumable),
        ("tus-resumable", "1.0.0", Sign::Resumable),
        ("Upload-Offset", "0", Sign::Resumable),
        ("upload-complete", "?0", Sign::Resumable),
        ("x-upload-content-type", "video/mp4", Sign::Resumable),
        ("x-goog-resumable", "start", Sign::Resumable),
        ("x-goog-upload-protocol", "raw", Sign::Resumable),
        ("upgrade", "websocket", Sign::Upgrade),
    ] {
        assert_eq!(of(&[json, (name, value)], true).upload, Some(sign), "{name}");
    }
    assert_eq!(of(&[json, ("content-encoding", "Identity")], true).upload, None);
    assert_eq!(of(&[json, ("x-upload", "1"), ("upload", "1"), ("upgrade-insecure-requests", "1")], true).upload, None);
    // The beginning of a resumable upload has no body yet.
    assert_eq!(of(&[("upload-length", "100")], false).upload, Some(Sign::Resumable));
    assert_eq!(of(&[("content-encoding", "gzip")], false).upload, None);
}

#[test]
fn a_response_that_is_a_file_is_a_download() {
    let ok = (":status", "200");
    for kind in ["application/json", "application/problem+json", "text/xml", "application/grpc", "text/event-stream"] {
        assert!(!download(&[ok, ("content-type", kind)]), "{kind}");
    }
    for kind in ["application/pdf", "text/csv", "text/plain", "text/html", "image/svg+xml", "multipart/byteranges", ""] {
        assert!(download(&[ok, ("content-type", kind)]), "{kind}");
    }
    let json = ("content-type", "application/json");
    assert!(download(&[ok]) && download(&[ok, json, json]));
    for more in [
        ("content-disposition", "attachment"),
        ("content-disposition", "inline; filename=a"),
        ("content-disposition", "form-data"),
        ("Content-Range", "bytes 0-9/10"),
    ] {
        assert!(download(&[ok, json, more]), "{more:?}");
    }
    assert!(!download(&[ok, json, ("content-disposition", " Inline ")]));
    assert!(!download(&[ok, json, ("content-encoding", "gzip")]), "its type says what it is");
    assert!(download(&[(":status", "206"), json]));
    // A page that stands for an answer is no file; a file is one whatever the status.
    for status in ["301", "404", "503"] {
        assert!(!download(&[(":status", status), ("content-type", "text/html")]), "{status}");
        assert!(!download(&[(":status", status), ("content-type", "text/plain")]), "{status}");
        assert!(download(&[(":status", status), ("content-type", "application/pdf")]), "{status}");
        assert!(download(&[(":status", status), ("content-type", "text/html"), ("content-disposition", "attachment")]));
        assert!(download(&[(":status", status)]), "{status}");
    }
}

#[test]
fn bytes_are_bounded_by_what_is_promised_and_by_what_has_come() {
    let limits =
        Transfers { uploads: true, downloads: true, max_request_bytes: Some(10), max_response_bytes: Some(20), session: None };
    let json = ("content-type", "application/json");
    let promised = |length: &str| of(&[json, ("content-length", length)], true).breaks(&limits);
    assert_eq!((promised("10"), promised("11")), (None, Some(TransferRule::RequestBytes)));
    for none in ["-1", "1e1", "99999999999999999999999", "x"] {
        assert_eq!(promised(none), Some(TransferRule::RequestBytes), "{none}");
    }
    let mut transfer = of(&[json], true);
    transfer.granted(Some(limits), None);
    transfer.request_bytes(4);
    transfer.request_bytes(6);
    assert_eq!(transfer.broken_now(), None);
    transfer.request_bytes(1);
    assert_eq!(transfer.broken_now(), Some(TransferRule::RequestBytes));
    transfer.request_bytes(u64::MAX);
    assert_eq!(transfer.broken_now(), Some(TransferRule::RequestBytes), "it never wraps");
    let mut transfer = of(&[], false);
    transfer.granted(Some(limits), None);
    let head = |length: &'static str| [(&b":status"[..], &b"200"[..]), (b"content-length", length.as_bytes())];
    assert!(transfer.respond(&head("20")));
    transfer.response_bytes(20);
    assert_eq!(transfer.broken_now(), None);
    transfer.response_bytes(1);
    assert_eq!(transfer.broken_now(), Some(TransferRule::ResponseBytes));
    let mut transfer = of(&[], false);
    transfer.granted(Some(limits), None);
    assert!(!transfer.respond(&head("21")));
    // Without a grant's rules nothing is broken.
    transfer.granted(None, None);
    assert_eq!(transfer.broken_now(), None);
}

#[test]
fn parts_of_files_and_upgrades_are_downloads_that_are_asked_for() {
    let limits = Transfers { uploads: true, downloads: false, max_request_bytes: None, max_response_bytes: None, session: None };
    for (name, value) in [("Range", "bytes=0-9"), ("if-range", "\"x\""), ("upgrade", "websocket")] {
        assert_eq!(of(&[(name, value)], false).breaks(&limits), Some(TransferRule::Download), "{name}");
    }
    assert_eq!(of(&[("accept-ranges", "bytes")], false).breaks(&limits), None);
    assert_eq!(of(&[("range", "bytes=0-9")], false).breaks(&Transfers { downloads: true, ..limits }), None);
}

#[test]
fn what_says_that_nothing_follows_is_no_file_until_something_does() {
    let rules = Transfers { uploads: false, downloads: false, max_request_bytes: None, max_response_bytes: None, session: None };
    let mut empty = of(&[("content-length", "0")], true);
    assert_eq!(empty.breaks(&rules), None);
    empty.request_bytes(1);
    assert_eq!(empty.breaks(&rules), Some(TransferRule::Upload));
    let lengths = [("content-length", "0"), ("content-length", "1")];
    assert_eq!(of(&lengths, true).breaks(&rules), Some(TransferRule::Upload));
    assert_eq!(of(&[("content-length", "0"), ("upload-offset", "0")], true).breaks(&rules), Some(TransferRule::Upload));
    for head in [
        [(":status", "204"), ("x", "")],
        [(":status", "304"), ("content-length", "999")],
        [(":status", "200"), ("content-length", "0")],
    ] {
        let all: Vec<(&[u8], &[u8])> = head.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let mut transfer = of(&[], false);
        transfer.granted(Some(rules), None);
        assert!(transfer.respond(&all), "{head:?}");
        transfer.response_bytes(1);
        assert_eq!(transfer.broken_now(), Some(TransferRule::Download), "{head:?}");
    }
    assert!(download(&[(":status", "200"), ("content-length", "1")]));
    // What answers HEAD says what a GET would get.
    let fields: [(&[u8], &[u8]); 3] = [(b":method", b"HEAD"), (b":path", b"/"), (b":authority", b"a")];
    let request = Request::read(&Head { headers: &fields, ..Head::default() }).unwrap();
    let mut transfer = Transfer::of(&fields, &request, false);
    transfer.granted(Some(Transfers { max_response_bytes: Some(9), ..rules }), None);
    let file: [(&[u8], &[u8]); 3] = [(b":status", b"200"), (b"content-type", b"application/pdf"), (b"content-length", b"999")];
    assert!(transfer.respond(&file));
    transfer.response_bytes(1);
    assert_eq!(transfer.broken_now(), Some(TransferRule::Download));
}

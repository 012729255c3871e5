//! The built-in upstream: it says what it was asked.

use super::body::Passing;
use super::heads;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{
    Method, Request, Response,
    http::{request, uri},
};

/// A gRPC message of no bytes: not compressed, length 0.
const EMPTY_MESSAGE: &[u8] = &[0; 5];

pub(super) async fn answer(request: Request<Passing>, grpc: bool) -> Response<Passing> {
    let (parts, mut body) = request.into_parts();
    // The whole request first: it may yet be refused for its trailers.
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = if grpc { grpc_answer() } else { told(&parts) };
    // Over HTTP/2 the library would send it, which is an error of the protocol.
    if parts.method == Method::HEAD {
        *response.body_mut() = Passing::Empty;
    }
    response
}

fn told(parts: &request::Parts) -> Response<Passing> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<[String; 2]> = heads::from_fields(&parts.headers).iter().map(|(n, v)| [text(n), text(v)]).collect();
    let json = serde_json::json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path_and_query().map_or("", uri::PathAndQuery::as_str),
        "headers": headers,
    });
    let text = format!("{json}\n");
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(Passing::whole(text));
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn grpc_answer() -> Response<Passing> {
    let (frames, body) = Passing::frames();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    for frame in [Frame::data(Bytes::from_static(EMPTY_MESSAGE)), Frame::trailers(trailers)] {
        // The channel has room for both.
        let _ = frames.try_send(Ok(frame));
    }
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

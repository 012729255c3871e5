//! Callouts and foreign functions. HTTP callouts are answered by the embedder's script; there is nobody to talk gRPC to.

use super::super::callout::{Callout, CalloutAnswer, CalloutRequest};
use super::super::guest::slice;
use super::super::headers::read_pairs;
use super::super::{Status, foreign};
use super::{Answer, Caller, Guest, HostCall, HostState, Linker, answer, host_call};
use std::time::Duration;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    host_call!(linker, "env", HttpCall, http_call, cluster: u32, cluster_length: u32, headers: u32, headers_length: u32, body: u32,
        body_length: u32, trailers: u32, trailers_length: u32, timeout: u32, token_at: u32);
    host_call!(linker, "env", GrpcCall, grpc_call, service: u32, service_length: u32, name: u32, name_length: u32, method: u32,
        method_length: u32, metadata: u32, metadata_length: u32, message: u32, message_length: u32, timeout: u32, token_at: u32);
    host_call!(linker, "env", GrpcStream, grpc_stream, service: u32, service_length: u32, name: u32, name_length: u32, method: u32,
        method_length: u32, metadata: u32, metadata_length: u32, token_at: u32);
    host_call!(linker, "env", GrpcSend, grpc_send, token: u32, message: u32, message_length: u32, end_stream: u32);
    host_call!(linker, "env", GrpcCancel, no_such_call, token: u32);
    host_call!(linker, "env", GrpcClose, no_such_call, token: u32);
    host_call!(linker, "env", CallForeignFunction, foreign, name: u32, name_length: u32, arguments: u32, arguments_length: u32,
        results_at: u32, results_length_at: u32);
    Ok(())
}

fn readable(guest: &mut Guest<'_>, parts: &[(u32, u32)]) -> Answer {
    let (memory, _) = guest.split()?;
    for (address, length) in parts {
        slice(memory, *address, *length)?;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the ABI's signature")]
fn http_call(
    guest: &mut Guest<'_>,
    cluster: u32,
    cluster_length: u32,
    headers: u32,
    headers_length: u32,
    body: u32,
    body_length: u32,
    trailers: u32,
    trailers_length: u32,
    timeout: u32,
    token_at: u32,
) -> Answer {
    let (memory, _) = guest.split()?;
    let owned = |(name, value): (&[u8], &[u8])| (name.to_ascii_lowercase(), value.to_vec());
    let mut request = CalloutRequest {
        cluster: String::from_utf8_lossy(slice(memory, cluster, cluster_length)?).into_owned(),
        headers: read_pairs(slice(memory, headers, headers_length)?).into_iter().map(owned).collect(),
        body: slice(memory, body, body_length)?.to_vec(),
        trailers: read_pairs(slice(memory, trailers, trailers_length)?).into_iter().map(owned).collect(),
        timeout: (timeout > 0).then(|| Duration::from_millis(u64::from(timeout))),
    };
    guest.write_u32(token_at, 0)?;
    let given = |name: &[u8]| request.headers.iter().any(|(found, _)| found == name);
    let complete = given(b":path") && given(b":method") && (given(b":authority") || given(b"host"));
    if !complete || timeout > i32::MAX.unsigned_abs() {
        return Err(Status::BadArgument.into());
    }
    if !request.body.is_empty() {
        request.headers.push((b"content-length".to_vec(), request.body.len().to_string().into_bytes()));
    }
    let state = guest.state();
    let answer = match state.settings.clusters.answer(&request) {
        CalloutAnswer::NoCluster => return Err(Status::BadArgument.into()),
        answer @ (CalloutAnswer::Response(..)
        | CalloutAnswer::Unreachable(_)
        | CalloutAnswer::Reset(_)
        | CalloutAnswer::Silence) => answer,
    };
    let (root, now) = (state.root_context(), state.settings.clock.monotonic());
    let token = state.next_callout;
    state.next_callout = token.checked_add(1).unwrap_or(1);
    state.callouts.extend(Callout::new(token, root, now, request.timeout, answer));
    guest.write_u32(token_at, token)
}

#[expect(clippy::too_many_arguments, reason = "the ABI's signature")]
fn grpc_call(
    guest: &mut Guest<'_>,
    service: u32,
    service_length: u32,
    name: u32,
    name_length: u32,
    method: u32,
    method_length: u32,
    metadata: u32,
    metadata_length: u32,
    message: u32,
    message_length: u32,
    _timeout: u32,
    _token_at: u32,
) -> Answer {
    readable(
        guest,
        &[
            (service, service_length),
            (name, name_length),
            (method, method_length),
            (metadata, metadata_length),
            (message, message_length),
        ],
    )?;
    Err(Status::ParseFailure.into())
}

#[expect(clippy::too_many_arguments, reason = "the ABI's signature")]
fn grpc_stream(
    guest: &mut Guest<'_>,
    service: u32,
    service_length: u32,
    name: u32,
    name_length: u32,
    method: u32,
    method_length: u32,
    metadata: u32,
    metadata_length: u32,
    _token_at: u32,
) -> Answer {
    readable(guest, &[(service, service_length), (name, name_length), (method, method_length), (metadata, metadata_length)])?;
    Err(Status::ParseFailure.into())
}

fn grpc_send(guest: &mut Guest<'_>, _token: u32, message: u32, message_length: u32, _end_stream: u32) -> Answer {
    readable(guest, &[(message, message_length)])?;
    Err(Status::BadArgument.into())
}

fn no_such_call(_guest: &mut Guest<'_>, _token: u32) -> Answer {
    Err(Status::BadArgument.into())
}

/// Two of Envoy's functions are here: `verify_signature`, and `clear_route_cache`, for which there is no route to forget.
fn foreign(
    guest: &mut Guest<'_>,
    name: u32,
    name_length: u32,
    arguments: u32,
    arguments_length: u32,
    results_at: u32,
    results_length_at: u32,
) -> Answer {
    let (memory, state) = guest.split()?;
    let arguments = slice(memory, arguments, arguments_length)?;
    let answer = match slice(memory, name, name_length)? {
        b"clear_route_cache" => Ok(Vec::new()),
        b"verify_signature" => foreign::verify_signature(arguments),
        _ => return Err(Status::NotFound.into()),
    };
    let (mut bytes, status) = answer.map_or_else(|status| (Vec::new(), status), |bytes| (bytes, Status::Ok));
    if let Some(spoil) = state.spoil_answer.as_mut().filter(|_| status == Status::Ok) {
        spoil(&mut bytes);
    }
    // As Envoy: the addresses are written whatever the status, and a guest that wants no answer gets none allocated.
    let length = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
    if results_at != 0 {
        let address = if bytes.is_empty() { 0 } else { guest.place(&bytes)? };
        guest.write_u32(results_at, address)?;
    }
    if results_length_at != 0 {
        guest.write_u32(results_length_at, length)?;
    }
    if status == Status::Ok { Ok(()) } else { Err(status.into()) }
}

//! Callouts and foreign functions: this host has no clusters, so it answers as Envoy does for an unknown one.

use super::super::Status;
use super::super::guest::slice;
use super::{Answer, Caller, Guest, HostCall, HostState, Linker, answer, host_call};

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
    _timeout: u32,
    token_at: u32,
) -> Answer {
    readable(guest, &[(cluster, cluster_length), (headers, headers_length), (body, body_length), (trailers, trailers_length)])?;
    guest.write_u32(token_at, 0)?;
    Err(Status::BadArgument.into())
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

/// Only `clear_route_cache` is here, and there is no route to forget; of Envoy's other functions none is supported locally.
fn foreign(
    guest: &mut Guest<'_>,
    name: u32,
    name_length: u32,
    arguments: u32,
    arguments_length: u32,
    results_at: u32,
    results_length_at: u32,
) -> Answer {
    let (memory, _) = guest.split()?;
    slice(memory, arguments, arguments_length)?;
    if slice(memory, name, name_length)? != b"clear_route_cache" {
        return Err(Status::NotFound.into());
    }
    if results_at != 0 {
        guest.write_u32(results_at, 0)?;
    }
    if results_length_at != 0 {
        guest.write_u32(results_length_at, 0)?;
    }
    Ok(())
}

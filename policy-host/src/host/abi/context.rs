//! Log, time, properties, local replies, and which context a call is about.

use super::super::guest::slice;
use super::super::headers::read_pairs;
use super::super::module::Abi;
use super::super::state::{DeferredAction, Stream};
use super::super::{LocalReply, LogLevel, MapType, Status, properties, tick_nanoseconds};
use super::{Answer, Caller, Guest, HostCall, HostState, Linker, answer, host_call};

pub(super) fn link(linker: &mut Linker<HostState>, abi: Abi) -> wasmtime::Result<()> {
    host_call!(linker, "env", Log, log, level: u32, text: u32, length: u32);
    match abi {
        Abi::V0_1_0 => {
            host_call!(linker, "env", GetConfiguration, get_configuration, address_at: u32, length_at: u32);
            host_call!(linker, "env", ContinueRequest, continue_request);
            host_call!(linker, "env", ContinueResponse, continue_response);
            host_call!(linker, "env", ClearRouteCache, clear_route_cache);
        }
        Abi::V0_2_0 | Abi::V0_2_1 => {
            host_call!(linker, "env", ContinueStream, continue_stream, kind: u32);
            host_call!(linker, "env", CloseStream, close_stream, kind: u32);
        }
    }
    if abi == Abi::V0_2_1 {
        host_call!(linker, "env", GetLogLevel, get_log_level, level_at: u32);
    }
    host_call!(linker, "env", GetCurrentTime, get_current_time, time_at: u32);
    host_call!(linker, "env", SetTickPeriod, set_tick_period, milliseconds: u32);
    host_call!(linker, "env", GetStatus, get_status, code_at: u32, address_at: u32, length_at: u32);
    host_call!(linker, "env", GetProperty, get_property, path: u32, path_length: u32, address_at: u32, length_at: u32);
    host_call!(linker, "env", SetProperty, set_property, path: u32, path_length: u32, value: u32, value_length: u32);
    host_call!(linker, "env", SendLocalResponse, send_local_response, status: u32, details: u32, details_length: u32, body: u32,
        body_length: u32, headers: u32, headers_length: u32, grpc_status: u32);
    host_call!(linker, "env", SetEffectiveContext, set_effective_context, context: u32);
    host_call!(linker, "env", Done, done);
    Ok(())
}

fn log(guest: &mut Guest<'_>, level: u32, text: u32, length: u32) -> Answer {
    let level = LogLevel::from_abi(level).ok_or(Status::BadArgument)?;
    let (memory, state) = guest.split()?;
    let text = slice(memory, text, length)?;
    if level >= state.settings.log_level {
        state.settings.log.write(level, text);
    }
    Ok(())
}

fn get_log_level(guest: &mut Guest<'_>, level_at: u32) -> Answer {
    let level = guest.state().settings.log_level;
    guest.write_u32(level_at, level.into())
}

fn get_current_time(guest: &mut Guest<'_>, time_at: u32) -> Answer {
    let now = guest.state().settings.clock.wall();
    guest.write_u64(time_at, now)
}

fn set_tick_period(guest: &mut Guest<'_>, milliseconds: u32) -> Answer {
    let now = guest.state().settings.clock.monotonic();
    if let Some(root) = guest.state().root_mut() {
        root.tick_period = (milliseconds != 0).then_some(milliseconds);
        root.tick_due = root.tick_period.map(|period| now.saturating_add(tick_nanoseconds(period)));
    }
    Ok(())
}

/// The status of the last callout of this root.
fn get_status(guest: &mut Guest<'_>, code_at: u32, address_at: u32, length_at: u32) -> Answer {
    let (code, text) = guest.state().root_mut().map_or((0, ""), |root| root.status);
    guest.write_u32(code_at, code)?;
    guest.give(text.as_bytes(), address_at, length_at)
}

fn get_property(guest: &mut Guest<'_>, path: u32, path_length: u32, address_at: u32, length_at: u32) -> Answer {
    let (memory, _) = guest.split()?;
    let path = slice(memory, path, path_length)?.to_vec();
    guest.give_with(address_at, length_at, |state, out| properties::read(state, &path, out))
}

fn set_property(guest: &mut Guest<'_>, path: u32, path_length: u32, value: u32, value_length: u32) -> Answer {
    let (memory, state) = guest.split()?;
    let (path, value) = (slice(memory, path, path_length)?, slice(memory, value, value_length)?);
    state.stream_mut().ok_or(Status::NotFound)?.set_filter_state(path, value);
    Ok(())
}

/// The first reply counts. From a context without a stream there is nobody to reply to, and Envoy says `Ok` to that.
#[expect(clippy::too_many_arguments, reason = "the ABI's signature")]
fn send_local_response(
    guest: &mut Guest<'_>,
    status: u32,
    details: u32,
    details_length: u32,
    body: u32,
    body_length: u32,
    headers: u32,
    headers_length: u32,
    grpc_status: u32,
) -> Answer {
    let (memory, state) = guest.split()?;
    let details = slice(memory, details, details_length)?;
    let body = slice(memory, body, body_length)?;
    let headers = read_pairs(slice(memory, headers, headers_length)?);
    state.stop_iteration = true;
    let reply = LocalReply {
        status,
        details: String::from_utf8_lossy(details).replace(|c: char| c.is_ascii_whitespace(), "_"),
        headers: headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect(),
        body: body.to_vec(),
        // Codes beyond the known ones, such as the SDKs' -1, mean that the filter named none.
        grpc_status: (grpc_status <= 16).then_some(grpc_status),
    };
    let act = |stream: &mut Stream| match stream.driven {
        true => Some(DeferredAction::Reply(reply)),
        false => {
            if stream.local_reply.is_none() && !stream.failed {
                stream.local_reply = Some(reply);
            }
            None
        }
    };
    state.defer(act);
    Ok(())
}

/// ABI 0.1.0: the plugin's configuration while it is given, else the VM's.
fn get_configuration(guest: &mut Guest<'_>, address_at: u32, length_at: u32) -> Answer {
    guest.give_with(address_at, length_at, |state, out| {
        out.extend_from_slice(state.plugin_configuration().map_or(state.settings.configuration.as_slice(), |bytes| bytes));
        Ok(())
    })
}

fn continue_request(guest: &mut Guest<'_>) -> Answer {
    continue_stream(guest, 0)
}

fn continue_response(guest: &mut Guest<'_>) -> Answer {
    continue_stream(guest, 1)
}

/// There is no route to forget.
fn clear_route_cache(_guest: &mut Guest<'_>) -> Answer {
    Ok(())
}

/// Streams of HTTP are 0 and 1, of TCP 2 and 3.
fn continue_stream(guest: &mut Guest<'_>, kind: u32) -> Answer {
    let action = match kind {
        0 => DeferredAction::ContinueRequest,
        1 => DeferredAction::ContinueResponse,
        2 => return Ok(()),
        3 => return Err(Status::Unimplemented.into()),
        _ => return Err(Status::BadArgument.into()),
    };
    guest.state().defer(|stream| {
        if !stream.driven {
            stream.continued = true;
            return None;
        }
        // Whichever direction is continued, Envoy takes the request away from the filter.
        stream.hide(MapType::RequestHeaders, true);
        stream.hide(MapType::RequestTrailers, true);
        Some(action)
    });
    Ok(())
}

fn close_stream(guest: &mut Guest<'_>, kind: u32) -> Answer {
    if kind > 3 {
        return Err(Status::BadArgument.into());
    }
    if kind < 2 {
        guest.state().defer(|stream| {
            stream.info.response_code_details.get_or_insert_with(|| "wasm_close_stream".into());
            stream.closed = true;
            stream.driven.then_some(DeferredAction::Close)
        });
    }
    Ok(())
}

fn set_effective_context(guest: &mut Guest<'_>, context: u32) -> Answer {
    let state = guest.state();
    // Context 0 is the VM's own, which is always there.
    if context != 0 && !state.contexts.contains_key(&context) {
        return Err(Status::BadArgument.into());
    }
    state.effective = context;
    Ok(())
}

fn done(guest: &mut Guest<'_>) -> Answer {
    let root = guest.state().root_mut().filter(|root| root.pending_done).ok_or(Status::NotFound)?;
    root.pending_done = false;
    Ok(())
}

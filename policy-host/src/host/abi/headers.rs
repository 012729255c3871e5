//! Header maps and buffers.

use super::super::guest::slice;
use super::super::headers::{read_pairs, write_pairs};
use super::super::module::Abi;
use super::super::{BufferType, MapType, Status};
use super::{Answer, Caller, Guest, HostCall, HostState, Linker, answer, host_call};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    host_call!(linker, "env", GetHeaderMapPairs, pairs, map: u32, address_at: u32, length_at: u32);
    host_call!(linker, "env", SetHeaderMapPairs, set_pairs, map: u32, address: u32, length: u32);
    host_call!(linker, "env", GetHeaderMapValue, get, map: u32, key: u32, key_length: u32, address_at: u32, length_at: u32);
    host_call!(linker, "env", AddHeaderMapValue, add, map: u32, key: u32, key_length: u32, value: u32, value_length: u32);
    host_call!(linker, "env", ReplaceHeaderMapValue, replace, map: u32, key: u32, key_length: u32, value: u32, value_length: u32);
    host_call!(linker, "env", RemoveHeaderMapValue, remove, map: u32, key: u32, key_length: u32);
    host_call!(linker, "env", GetHeaderMapSize, size, map: u32, size_at: u32);
    host_call!(linker, "env", GetBufferBytes, buffer, kind: u32, start: u32, length: u32, address_at: u32, length_at: u32);
    host_call!(linker, "env", GetBufferStatus, buffer_status, kind: u32, length_at: u32, flags_at: u32);
    host_call!(linker, "env", SetBufferBytes, set_buffer, kind: u32, start: u32, length: u32, data: u32, data_length: u32);
    Ok(())
}

fn map_type(map: u32) -> Result<MapType, Status> {
    MapType::from_abi(map).ok_or(Status::BadArgument)
}

fn buffer_type(kind: u32) -> Result<BufferType, Status> {
    BufferType::from_abi(kind).ok_or(Status::BadArgument)
}

/// A map that is not available reads as empty here, and only here.
fn pairs(guest: &mut Guest<'_>, map: u32, address_at: u32, length_at: u32) -> Answer {
    let map = map_type(map)?;
    guest.give_with(address_at, length_at, |state, out| {
        if let Some(map) = state.map(map).filter(|map| !map.entries().is_empty()) {
            write_pairs(map.entries(), out);
        }
        if let Some(spoil) = &mut state.spoil_map {
            spoil(out);
        }
        Ok(())
    })
}

fn set_pairs(guest: &mut Guest<'_>, map: u32, address: u32, length: u32) -> Answer {
    let map = map_type(map)?;
    let (memory, state) = guest.split()?;
    let pairs = read_pairs(slice(memory, address, length)?);
    let map = state.stream_mut().and_then(|stream| stream.map_mut(map)).ok_or(Status::BadArgument)?;
    map.replace_all(pairs);
    Ok(())
}

fn get(guest: &mut Guest<'_>, map: u32, key: u32, key_length: u32, address_at: u32, length_at: u32) -> Answer {
    let map = map_type(map)?;
    let (memory, state) = guest.split()?;
    let key = slice(memory, key, key_length)?;
    let logging = state.stream().is_some_and(|stream| stream.logging);
    let missing = if logging { Status::NotFound } else { Status::BadArgument };
    let value = match state.map(map).ok_or(missing)?.get(key) {
        Some(value) => value.to_vec(),
        // ABI 0.1.0 cannot tell a header that is not there from an empty one.
        None if state.abi == Abi::V0_1_0 => Vec::new(),
        None => return Err(Status::NotFound.into()),
    };
    guest.give(&value, address_at, length_at)
}

fn add(guest: &mut Guest<'_>, map: u32, key: u32, key_length: u32, value: u32, value_length: u32) -> Answer {
    let map = map_type(map)?;
    let (memory, state) = guest.split()?;
    let (key, value) = (slice(memory, key, key_length)?, slice(memory, value, value_length)?);
    state.stream_mut().and_then(|stream| stream.map_mut(map)).ok_or(Status::BadArgument)?.add(key, value);
    Ok(())
}

fn replace(guest: &mut Guest<'_>, map: u32, key: u32, key_length: u32, value: u32, value_length: u32) -> Answer {
    let map = map_type(map)?;
    let (memory, state) = guest.split()?;
    let (key, value) = (slice(memory, key, key_length)?, slice(memory, value, value_length)?);
    state.stream_mut().and_then(|stream| stream.map_mut(map)).ok_or(Status::BadArgument)?.replace(key, value);
    Ok(())
}

fn remove(guest: &mut Guest<'_>, map: u32, key: u32, key_length: u32) -> Answer {
    let map = map_type(map)?;
    let (memory, state) = guest.split()?;
    let key = slice(memory, key, key_length)?;
    state.stream_mut().and_then(|stream| stream.map_mut(map)).ok_or(Status::BadArgument)?.remove(key);
    Ok(())
}

/// Bytes, not entries: Envoy answers the map's byte size.
fn size(guest: &mut Guest<'_>, map: u32, size_at: u32) -> Answer {
    let map = map_type(map)?;
    let stream = guest.state().stream_mut().ok_or(Status::BadArgument)?;
    let size = stream.map_mut(map).ok_or(Status::BadArgument)?.byte_size();
    guest.write_u32(size_at, size)
}

/// The bytes of a buffer; `NotFound` where Envoy has no such buffer. Outside of their callbacks bodies read as empty.
fn contents(state: &HostState, kind: BufferType) -> Result<&[u8], Status> {
    match kind {
        BufferType::VmConfiguration => Ok(&state.settings.configuration),
        BufferType::PluginConfiguration => state.plugin_configuration().map(|bytes| &**bytes).ok_or(Status::NotFound),
        BufferType::RequestBody => Ok(state.stream().and_then(|stream| stream.request_body.as_deref()).unwrap_or_default()),
        BufferType::ResponseBody => Ok(state.stream().and_then(|stream| stream.response_body.as_deref()).unwrap_or_default()),
        BufferType::DownstreamData | BufferType::UpstreamData | BufferType::GrpcMessage | BufferType::CallData => Ok(&[]),
        BufferType::HttpCallBody => {
            state.root().and_then(|root| root.callout_answer.as_ref()).map(|answer| &*answer.body).ok_or(Status::NotFound)
        }
    }
}

fn buffer(guest: &mut Guest<'_>, kind: u32, start: u32, length: u32, address_at: u32, length_at: u32) -> Answer {
    let kind = buffer_type(kind)?;
    guest.give_with(address_at, length_at, |state, out| {
        let bytes = contents(state, kind)?;
        let start = (start as usize).min(bytes.len());
        let end = start.saturating_add(length as usize).min(bytes.len());
        out.extend_from_slice(bytes.get(start..end).unwrap_or_default());
        Ok(())
    })
}

fn buffer_status(guest: &mut Guest<'_>, kind: u32, length_at: u32, flags_at: u32) -> Answer {
    let kind = buffer_type(kind)?;
    let length = u32::try_from(contents(guest.state(), kind)?.len()).unwrap_or(u32::MAX);
    guest.write_u32(length_at, length)?;
    guest.write_u32(flags_at, 0)
}

/// Envoy replaces bytes at the beginning, prepends or appends; it changes nothing inside a buffer.
fn set_buffer(guest: &mut Guest<'_>, kind: u32, start: u32, length: u32, data: u32, data_length: u32) -> Answer {
    let kind = buffer_type(kind)?;
    contents(guest.state(), kind)?;
    let (memory, state) = guest.split()?;
    let data = slice(memory, data, data_length)?;
    let stream = state.stream_mut().ok_or(Status::BadArgument)?;
    let body = match kind {
        BufferType::RequestBody => stream.request_body.as_mut(),
        BufferType::ResponseBody => stream.response_body.as_mut(),
        BufferType::DownstreamData
        | BufferType::UpstreamData
        | BufferType::HttpCallBody
        | BufferType::GrpcMessage
        | BufferType::VmConfiguration
        | BufferType::PluginConfiguration
        | BufferType::CallData => None,
    };
    let body = body.ok_or(Status::BadArgument)?;
    let (start, length) = (start as usize, length as usize);
    if start == 0 {
        body.splice(0..length.min(body.len()), data.iter().copied());
    } else if start >= body.len() {
        body.extend_from_slice(data);
    } else {
        return Err(Status::BadArgument.into());
    }
    Ok(())
}

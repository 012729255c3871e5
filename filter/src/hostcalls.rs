//! The host's functions (proxy-wasm ABI 0.2.1), named as in the official crate's `hostcalls`. Each gives its status as a value and
//! its bytes as they are: nothing that a host returns traps the VM.
#![expect(unsafe_code, reason = "the ABI is pointers and lengths; this file is the only one that passes them")]

use std::alloc::{Layout, alloc};
use std::ptr::{null, null_mut};
use std::time::Duration;

use crate::types::{BufferType, LogLevel, MapType, MetricType, StreamType};

/// A call failed; which status it gave changes nothing in what we do. The crate's `Status` is an enum that lacks some of what
/// Envoy returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: i32, text: *const u8, size: usize) -> i32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> i32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> i32;
    fn proxy_get_buffer_bytes(buffer: i32, start: usize, most: usize, data: *mut *mut u8, size: *mut usize) -> i32;
    fn proxy_set_buffer_bytes(buffer: i32, start: usize, size: usize, data: *const u8, length: usize) -> i32;
    fn proxy_get_header_map_pairs(map: i32, data: *mut *mut u8, size: *mut usize) -> i32;
    fn proxy_remove_header_map_value(map: i32, name: *const u8, name_size: usize) -> i32;
    fn proxy_replace_header_map_value(map: i32, name: *const u8, name_size: usize, value: *const u8, value_size: usize) -> i32;
    fn proxy_add_header_map_value(map: i32, name: *const u8, name_size: usize, value: *const u8, value_size: usize) -> i32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> i32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> i32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> i32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> i32;
    fn proxy_get_shared_data(key: *const u8, key_size: usize, data: *mut *mut u8, size: *mut usize, version: *mut u32) -> i32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, value_size: usize, version: u32) -> i32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        token: *mut u32,
    ) -> i32;
    fn proxy_set_effective_context(context: u32) -> i32;
    fn proxy_continue_stream(stream: i32) -> i32;
    fn proxy_close_stream(side: i32) -> i32;
    fn proxy_define_metric(kind: i32, name: *const u8, name_size: usize, id: *mut u32) -> i32;
    fn proxy_increment_metric(id: u32, offset: i64) -> i32;
    fn proxy_record_metric(id: u32, value: u64) -> i32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn environ_sizes_get(count: *mut usize, size: *mut usize) -> i32;
    fn clock_time_get(clock: i32, precision: u64, time: *mut u64) -> i32;
    fn environ_get(pointers: *mut *mut u8, text: *mut u8) -> i32;
}

fn ok(status: i32) -> Result<(), Failed> {
    if status == 0 { Ok(()) } else { Err(Failed) }
}

/// Memory that the host fills and we then own. Null when there is none left: the host's call fails, not the VM.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the layout is not empty.
        Ok(layout) if size > 0 => unsafe { alloc(layout) },
        Ok(_) | Err(_) => null_mut(),
    }
}

/// Runs a call that gives bytes, and takes ownership of them.
fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> i32) -> Result<Vec<u8>, Failed> {
    let (mut data, mut size) = (null_mut::<u8>(), 0);
    ok(call(&raw mut data, &raw mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the host got `data` from `proxy_on_memory_allocate` with exactly `size` bytes, and has filled them.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// The same of what the host may not have: `None` then.
fn bytes_if_any(call: impl FnOnce(*mut *mut u8, *mut usize) -> i32) -> Result<Option<Vec<u8>>, Failed> {
    const NOT_FOUND: i32 = 1;
    let mut status = 0;
    let found = bytes(|data, size| {
        status = call(data, size);
        status
    });
    if status == NOT_FOUND { Ok(None) } else { found.map(Some) }
}

pub(crate) fn log(level: LogLevel, text: &str) {
    // SAFETY: `text` outlives the call. A line that cannot be written is no reason to do anything else.
    let _ = unsafe { proxy_log(level as i32, text.as_ptr(), text.len()) };
}

/// The environment: `NAME=value`, each with a NUL after it. Not by `std::env`, whose libc ends the VM when the host fails.
pub(crate) fn environment() -> Result<Vec<u8>, Failed> {
    let (mut count, mut size) = (0, 0);
    // SAFETY: both outlive the call.
    ok(unsafe { environ_sizes_get(&raw mut count, &raw mut size) })?;
    let (mut pointers, mut text) = (Vec::new(), Vec::new());
    pointers.try_reserve_exact(count).map_err(|_| Failed)?;
    pointers.resize(count, null_mut());
    text.try_reserve_exact(size).map_err(|_| Failed)?;
    text.resize(size, 0);
    // SAFETY: they have room for as many pointers and bytes as the host has just asked for.
    ok(unsafe { environ_get(pointers.as_mut_ptr(), text.as_mut_ptr()) })?;
    Ok(text)
}

/// Unix nanoseconds.
pub(crate) fn get_current_time() -> Result<u64, Failed> {
    let mut time = 0;
    // SAFETY: `time` outlives the call.
    ok(unsafe { proxy_get_current_time_nanoseconds(&raw mut time) })?;
    // A clock that stands at the epoch is a clock that failed.
    if time == 0 { Err(Failed) } else { Ok(time) }
}

/// Nanoseconds of a clock that never steps, the same for all workers of the proxy (WASI's monotonic clock).
pub(crate) fn monotonic() -> Result<u64, Failed> {
    const MONOTONIC: i32 = 1;
    let mut time = 0;
    // SAFETY: `time` outlives the call.
    ok(unsafe { clock_time_get(MONOTONIC, 0, &raw mut time) })?;
    Ok(time)
}

/// A value that all VMs of this id share, with its version; `None` when there is none.
pub(crate) fn get_shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>, Failed> {
    let mut version = 0;
    // SAFETY: `key` and the out-pointers outlive the call.
    let value =
        bytes_if_any(|data, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version) })?;
    Ok(value.map(|value| (value, version)))
}

/// Puts a value in the place of the one of this version; false when that is another by now.
pub(crate) fn set_shared_data(key: &str, value: &[u8], version: u32) -> Result<bool, Failed> {
    const CAS_MISMATCH: i32 = 8;
    // SAFETY: all of them outlive the call.
    match unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) } {
        0 => Ok(true),
        CAS_MISMATCH => Ok(false),
        _ => Err(Failed),
    }
}

/// Has `proxy_on_tick` called of the root context that is being configured.
pub(crate) fn set_tick_period(milliseconds: u32) -> Result<(), Failed> {
    // SAFETY: no pointers.
    ok(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
}

/// The first `size` bytes of a buffer.
pub(crate) fn get_buffer(buffer: BufferType, size: usize) -> Result<Vec<u8>, Failed> {
    if size == 0 {
        // The host may have no buffer at all where nothing has come.
        return Ok(Vec::new());
    }
    // SAFETY: the out-pointers outlive the call.
    bytes(|data, length| unsafe { proxy_get_buffer_bytes(buffer as i32, 0, size, data, length) })
}

/// Puts `bytes` into the place of the first `size` bytes of a buffer.
pub(crate) fn set_buffer(buffer: BufferType, size: usize, bytes: &[u8]) -> Result<(), Failed> {
    // SAFETY: the bytes outlive the call.
    ok(unsafe { proxy_set_buffer_bytes(buffer as i32, 0, size, bytes.as_ptr(), bytes.len()) })
}

/// Sends a request to a cluster; gives the token by which the host tells of the answer. `headers` serialised as
/// in [`crate::fields`].
pub(crate) fn dispatch_http_call(cluster: &str, headers: &[u8], body: &[u8], timeout: Duration) -> Result<u32, Failed> {
    let timeout = u32::try_from(timeout.as_millis()).map_err(|_| Failed)?;
    let mut token = 0;
    // SAFETY: all of them outlive the call.
    ok(unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            null(),
            0,
            timeout,
            &raw mut token,
        )
    })?;
    Ok(token)
}

/// A header map, serialised; see [`crate::fields`].
pub(crate) fn get_map(map: MapType) -> Result<Vec<u8>, Failed> {
    // SAFETY: the out-pointers outlive the call.
    bytes(|data, size| unsafe { proxy_get_header_map_pairs(map as i32, data, size) })
}

pub(crate) fn remove_map_value(map: MapType, name: &[u8]) -> Result<(), Failed> {
    // SAFETY: `name` outlives the call.
    ok(unsafe { proxy_remove_header_map_value(map as i32, name.as_ptr(), name.len()) })
}

pub(crate) fn set_map_value(map: MapType, name: &[u8], value: &[u8]) -> Result<(), Failed> {
    // SAFETY: both outlive the call.
    ok(unsafe { proxy_replace_header_map_value(map as i32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Adds a field beside those that are there.
pub(crate) fn add_map_value(map: MapType, name: &[u8], value: &[u8]) -> Result<(), Failed> {
    // SAFETY: both outlive the call.
    ok(unsafe { proxy_add_header_map_value(map as i32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// A property by its path, the steps joined by NUL; `None` when the proxy has none or does not know it.
pub(crate) fn get_property(path: &str) -> Result<Option<Vec<u8>>, Failed> {
    // SAFETY: `path` and the out-pointers outlive the call.
    bytes_if_any(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// A property that is an integer: 8 bytes, little-endian.
pub(crate) fn get_integer_property(path: &str) -> Option<u64> {
    Some(u64::from_le_bytes(get_property(path).ok()??.try_into().ok()?))
}

pub(crate) fn set_property(path: &str, value: &[u8]) -> Result<(), Failed> {
    // SAFETY: both outlive the call.
    ok(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

/// A function that the host has beyond the ABI, by its name.
pub(crate) fn call_foreign_function(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Failed> {
    // SAFETY: both and the out-pointers outlive the call.
    bytes(|data, size| unsafe {
        proxy_call_foreign_function(name.as_ptr(), name.len(), arguments.as_ptr(), arguments.len(), data, size)
    })
}

/// Answers the request in the upstream's stead. `headers` serialised as in [`crate::fields`].
pub(crate) fn send_http_response(
    status: u16,
    details: &str,
    body: &[u8],
    headers: &[u8],
    grpc_status: Option<u32>,
) -> Result<(), Failed> {
    let grpc_status = grpc_status.and_then(|status| i32::try_from(status).ok()).unwrap_or(-1);
    // SAFETY: all of them outlive the call.
    ok(unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            if headers.is_empty() { null() } else { headers.as_ptr() },
            headers.len(),
            grpc_status,
        )
    })
}

/// Makes the host's calls be about this stream until the callback returns.
pub(crate) fn set_effective_context(context: u32) -> Result<(), Failed> {
    // SAFETY: no pointers.
    ok(unsafe { proxy_set_effective_context(context) })
}

/// Lets the request that the host's calls are about go on from where it was held, as soon as the callback has returned.
pub(crate) fn resume_http_request() -> Result<(), Failed> {
    // SAFETY: no pointers.
    ok(unsafe { proxy_continue_stream(StreamType::HttpRequest as i32) })
}

/// Resets the stream that the host's calls are about as soon as the callback has returned. By its response, but Envoy resets all
/// of a stream whichever half is named.
pub(crate) fn reset_http_response() -> Result<(), Failed> {
    // SAFETY: no pointers.
    ok(unsafe { proxy_close_stream(StreamType::HttpResponse as i32) })
}

pub(crate) fn define_metric(kind: MetricType, name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: `name` and `id` outlive the call.
    ok(unsafe { proxy_define_metric(kind as i32, name.as_ptr(), name.len(), &raw mut id) }).ok()?;
    Some(id)
}

pub(crate) fn increment_metric(id: u32, offset: i64) {
    // SAFETY: no pointers. A metric that cannot be written changes no decision.
    let _ = unsafe { proxy_increment_metric(id, offset) };
}

pub(crate) fn record_metric(id: u32, value: u64) {
    // SAFETY: no pointers. A metric that cannot be written changes no decision.
    let _ = unsafe { proxy_record_metric(id, value) };
}

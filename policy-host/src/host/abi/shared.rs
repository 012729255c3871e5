//! Shared data and shared queues.

use super::super::Status;
use super::super::guest::slice;
use super::{Answer, Caller, Guest, HostCall, HostState, Linker, answer, host_call};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    host_call!(linker, "env", GetSharedData, get, key: u32, key_length: u32, address_at: u32, length_at: u32, cas_at: u32);
    host_call!(linker, "env", SetSharedData, set, key: u32, key_length: u32, value: u32, value_length: u32, cas: u32);
    host_call!(linker, "env", RegisterSharedQueue, register, name: u32, name_length: u32, token_at: u32);
    host_call!(linker, "env", ResolveSharedQueue, resolve, vm: u32, vm_length: u32, name: u32, name_length: u32, token_at: u32);
    host_call!(linker, "env", EnqueueSharedQueue, enqueue, token: u32, data: u32, data_length: u32);
    host_call!(linker, "env", DequeueSharedQueue, dequeue, token: u32, address_at: u32, length_at: u32);
    Ok(())
}

fn get(guest: &mut Guest<'_>, key: u32, key_length: u32, address_at: u32, length_at: u32, cas_at: u32) -> Answer {
    let (memory, state) = guest.split()?;
    let key = slice(memory, key, key_length)?;
    let (value, cas) = state.settings.shared.get(state.settings.vm_id.as_bytes(), key).ok_or(Status::NotFound)?;
    guest.give(&value, address_at, length_at)?;
    guest.write_u32(cas_at, cas)
}

fn set(guest: &mut Guest<'_>, key: u32, key_length: u32, value: u32, value_length: u32, cas: u32) -> Answer {
    let (memory, state) = guest.split()?;
    let (key, value) = (slice(memory, key, key_length)?, slice(memory, value, value_length)?);
    Ok(state.settings.shared.set(state.settings.vm_id.as_bytes(), key, value, cas)?)
}

fn register(guest: &mut Guest<'_>, name: u32, name_length: u32, token_at: u32) -> Answer {
    let (memory, state) = guest.split()?;
    let name = slice(memory, name, name_length)?;
    let told = (state.vm, state.root_context());
    let token = state.settings.shared.register_queue(state.settings.vm_id.as_bytes(), name, told);
    guest.write_u32(token_at, token)
}

fn resolve(guest: &mut Guest<'_>, vm: u32, vm_length: u32, name: u32, name_length: u32, token_at: u32) -> Answer {
    let (memory, state) = guest.split()?;
    let (vm, name) = (slice(memory, vm, vm_length)?, slice(memory, name, name_length)?);
    let vm = if vm.is_empty() { state.settings.vm_id.as_bytes() } else { vm };
    let token = state.settings.shared.resolve_queue(vm, name).ok_or(Status::NotFound)?;
    guest.write_u32(token_at, token)
}

/// Whoever registered the queue is told when its worker runs what is due.
fn enqueue(guest: &mut Guest<'_>, token: u32, data: u32, data_length: u32) -> Answer {
    let (memory, state) = guest.split()?;
    let data = slice(memory, data, data_length)?;
    Ok(state.settings.shared.enqueue(token, data)?)
}

fn dequeue(guest: &mut Guest<'_>, token: u32, address_at: u32, length_at: u32) -> Answer {
    let data = guest.state().settings.shared.dequeue(token)?;
    guest.give(&data, address_at, length_at)
}

//! The guest's side of a host call: its memory, its allocator, and what Envoy answers when a pointer is bad.

use super::state::{HostState, Phase};
use super::{HostCall, Status};
use wasmtime::{AsContextMut, Caller, Memory};

/// Why a host call does not answer `Ok`.
pub(super) enum Fault {
    /// The guest sees this number (a [`Status`], or an errno of WASI).
    Status(u32),
    /// The guest ends here.
    Trap(wasmtime::Error),
}

pub(super) type Answer = Result<(), Fault>;

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status.into())
    }
}

impl From<wasmtime::Error> for Fault {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

const BAD_POINTER: Fault = Fault::Status(Status::InvalidMemoryAccess as u32);

/// One host call.
pub(super) struct Guest<'a> {
    caller: Caller<'a, HostState>,
}

impl<'a> Guest<'a> {
    /// Counts the call. `Err` is the answer when a test made this call fail.
    pub(super) fn enter(mut caller: Caller<'a, HostState>, call: HostCall) -> wasmtime::Result<Result<Self, u32>> {
        let state = caller.data_mut();
        let forced = state.forced(call);
        if !call.allowed(state.phase) {
            return Err(wasmtime::Error::msg(format!("restricted callback: {} is not available now", call.name())));
        }
        match forced {
            Some(status) => Ok(Err(status)),
            None => Ok(Ok(Self { caller })),
        }
    }

    pub(super) fn state(&mut self) -> &mut HostState {
        self.caller.data_mut()
    }

    /// The guest's memory and the host's state, side by side.
    pub(super) fn split(&mut self) -> Result<(&mut [u8], &mut HostState), Fault> {
        let memory = self.memory()?;
        Ok(memory.data_and_store_mut(&mut self.caller))
    }

    fn memory(&self) -> Result<Memory, Fault> {
        // Absent while a start function runs, and in a module that keeps its memory to itself, which Envoy loads, too.
        self.caller.data().memory.ok_or(BAD_POINTER)
    }

    pub(super) fn write(&mut self, address: u32, bytes: &[u8]) -> Answer {
        let (memory, _) = self.split()?;
        slice_mut(memory, address, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn write_u32(&mut self, address: u32, value: u32) -> Answer {
        self.write(address, &value.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, address: u32, value: u64) -> Answer {
        self.write(address, &value.to_le_bytes())
    }

    /// Gives the guest a copy: allocates in it, writes the bytes, then the address and the length where it asked for them.
    /// Nothing is allocated for no bytes, and the address is then 0.
    pub(super) fn give(&mut self, bytes: &[u8], address_at: u32, length_at: u32) -> Answer {
        let length = u32::try_from(bytes.len()).map_err(|_| BAD_POINTER)?;
        let address = if length == 0 { 0 } else { self.place(bytes)? };
        self.write_u32(address_at, address)?;
        self.write_u32(length_at, length)
    }

    /// Allocates in the guest and writes the bytes there.
    pub(super) fn place(&mut self, bytes: &[u8]) -> Result<u32, Fault> {
        let address = self.allocate(u32::try_from(bytes.len()).map_err(|_| BAD_POINTER)?)?;
        self.write(address, bytes)?;
        Ok(address)
    }

    /// As [`Self::give`], with what `fill` writes into the reused buffer.
    pub(super) fn give_with(
        &mut self,
        address_at: u32,
        length_at: u32,
        fill: impl FnOnce(&mut HostState, &mut Vec<u8>) -> Result<(), Status>,
    ) -> Answer {
        let mut scratch = std::mem::take(&mut self.state().scratch);
        scratch.clear();
        let answer = match fill(self.state(), &mut scratch) {
            Ok(()) => self.give(&scratch, address_at, length_at),
            Err(status) => Err(status.into()),
        };
        self.state().scratch = scratch;
        answer
    }

    fn allocate(&mut self, length: u32) -> Result<u32, Fault> {
        let Some(allocate) = self.state().allocate.clone() else { return Err(BAD_POINTER) };
        let phase = std::mem::replace(&mut self.state().phase, Phase::Allocating);
        let address = allocate.call(self.caller.as_context_mut(), length);
        self.state().phase = phase;
        match address? {
            0 => Err(BAD_POINTER),
            address => Ok(address),
        }
    }
}

/// `length` bytes of the guest's memory.
pub(super) fn slice(memory: &[u8], address: u32, length: u32) -> Result<&[u8], Fault> {
    let (start, length) = (address as usize, length as usize);
    let end = start.checked_add(length).ok_or(BAD_POINTER)?;
    memory.get(start..end).ok_or(BAD_POINTER)
}

fn slice_mut(memory: &mut [u8], address: u32, length: usize) -> Result<&mut [u8], Fault> {
    let start = address as usize;
    let end = start.checked_add(length).ok_or(BAD_POINTER)?;
    memory.get_mut(start..end).ok_or(BAD_POINTER)
}

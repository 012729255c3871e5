//! The part of WASI preview 1 that Envoy provides: a log, clocks, randomness, an environment. No files, no sockets.

use super::super::LogLevel;
use super::super::guest::{Fault, slice};
use super::{Answer, Caller, Guest, HostCall, HostState, Linker, answer, host_call};
use wasmtime::{FuncType, Val, ValType};

const EBADF: u32 = 8;
const ENOTDIR: u32 = 20;
const EFAULT: u32 = 21;
const EINVAL: u32 = 28;
const EIO: u32 = 29;
const ENOENT: u32 = 44;
const ENOSYS: u32 = 52;
const ENOTSUP: u32 = 58;

/// Most bytes of one `random_get`, as in Envoy.
const RANDOM_MAX_BYTES: u32 = 64 * 1024;

/// What Envoy answers where it does nothing.
#[derive(Clone, Copy)]
enum Fixed {
    Errno(u32),
    /// Success for stdout and stderr, `EBADF` for all else.
    OnlyStandard,
}

/// Name, parameters (`i`: 32 bits, `I`: 64 bits), answer.
const FIXED: &[(&str, &str, Fixed)] = &[
    ("fd_read", "iiii", Fixed::Errno(ENOSYS)),
    ("fd_seek", "iIii", Fixed::Errno(0)),
    ("fd_close", "i", Fixed::Errno(0)),
    ("fd_fdstat_set_flags", "ii", Fixed::Errno(ENOSYS)),
    ("fd_fdstat_set_rights", "iII", Fixed::OnlyStandard),
    ("fd_advise", "iIIi", Fixed::Errno(0)),
    ("fd_allocate", "iII", Fixed::OnlyStandard),
    ("fd_datasync", "i", Fixed::OnlyStandard),
    ("fd_filestat_get", "ii", Fixed::Errno(EBADF)),
    ("fd_filestat_set_size", "iI", Fixed::OnlyStandard),
    ("fd_filestat_set_times", "iIIi", Fixed::OnlyStandard),
    ("fd_pread", "iiiIi", Fixed::Errno(ENOSYS)),
    ("fd_prestat_get", "ii", Fixed::Errno(EBADF)),
    ("fd_prestat_dir_name", "iii", Fixed::Errno(ENOSYS)),
    ("fd_readdir", "iiiIi", Fixed::Errno(ENOTDIR)),
    ("fd_renumber", "ii", Fixed::Errno(ENOTSUP)),
    ("fd_sync", "i", Fixed::OnlyStandard),
    ("fd_tell", "ii", Fixed::OnlyStandard),
    ("path_create_directory", "iii", Fixed::Errno(ENOTSUP)),
    ("path_filestat_get", "iiiii", Fixed::Errno(ENOTSUP)),
    ("path_filestat_set_times", "iiiiIIi", Fixed::Errno(ENOTSUP)),
    ("path_link", "iiiiii", Fixed::Errno(ENOTSUP)),
    ("path_open", "iiiiiIIii", Fixed::Errno(ENOENT)),
    ("path_readlink", "iiiiii", Fixed::Errno(ENOTSUP)),
    ("path_remove_directory", "iii", Fixed::Errno(ENOTSUP)),
    ("path_rename", "iiiiii", Fixed::Errno(ENOTSUP)),
    ("path_symlink", "iiii", Fixed::Errno(ENOTSUP)),
    ("path_unlink_file", "iii", Fixed::Errno(ENOTSUP)),
    ("sched_yield", "", Fixed::Errno(0)),
    ("sock_accept", "iii", Fixed::Errno(ENOTSUP)),
    ("sock_recv", "iiiiii", Fixed::Errno(ENOTSUP)),
    ("sock_send", "iiiii", Fixed::Errno(ENOTSUP)),
    ("sock_shutdown", "ii", Fixed::Errno(ENOTSUP)),
];

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        host_call!(linker, module, FdWrite, fd_write, fd: u32, vectors: u32, count: u32, written_at: u32);
        host_call!(linker, module, FdPwrite, fd_pwrite, fd: u32, vectors: u32, count: u32, offset: u64, written_at: u32);
        host_call!(linker, module, FdFdstatGet, fd_fdstat_get, fd: u32, stat_at: u32);
        host_call!(linker, module, EnvironGet, environ_get, pointers_at: u32, text_at: u32);
        host_call!(linker, module, EnvironSizesGet, environ_sizes_get, count_at: u32, size_at: u32);
        host_call!(linker, module, ArgsGet, args_get, pointers_at: u32, text_at: u32);
        host_call!(linker, module, ArgsSizesGet, args_sizes_get, count_at: u32, size_at: u32);
        host_call!(linker, module, ClockTimeGet, clock_time_get, clock: u32, precision: u64, time_at: u32);
        host_call!(linker, module, ClockResGet, clock_res_get, clock: u32, resolution_at: u32);
        host_call!(linker, module, RandomGet, random_get, address: u32, length: u32);
        host_call!(linker, module, PollOneoff, poll_oneoff, subscriptions: u32, events: u32, count: u32, events_at: u32);
        // Envoy logs that a guest wanted to exit, and goes on.
        linker.func_wrap(module, HostCall::ProcExit.name(), |caller: Caller<'_, HostState>, _: u32| -> wasmtime::Result<()> {
            Guest::enter(caller, HostCall::ProcExit).map(|_| ())
        })?;
        for (name, parameters, fixed) in FIXED {
            link_fixed(linker, module, name, parameters, *fixed)?;
        }
    }
    Ok(())
}

fn link_fixed(linker: &mut Linker<HostState>, module: &str, name: &str, parameters: &str, fixed: Fixed) -> wasmtime::Result<()> {
    let parameters = parameters.chars().map(|c| if c == 'I' { ValType::I64 } else { ValType::I32 });
    let ty = FuncType::new(linker.engine(), parameters, [ValType::I32]);
    linker.func_new(module, name, ty, move |caller, arguments, results| {
        let errno = match Guest::enter(caller, HostCall::WasiOther)? {
            Err(forced) => forced,
            Ok(_) => match fixed {
                Fixed::Errno(errno) => errno,
                Fixed::OnlyStandard => match arguments.first() {
                    Some(Val::I32(1 | 2)) => 0,
                    _ => EBADF,
                },
            },
        };
        if let Some(result) = results.first_mut() {
            *result = Val::I32(errno.cast_signed());
        }
        Ok(())
    })?;
    Ok(())
}

/// Where proxy-wasm says `InvalidMemoryAccess`, WASI says `EFAULT`.
fn efault(fault: Fault) -> Fault {
    match fault {
        Fault::Status(_) => Fault::Status(EFAULT),
        Fault::Trap(error) => Fault::Trap(error),
    }
}

fn fd_write(guest: &mut Guest<'_>, fd: u32, vectors: u32, count: u32, written_at: u32) -> Answer {
    let level = match fd {
        1 => LogLevel::Info,
        2 => LogLevel::Error,
        _ => return Err(Fault::Status(EBADF)),
    };
    let (memory, state) = guest.split().map_err(efault)?;
    let mut text = Vec::new();
    for at in 0..count {
        let vector = vectors.checked_add(at.checked_mul(8).ok_or(Fault::Status(EFAULT))?).ok_or(Fault::Status(EFAULT))?;
        let vector = slice(memory, vector, 8).map_err(efault)?;
        let (address, length) = vector.split_first_chunk::<4>().ok_or(Fault::Status(EFAULT))?;
        let (length, _) = length.split_first_chunk::<4>().ok_or(Fault::Status(EFAULT))?;
        let piece = slice(memory, u32::from_le_bytes(*address), u32::from_le_bytes(*length)).map_err(efault)?;
        text.extend_from_slice(piece);
    }
    let written = u32::try_from(text.len()).unwrap_or(u32::MAX);
    if !text.is_empty() && level >= state.settings.log_level {
        state.settings.log.write(level, text.strip_suffix(b"\n").unwrap_or(&text));
    }
    guest.write_u32(written_at, written).map_err(efault)
}

fn fd_pwrite(guest: &mut Guest<'_>, fd: u32, vectors: u32, count: u32, _offset: u64, written_at: u32) -> Answer {
    fd_write(guest, fd, vectors, count, written_at)
}

fn fd_fdstat_get(guest: &mut Guest<'_>, fd: u32, stat_at: u32) -> Answer {
    if fd != 1 && fd != 2 {
        return Err(Fault::Status(EBADF));
    }
    // `fs_rights_base`, the second of three words, says that it can be written to.
    let mut stat = [0; 24];
    if let Some(rights) = stat.get_mut(8) {
        *rights = 64;
    }
    guest.write(stat_at, &stat).map_err(efault)
}

fn environ_sizes_get(guest: &mut Guest<'_>, count_at: u32, size_at: u32) -> Answer {
    let environment = &guest.state().settings.environment;
    let size: usize = environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let (count, size) = (environment.len() as u32, size as u32);
    guest.write_u32(count_at, count).map_err(efault)?;
    guest.write_u32(size_at, size).map_err(efault)
}

fn environ_get(guest: &mut Guest<'_>, mut pointers_at: u32, mut text_at: u32) -> Answer {
    let entries: Vec<String> =
        guest.state().settings.environment.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
    for entry in entries {
        guest.write_u32(pointers_at, text_at).map_err(efault)?;
        guest.write(text_at, entry.as_bytes()).map_err(efault)?;
        // An address that wraps fails in the next write.
        text_at = text_at.saturating_add(entry.len() as u32);
        pointers_at = pointers_at.saturating_add(4);
    }
    Ok(())
}

fn args_get(_guest: &mut Guest<'_>, _pointers_at: u32, _text_at: u32) -> Answer {
    Ok(())
}

fn args_sizes_get(guest: &mut Guest<'_>, count_at: u32, size_at: u32) -> Answer {
    guest.write_u32(count_at, 0).map_err(efault)?;
    guest.write_u32(size_at, 0).map_err(efault)
}

fn clock_time_get(guest: &mut Guest<'_>, clock: u32, _precision: u64, time_at: u32) -> Answer {
    let now = match clock {
        0 => guest.state().settings.clock.wall(),
        1 => guest.state().settings.clock.monotonic(),
        _ => return Err(Fault::Status(ENOTSUP)),
    };
    guest.write_u64(time_at, now).map_err(efault)
}

fn clock_res_get(guest: &mut Guest<'_>, clock: u32, resolution_at: u32) -> Answer {
    if clock > 1 {
        return Err(Fault::Status(ENOTSUP));
    }
    guest.write_u64(resolution_at, 1).map_err(efault)
}

fn random_get(guest: &mut Guest<'_>, address: u32, length: u32) -> Answer {
    if length > RANDOM_MAX_BYTES {
        return Err(Fault::Status(EINVAL));
    }
    if length == 0 {
        return Ok(());
    }
    let mut bytes = vec![0; length as usize];
    getrandom::fill(&mut bytes).map_err(|_| Fault::Status(EIO))?;
    guest.write(address, &bytes).map_err(efault)
}

/// Go's runtime insists on success; there is never an event.
fn poll_oneoff(guest: &mut Guest<'_>, _subscriptions: u32, _events: u32, _count: u32, events_at: u32) -> Answer {
    guest.write_u32(events_at, 0).map_err(efault)
}

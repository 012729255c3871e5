//! Metrics. An id's two low bits are its kind, as in Envoy.

use super::super::Status;
use super::super::guest::{Fault, slice};
use super::super::shared::{Metric, MetricKind};
use super::{Answer, Caller, Guest, HostCall, HostState, Linker, answer, host_call};
use std::sync::Arc;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    host_call!(linker, "env", DefineMetric, define, kind: u32, name: u32, name_length: u32, id_at: u32);
    host_call!(linker, "env", IncrementMetric, increment, id: u32, offset: i64);
    host_call!(linker, "env", RecordMetric, record, id: u32, value: u64);
    host_call!(linker, "env", GetMetric, get, id: u32, value_at: u32);
    Ok(())
}

fn define(guest: &mut Guest<'_>, kind: u32, name: u32, name_length: u32, id_at: u32) -> Answer {
    let (memory, state) = guest.split()?;
    let name = slice(memory, name, name_length)?;
    let metric = state.settings.shared.define_metric(MetricKind::from_abi(kind).ok_or(Status::BadArgument)?, name);
    let number = u32::try_from(state.metrics.len()).unwrap_or(u32::MAX).saturating_add(1);
    let id = number.saturating_mul(4).saturating_add(kind);
    state.metrics.push((id, metric));
    guest.write_u32(id_at, id)
}

fn find(guest: &mut Guest<'_>, id: u32) -> Result<Arc<Metric>, Fault> {
    // Ids count up from 4 in steps of 4, so that the metric's place follows from its id.
    let place = (id / 4).checked_sub(1).ok_or(Status::NotFound)?;
    match guest.state().metrics.get(place as usize) {
        Some((present, metric)) if *present == id => Ok(Arc::clone(metric)),
        _ => Err(Status::NotFound.into()),
    }
}

fn increment(guest: &mut Guest<'_>, id: u32, offset: i64) -> Answer {
    match MetricKind::from_abi(id % 4) {
        Some(MetricKind::Counter) => {
            let metric = find(guest, id)?;
            metric.add(u64::try_from(offset).ok().filter(|&o| o > 0).ok_or(Status::BadArgument)?);
        }
        Some(MetricKind::Gauge) => {
            let metric = find(guest, id)?;
            if offset > 0 { metric.add(offset.unsigned_abs()) } else { metric.subtract(offset.unsigned_abs()) }
        }
        Some(MetricKind::Histogram) | None => return Err(Status::BadArgument.into()),
    }
    Ok(())
}

fn record(guest: &mut Guest<'_>, id: u32, value: u64) -> Answer {
    let metric = find(guest, id)?;
    match metric.kind {
        MetricKind::Counter => metric.add(value),
        MetricKind::Gauge => metric.set(value),
        MetricKind::Histogram => metric.add(1),
    }
    Ok(())
}

fn get(guest: &mut Guest<'_>, id: u32, value_at: u32) -> Answer {
    match MetricKind::from_abi(id % 4) {
        Some(MetricKind::Counter | MetricKind::Gauge) => {
            let value = find(guest, id)?.value();
            guest.write_u64(value_at, value)
        }
        Some(MetricKind::Histogram) | None => Err(Status::BadArgument.into()),
    }
}

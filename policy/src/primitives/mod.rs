//! What everything else is made of: bounds, reasons, time, strict JSON, ASCII, patterns.

pub(crate) mod address;
pub(crate) mod ascii;
pub(crate) mod coded;
pub(crate) mod digest;
pub(crate) mod json;
pub mod limits;
pub(crate) mod pattern;
pub(crate) mod reason;
pub(crate) mod time;

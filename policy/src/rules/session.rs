//! How long sessions last, and what they are bound to: the member `session`.

use std::time::Duration;

use serde_json::Value;

use crate::document::{At, Errors, Object, duration, one_of};
use crate::primitives::limits;
use crate::rules::binding::BindRules;

/// The member `session`; numbers are seconds.
#[derive(Debug)]
pub(crate) struct SessionRules {
    pub(crate) max_lifetime: u64,
    pub(crate) clock_skew: u64,
    pub(crate) token_commands_required: bool,
    pub(crate) idle_timeout: Option<u64>,
    pub(crate) orphaned_streams: Duration,
    pub(crate) bind: BindRules,
}

impl SessionRules {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let max_lifetime = object.required("max_lifetime", "for example `max_lifetime: 15m`", errors, |value, at, errors| {
            let seconds = duration(value, at, errors)?;
            if seconds == 0 {
                errors.add_with_help(at, "no session could ever be live", "for example `max_lifetime: 15m`");
            }
            Some(seconds)
        });
        let clock_skew = object.optional("clock_skew", errors, |value, at, errors| {
            let seconds = duration(value, at, errors)?;
            if seconds > limits::CLOCK_SKEW_SECONDS {
                errors.add_with_help(
                    at,
                    "at most 5m",
                    "write `5m` or less: a larger difference is a broken clock, and lengthens every session",
                );
            }
            Some(seconds)
        });
        let token_commands = object.optional("token_commands", errors, |value, at, errors| {
            one_of(value, at, errors, &[("required", true), ("optional", false)])
        });
        let idle_timeout = object.optional("idle_timeout", errors, |value, at, errors| {
            let seconds = duration(value, at, errors)?;
            if seconds == 0 {
                errors.add_with_help(
                    at,
                    "every session would be idle at once",
                    "for example `idle_timeout: 5m`, or leave it out",
                );
            }
            Some(seconds)
        });
        let orphaned_streams = object.optional("orphaned_streams", errors, |value, at, errors| {
            let seconds = duration(value, at, errors)?;
            if seconds > limits::ORPHANED_STREAMS_MOST.as_secs() {
                errors.add_with_help(
                    at,
                    format!("at most {}s", limits::ORPHANED_STREAMS_MOST.as_secs()),
                    "write `5m` or less: so long a stream goes on that no revocation reaches any more",
                );
            }
            Some(Duration::from_secs(seconds))
        });
        let bind = BindRules::read(&mut object, errors);
        object.finish(errors);
        Some(Self {
            max_lifetime: max_lifetime?,
            clock_skew: clock_skew.unwrap_or(0),
            token_commands_required: token_commands.unwrap_or(false),
            idle_timeout,
            orphaned_streams: orphaned_streams.unwrap_or(limits::ORPHANED_STREAMS),
            bind,
        })
    }
}

//! What is compared: each row of the table, the Envoy that it runs on, what it sends and what it must get.

use crate::{
    filters::{self, Extent},
    load::Expected,
    tokens::Keys,
};
use chaperone_policy::Algorithm;
use serde_json::{Value, json};
use std::path::Path;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    NoFilter,
    EmptyWasm,
    NativeLeast,
    NativeCached,
    NativeRecorded,
    NativeEs256,
    NativeRs256,
    NativeRecordedEs256,
    NativeRecordedRs256,
    Warm,
    ColdEs256,
    ColdRs256,
    DeniedCommand,
    DeniedNoToken,
    /// As warm, with an option of `audit` that saves calls of the proxy.
    WarmWith(Saving),
    /// The same of an earlier build of the filter, where one is named.
    WarmBefore,
    DeniedCommandBefore,
    ColdBeforeEs256,
    ColdBeforeRs256,
    /// A `tools/call` of MCP in a body of this size.
    CallNoFilter(Size),
    CallNative(Size),
    CallWarm(Size),
}

/// What of `audit` is not as it is by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saving {
    /// One field for all that the target is told.
    Combined,
    /// The address is in the access log alone.
    Source,
    Both,
}

impl Saving {
    pub(crate) fn audit(self) -> Value {
        match self {
            Self::Combined => json!({"headers": "combined"}),
            Self::Source => json!({"source": "proxy"}),
            Self::Both => json!({"headers": "combined", "source": "proxy"}),
        }
    }
}

/// How large a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Kib1,
    Kib16,
}

/// One Envoy. The denials share that of the warm row: they are its other answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    NoFilter,
    EmptyWasm,
    NativeLeast,
    NativeCached,
    NativeRecorded,
    NativeUncached,
    NativeUncachedRecorded,
    Warm,
    WarmWith(Saving),
    ColdEs256,
    ColdRs256,
    Before,
    /// One more of the earlier build, whose tokens are all new.
    ColdBefore(Algorithm),
    /// No filter but one that waits for the whole body.
    Body,
    NativeMcp,
    Mcp,
}

impl Row {
    pub(crate) const ALL: [Self; 27] = [
        Self::NoFilter,
        Self::EmptyWasm,
        Self::NativeLeast,
        Self::NativeCached,
        Self::NativeRecorded,
        Self::NativeEs256,
        Self::NativeRs256,
        Self::NativeRecordedEs256,
        Self::NativeRecordedRs256,
        Self::Warm,
        Self::WarmWith(Saving::Combined),
        Self::WarmWith(Saving::Source),
        Self::WarmWith(Saving::Both),
        Self::ColdEs256,
        Self::ColdRs256,
        Self::DeniedCommand,
        Self::DeniedNoToken,
        Self::WarmBefore,
        Self::DeniedCommandBefore,
        Self::ColdBeforeEs256,
        Self::ColdBeforeRs256,
        Self::CallNoFilter(Size::Kib1),
        Self::CallNative(Size::Kib1),
        Self::CallWarm(Size::Kib1),
        Self::CallNoFilter(Size::Kib16),
        Self::CallNative(Size::Kib16),
        Self::CallWarm(Size::Kib16),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoFilter => "no filter",
            Self::EmptyWasm => "empty wasm filter",
            Self::NativeLeast => "native, cached, the least of the policy",
            Self::NativeCached => "native, cached",
            Self::NativeRecorded => "native, cached, headers and record too",
            Self::NativeEs256 => "native, uncached ES256",
            Self::NativeRs256 => "native, uncached RS256",
            Self::NativeRecordedEs256 => "native, uncached ES256, headers and record too",
            Self::NativeRecordedRs256 => "native, uncached RS256, headers and record too",
            Self::Warm => "chaperone, warm",
            Self::WarmWith(Saving::Combined) => "chaperone, warm, combined",
            Self::WarmWith(Saving::Source) => "chaperone, warm, source from the proxy",
            Self::WarmWith(Saving::Both) => "chaperone, warm, combined, source from the proxy",
            Self::ColdEs256 => "chaperone, cold ES256",
            Self::ColdRs256 => "chaperone, cold RS256",
            Self::DeniedCommand => "chaperone, denied: command_not_granted",
            Self::DeniedNoToken => "chaperone, denied: token_missing",
            Self::WarmBefore => "chaperone before, warm",
            Self::DeniedCommandBefore => "chaperone before, denied: command_not_granted",
            Self::ColdBeforeEs256 => "chaperone before, cold ES256",
            Self::ColdBeforeRs256 => "chaperone before, cold RS256",
            Self::CallNoFilter(Size::Kib1) => "tools/call of 1 KiB, no filter",
            Self::CallNative(Size::Kib1) => "tools/call of 1 KiB, native mcp, cached",
            Self::CallWarm(Size::Kib1) => "tools/call of 1 KiB, chaperone, warm",
            Self::CallNoFilter(Size::Kib16) => "tools/call of 16 KiB, no filter",
            Self::CallNative(Size::Kib16) => "tools/call of 16 KiB, native mcp, cached",
            Self::CallWarm(Size::Kib16) => "tools/call of 16 KiB, chaperone, warm",
        }
    }

    pub(crate) fn setup(self) -> Setup {
        match self {
            Self::NoFilter => Setup::NoFilter,
            Self::CallNoFilter(_) => Setup::Body,
            Self::CallNative(_) => Setup::NativeMcp,
            Self::CallWarm(_) => Setup::Mcp,
            Self::EmptyWasm => Setup::EmptyWasm,
            Self::NativeLeast => Setup::NativeLeast,
            Self::NativeCached => Setup::NativeCached,
            Self::NativeRecorded => Setup::NativeRecorded,
            Self::NativeEs256 | Self::NativeRs256 => Setup::NativeUncached,
            Self::NativeRecordedEs256 | Self::NativeRecordedRs256 => Setup::NativeUncachedRecorded,
            Self::Warm | Self::DeniedCommand | Self::DeniedNoToken => Setup::Warm,
            Self::WarmWith(saving) => Setup::WarmWith(saving),
            Self::ColdEs256 => Setup::ColdEs256,
            Self::ColdRs256 => Setup::ColdRs256,
            Self::WarmBefore | Self::DeniedCommandBefore => Setup::Before,
            Self::ColdBeforeEs256 => Setup::ColdBefore(Algorithm::Es256),
            Self::ColdBeforeRs256 => Setup::ColdBefore(Algorithm::Rs256),
        }
    }

    /// The native row that this one is measured against.
    pub(crate) fn native(self) -> Option<Self> {
        match self {
            Self::NoFilter
            | Self::EmptyWasm
            | Self::NativeLeast
            | Self::NativeCached
            | Self::NativeRecorded
            | Self::NativeEs256
            | Self::NativeRs256
            | Self::NativeRecordedEs256
            | Self::NativeRecordedRs256
            | Self::CallNoFilter(_)
            | Self::CallNative(_) => None,
            Self::CallWarm(size) => Some(Self::CallNative(size)),
            Self::Warm
            | Self::WarmWith(_)
            | Self::DeniedCommand
            | Self::DeniedNoToken
            | Self::WarmBefore
            | Self::DeniedCommandBefore => Some(Self::NativeCached),
            Self::ColdEs256 | Self::ColdBeforeEs256 => Some(Self::NativeEs256),
            Self::ColdRs256 | Self::ColdBeforeRs256 => Some(Self::NativeRs256),
        }
    }

    /// The same request without a filter: what a row adds is added to that.
    pub(crate) fn bare(self) -> Self {
        self.size().map_or(Self::NoFilter, Self::CallNoFilter)
    }

    fn size(self) -> Option<Size> {
        let (Self::CallNoFilter(size) | Self::CallNative(size) | Self::CallWarm(size)) = self else { return None };
        Some(size)
    }

    /// The native row that does for a request what this one does: headers for upstream, credential, record.
    pub(crate) fn alike(self) -> Option<Self> {
        let alike = [
            (Self::NativeRecorded, [Self::Warm, Self::WarmBefore]),
            (Self::NativeRecordedEs256, [Self::ColdEs256, Self::ColdBeforeEs256]),
            (Self::NativeRecordedRs256, [Self::ColdRs256, Self::ColdBeforeRs256]),
        ];
        alike.into_iter().find_map(|(native, ours)| ours.contains(&self).then_some(native))
    }

    /// All rows that this one is measured against.
    pub(crate) fn compared(self) -> Vec<Self> {
        let saves = matches!(self, Self::WarmWith(_)).then_some(Self::Warm);
        [self.bare()].into_iter().chain(self.native()).chain(self.alike()).chain(saves).collect()
    }

    /// The algorithm, where each request has a token that this Envoy has not seen.
    pub(crate) fn fresh(self) -> Option<Algorithm> {
        match self {
            Self::NativeEs256 | Self::NativeRecordedEs256 | Self::ColdEs256 | Self::ColdBeforeEs256 => Some(Algorithm::Es256),
            Self::NativeRs256 | Self::NativeRecordedRs256 | Self::ColdRs256 | Self::ColdBeforeRs256 => Some(Algorithm::Rs256),
            Self::NoFilter
            | Self::EmptyWasm
            | Self::NativeLeast
            | Self::NativeCached
            | Self::NativeRecorded
            | Self::Warm
            | Self::WarmWith(_)
            | Self::DeniedCommand
            | Self::DeniedNoToken
            | Self::WarmBefore
            | Self::DeniedCommandBefore
            | Self::CallNoFilter(_)
            | Self::CallNative(_)
            | Self::CallWarm(_) => None,
        }
    }

    pub(crate) fn expected(self) -> Expected {
        let (status, piece) = match self {
            Self::NoFilter
            | Self::EmptyWasm
            | Self::NativeLeast
            | Self::NativeCached
            | Self::NativeEs256
            | Self::NativeRs256
            | Self::CallNoFilter(_)
            | Self::CallNative(_) => (200, "\r\n\r\nok\n"),
            Self::NativeRecorded
            | Self::NativeRecordedEs256
            | Self::NativeRecordedRs256
            | Self::Warm
            | Self::WarmWith(_)
            | Self::ColdEs256
            | Self::ColdRs256
            | Self::WarmBefore
            | Self::ColdBeforeEs256
            | Self::ColdBeforeRs256
            | Self::CallWarm(_) => (200, "x-chaperone-audit-id: "),
            Self::DeniedCommand | Self::DeniedCommandBefore => (403, "command_not_granted"),
            Self::DeniedNoToken => (401, "token_missing"),
        };
        Expected { status, piece }
    }

    /// Method, path and headers, as a client of the example sends them. Without a filter the token is there, too.
    pub(crate) fn headers(self, token: &str) -> Vec<(&'static str, String)> {
        let method = if matches!(self, Self::DeniedCommand | Self::DeniedCommandBefore) { "DELETE" } else { "GET" };
        let mut headers = vec![
            (":method", method.to_owned()),
            (":path", "/v1/orders/1017".to_owned()),
            (":authority", "orders.example".to_owned()),
            ("user-agent", "orders-agent/1.4".to_owned()),
            ("accept", "application/json".to_owned()),
            ("accept-encoding", "gzip, deflate".to_owned()),
            ("authorization", format!("Bearer {token}")),
        ];
        if self == Self::DeniedNoToken {
            headers.pop();
        }
        if let Some(body) = self.body() {
            let of_call = |name| match name {
                ":method" => Some("POST"),
                ":path" => Some("/mcp"),
                "accept" => Some("application/json, text/event-stream"),
                _ => None,
            };
            for (name, value) in &mut headers {
                if let Some(other) = of_call(*name) {
                    *value = other.to_owned();
                }
            }
            headers.extend([
                ("content-type", "application/json".to_owned()),
                ("content-length", body.len().to_string()),
                ("mcp-protocol-version", "2025-11-25".to_owned()),
            ]);
        }
        headers
    }

    /// What a client of MCP sends: a call of a tool, with a text of the length that makes the body as large as it is to be.
    fn body(self) -> Option<String> {
        let call = |text: String| {
            let arguments = json!({"query": text, "limit": 10});
            json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "search", "arguments": arguments}})
                .to_string()
        };
        let length = match self.size()? {
            Size::Kib1 => 1024,
            Size::Kib16 => 16 * 1024,
        };
        Some(call("printer ".repeat(length / 8).split_at(length - call(String::new()).len()).0.to_owned()))
    }

    /// The same as bytes of HTTP/1.1.
    pub(crate) fn request(self, token: &str) -> Vec<u8> {
        let headers = self.headers(token);
        let value = |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map_or("", |(_, value)| value);
        let mut text = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", value(":method"), value(":path"), value(":authority"));
        for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with(':')) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(&self.body().unwrap_or_default());
        text.into_bytes()
    }
}

impl Setup {
    /// Names the folder of its files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoFilter => "no-filter",
            Self::EmptyWasm => "empty-wasm",
            Self::NativeLeast => "native-least",
            Self::NativeCached => "native-cached",
            Self::NativeRecorded => "native-recorded",
            Self::NativeUncached => "native-uncached",
            Self::NativeUncachedRecorded => "native-uncached-recorded",
            Self::Warm => "warm",
            Self::WarmWith(Saving::Combined) => "warm-combined",
            Self::WarmWith(Saving::Source) => "warm-source",
            Self::WarmWith(Saving::Both) => "warm-both",
            Self::ColdEs256 => "cold-es256",
            Self::ColdRs256 => "cold-rs256",
            Self::Before => "before",
            Self::ColdBefore(Algorithm::Es256) => "before-cold-es256",
            Self::ColdBefore(_) => "before-cold-rs256",
            Self::Body => "body",
            Self::NativeMcp => "native-mcp",
            Self::Mcp => "mcp",
        }
    }

    pub(crate) fn filters(self, keys: &Keys, chaperone: &Path, before: &Path, empty: &Path) -> Value {
        filters::chain(match self {
            Self::NoFilter => vec![],
            Self::EmptyWasm => vec![filters::wasm("empty", empty, "")],
            Self::NativeLeast => filters::native(keys, true, Extent::Least),
            Self::NativeCached => filters::native(keys, true, Extent::Whole),
            Self::NativeRecorded => filters::native(keys, true, Extent::Recorded),
            Self::NativeUncached => filters::native(keys, false, Extent::Whole),
            Self::NativeUncachedRecorded => filters::native(keys, false, Extent::Recorded),
            Self::Warm | Self::ColdEs256 | Self::ColdRs256 => vec![filters::wasm("chaperone", chaperone, &keys.policy())],
            Self::WarmWith(saving) => vec![filters::wasm("chaperone", chaperone, &keys.policy_with(&saving.audit()))],
            Self::Before | Self::ColdBefore(_) => vec![filters::wasm("chaperone", before, &keys.policy())],
            Self::NativeMcp => filters::native_mcp(keys),
            Self::Body => vec![filters::whole_body()],
            Self::Mcp => vec![filters::wasm("chaperone", chaperone, &keys.mcp_policy()), filters::whole_body()],
        })
    }

    /// What its access log has for a record.
    pub(crate) fn record(self) -> String {
        match self {
            Self::NativeRecorded | Self::NativeUncachedRecorded => filters::native_record(),
            Self::WarmWith(Saving::Source | Saving::Both) => {
                r#"%FILTER_STATE(wasm.session_audit:PLAIN)%,"%DOWNSTREAM_REMOTE_ADDRESS%""#.to_owned()
            }
            Self::NoFilter
            | Self::EmptyWasm
            | Self::NativeLeast
            | Self::NativeCached
            | Self::NativeUncached
            | Self::Warm
            | Self::WarmWith(Saving::Combined)
            | Self::ColdEs256
            | Self::ColdRs256
            | Self::Before
            | Self::ColdBefore(_)
            | Self::Body
            | Self::NativeMcp
            | Self::Mcp => "%FILTER_STATE(wasm.session_audit:PLAIN)%".to_owned(),
        }
    }

    /// Counters of Envoy, and what they must say after `sent` requests whose tokens were looked at: that a warm token
    /// was found, and that a cold one was not.
    pub(crate) fn proof(self, sent: u64) -> Vec<(&'static str, u64)> {
        match self {
            Self::NoFilter | Self::EmptyWasm | Self::Body => vec![],
            Self::NativeLeast | Self::NativeMcp => vec![("jwt_authn.jwt_cache_hit", sent - 1), ("rbac.allowed", sent)],
            // Two `rbac` filters: nothing revoked, something granted.
            Self::NativeCached | Self::NativeRecorded => {
                vec![("jwt_authn.jwt_cache_hit", sent - 1), ("rbac.allowed", 2 * sent)]
            }
            Self::NativeUncached | Self::NativeUncachedRecorded => {
                vec![("jwt_authn.jwt_cache_hit", 0), ("rbac.allowed", 2 * sent)]
            }
            Self::Warm | Self::WarmWith(_) | Self::Before | Self::Mcp => {
                vec![("chaperone.token_cache.hits", sent - 1), ("chaperone.token_cache.misses", 1)]
            }
            Self::ColdEs256 | Self::ColdRs256 | Self::ColdBefore(_) => {
                vec![("chaperone.token_cache.hits", 0), ("chaperone.token_cache.misses", sent)]
            }
        }
    }
}

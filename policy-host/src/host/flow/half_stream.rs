//! One direction of a stream: what has arrived, what is held, and whether the filter lets it go on.

/// Where a filter stands in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::host) enum Iteration {
    /// What arrives goes through the filter and on.
    #[default]
    Running,
    /// The filter sees what arrives, and nothing goes on.
    Held,
    /// The filter does not even see what arrives.
    HeldUnseen,
}

/// One direction of a stream.
#[derive(Debug, Default)]
pub(in crate::host) struct HalfStream {
    pub(in crate::host) iteration: Iteration,
    /// The head has arrived; it is kept in the VM's stream, where the filter can change it.
    pub(in crate::host) begun: bool,
    /// The head has gone on.
    pub(in crate::host) head_passed: bool,
    /// Bytes of the body that are held, unless `buffering`.
    pub(in crate::host) buffer: Option<Vec<u8>>,
    /// The held bytes are kept in the VM's stream, where the filter sees and changes them, alone and with what follows.
    pub(in crate::host) buffering: bool,
    /// The last byte or the trailers have arrived.
    pub(in crate::host) ended: bool,
    /// Trailers have arrived.
    pub(in crate::host) trailers: bool,
    /// Nothing goes on in this direction any more.
    pub(in crate::host) over: bool,
}

/// What a headers callback decided, after Envoy's translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum HeadStatus {
    Continue,
    Hold,
    HoldUnseen,
}

/// What a body callback decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum BodyStatus {
    Continue,
    /// Held; the filter sees it again with what follows.
    Buffer,
    /// Held; the filter does not see it again.
    Watermark,
    /// Dropped.
    Drop,
}

impl HeadStatus {
    /// `ContinueAndEndStream` (2) is none that Envoy takes from a wasm filter; it reads as Continue.
    pub(in crate::host) fn from_abi(action: u32, stopped: bool, hold_alone: bool) -> Self {
        match action {
            _ if stopped => Self::HoldUnseen,
            0 | 2 => Self::Continue,
            1 if hold_alone => Self::Hold,
            _ => Self::HoldUnseen,
        }
    }
}

impl BodyStatus {
    pub(in crate::host) fn from_abi(action: u32, stopped: bool) -> Self {
        match action {
            _ if stopped => Self::Drop,
            0 => Self::Continue,
            1 => Self::Buffer,
            2 => Self::Watermark,
            _ => Self::Drop,
        }
    }
}

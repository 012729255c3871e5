//! The lints by name. The names are stable: programs match them, and comments allow them.

use crate::source::Severity;

macro_rules! lints {
    ($($(#[$doc:meta])* $variant:ident = $code:literal),* $(,)?) => {
        /// A lint.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Lint { $($(#[$doc])* $variant),* }

        impl Lint {
            /// All of them.
            pub const ALL: [Self; [$($code),*].len()] = [$(Self::$variant),*];

            /// The stable name.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }
        }
    };
}

lints! {
    /// A comment allows a lint that there is not.
    AllowUnknown = "allow_unknown",
    /// `upstream.forward_token: true`.
    ForwardToken = "forward_token",
    /// The manifest or Envoy file lets requests through when the filter is down.
    FailOpen = "fail_open",
    /// An image or module that is not pinned by its digest.
    ImageNotPinned = "image_not_pinned",
    /// The credential's variable is not among those that the filter's VM gets.
    CredentialEnvironment = "credential_environment",
    /// The credential's variable has its value in the manifest.
    CredentialInline = "credential_inline",
    /// An unmediated command that does more than read.
    UnmediatedWrites = "unmediated_writes",
    /// `*` names every command, those to come included.
    AllowEverything = "allow_everything",
    /// A pattern of commands for a wide subject: whatever is added under it is granted at once.
    AllowPattern = "allow_pattern",
    /// An MCP command that is every tool of the server.
    AnyTool = "any_tool",
    /// Nothing in `when` names anybody in particular.
    WhenWide = "when_wide",
    /// An issuer, a subject or the URI of a resource that looks like a pattern and matches less than it seems to.
    PatternUnmatched = "pattern_unmatched",
    /// A command in no grant, not unmediated, and no exception to a wider one.
    CommandUnused = "command_unused",
    /// Every request of a command is taken by more specific ones.
    CommandShadowed = "command_shadowed",
    /// A matcher of a command that another one of the same command covers.
    MatcherRepeated = "matcher_repeated",
    /// A list that names something twice.
    ItemRepeated = "item_repeated",
    /// A path that differs from that of an MCP endpoint in the slash at its end.
    PathLookAlike = "path_look_alike",
    /// A grant of what is at an MCP endpoint, without what clients do there first.
    MethodMissing = "method_missing",
    /// A form of gRPC in which no answer passes.
    FormNotPassed = "form_not_passed",
    /// Another grant allows all of it, to everybody whom it names.
    GrantRepeated = "grant_repeated",
    /// All commands of a grant are unmediated: nobody needs it.
    GrantUnmediated = "grant_unmediated",
    /// A grant's `max_lifetime` that is no shorter than the session's.
    LifetimeNotTightened = "lifetime_not_tightened",
    /// A grant's `max_lifetime` that another grant for the same makes moot.
    LifetimeMoot = "lifetime_moot",
    /// A grant's `transfers` that another grant for the same, without any, makes moot; a bound that the session's total makes so.
    TransfersMoot = "transfers_moot",
    /// A grant that denies files, with a command that takes upgrades.
    UpgradeNotCarried = "upgrade_not_carried",
    /// `session.max_lifetime` beyond an hour.
    LifetimeLong = "lifetime_long",
    /// `session.clock_skew` beyond 30 seconds.
    ClockSkewLarge = "clock_skew_large",
    /// `session.idle_timeout` that is no shorter than a session.
    IdleTimeoutMoot = "idle_timeout_moot",
    /// `end_session_when.denials` of the first denial.
    DenialsAtOnce = "denials_at_once",
    /// `context_changes: [source_address]` where the client may write that address itself.
    SourceAddressClaimed = "source_address_claimed",
    /// `audit.source: proxy` where every request has the filter ask for the address anyway.
    SourceAsked = "source_asked",
    /// `keys.endpoint.refresh` beyond an hour.
    KeysRefreshLong = "keys_refresh_long",
    /// `status.required: false`.
    StatusOptional = "status_optional",
    /// `mode: observe`.
    ObserveMode = "observe_mode",
    /// Reasons under `observe`.
    ObserveReasons = "observe_reasons",
    /// An issuer whose tokens of any type will do.
    TypesMissing = "types_missing",
    /// A key in a policy's set that is for another purpose or of another algorithm.
    KeyPassedOver = "key_passed_over",
    /// An RSA key whose exponent is below 65537.
    KeyExponentSmall = "key_exponent_small",
    /// `claims.issued`: another claim stands in for `iat`.
    IssuedStandIn = "issued_stand_in",
    /// `claims.audience`: another claim stands in for `aud`.
    AudienceStandIn = "audience_stand_in",
    /// A condition on the whole of a claim that is a text with spaces at nearly every issuer.
    ScopeWhole = "scope_whole",
    /// A revocation of an issuer whose tokens are refused anyway.
    RevokedIssuerUnknown = "revoked_issuer_unknown",
    /// A revocation of tokens that have all expired.
    RevokedExpired = "revoked_expired",
    /// A revocation that also ends sessions that are yet to begin.
    RevokedFuture = "revoked_future",
    /// A revocation that another one includes.
    RevokedRepeated = "revoked_repeated",
    /// A revocation that does not say why.
    RevokedWithoutBecause = "revoked_without_because",
    /// A Kubernetes object near its greatest size.
    ObjectSize = "object_size",
    /// A text that YAML 1.1 readers (Kubernetes, Envoy) take for something else.
    YamlAmbiguous = "yaml_ambiguous",
    /// A command that is decided by the body, where the body cannot be waited for.
    BodyUnavailable = "body_unavailable",
    /// A cluster behind the filter with Envoy's own thresholds, which one caller fills.
    CircuitBreakersMissing = "circuit_breakers_missing",
    /// A listener with the filter on which a request may take for ever.
    TimeoutMissing = "timeout_missing",
    /// Against another file: open streams that nothing newer judges.
    StreamsOrphaned = "streams_orphaned",
    /// Against another file: what ended by behaviour comes back.
    EndingsLost = "endings_lost",
    /// Against another file: what was revoked comes back.
    RevocationsLost = "revocations_lost",
    /// Against another file: Envoy may take this one for an older one.
    GenerationNotRaised = "generation_not_raised",
    /// Two listeners' plugins in one VM.
    VmShared = "vm_shared",
}

impl Lint {
    /// The lint with this name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lint| lint.code() == code)
    }

    /// Does it follow from what other parts of the policy say, so that a mistake there would bring it up, too?
    const fn follows(self) -> bool {
        match self {
            Self::CommandUnused
            | Self::CommandShadowed
            | Self::MatcherRepeated
            | Self::ItemRepeated
            | Self::MethodMissing
            | Self::GrantRepeated
            | Self::GrantUnmediated
            | Self::LifetimeNotTightened
            | Self::LifetimeMoot
            | Self::TransfersMoot
            | Self::UpgradeNotCarried
            | Self::IdleTimeoutMoot
            | Self::RevokedIssuerUnknown
            | Self::RevokedExpired
            | Self::CredentialEnvironment => true,
            Self::AllowUnknown
            | Self::ForwardToken
            | Self::FailOpen
            | Self::ImageNotPinned
            | Self::CredentialInline
            | Self::UnmediatedWrites
            | Self::AllowEverything
            | Self::AllowPattern
            | Self::AnyTool
            | Self::PathLookAlike
            | Self::FormNotPassed
            | Self::WhenWide
            | Self::PatternUnmatched
            | Self::LifetimeLong
            | Self::ClockSkewLarge
            | Self::DenialsAtOnce
            | Self::SourceAddressClaimed
            | Self::SourceAsked
            | Self::KeysRefreshLong
            | Self::StatusOptional
            | Self::ObserveMode
            | Self::ObserveReasons
            | Self::TypesMissing
            | Self::KeyPassedOver
            | Self::KeyExponentSmall
            | Self::IssuedStandIn
            | Self::AudienceStandIn
            | Self::ScopeWhole
            | Self::RevokedFuture
            | Self::RevokedRepeated
            | Self::RevokedWithoutBecause
            | Self::ObjectSize
            | Self::YamlAmbiguous
            | Self::BodyUnavailable
            | Self::CircuitBreakersMissing
            | Self::TimeoutMissing
            | Self::StreamsOrphaned
            | Self::EndingsLost
            | Self::RevocationsLost
            | Self::GenerationNotRaised
            | Self::VmShared => false,
        }
    }
}

impl Severity {
    pub(super) const fn needs_a_valid_policy(self) -> bool {
        match self {
            Self::Error => false,
            Self::Warning(lint) => lint.follows(),
            Self::Note => true,
        }
    }
}

//! `policy-host render`: a policy in the form in which a proxy takes it.

use super::{Exit, output, which::Which};
use chaperone_authoring::source::{Findings, PolicyDocument};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use policy_host::{
    files,
    render::{
        self, Attach, Bootstrap, Cors, Endpoint, GatewayOptions, Image, IstioOptions, Name, Names, Origin, Rendered, Workload,
    },
};
use std::path::{Path, PathBuf};

/// Print a policy in the form in which a proxy takes it.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example: policy-host render ecds --policy policy.yaml --wasm /etc/envoy/chaperone.wasm

The policy's `generation` becomes the current time in seconds: Envoy may not tell a filter about bytes that it has seen before.")]
pub(crate) enum Render {
    Envoy(Envoy),
    Ecds(Ecds),
    Istio(Istio),
    EnvoyGateway(EnvoyGateway),
}

/// The policy that is rendered.
#[derive(Debug, Args)]
struct Policy {
    /// A policy, or an Envoy file or Kubernetes manifests with one in them.
    #[arg(long, value_name = "POLICY")]
    policy: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The file that is in force, such as ecds.yaml: what it revokes stays revoked, its names in Envoy stay, and what would be
    /// lost all the same is said.
    #[arg(long, value_name = "FILE")]
    keep_revoked: Option<PathBuf>,
}

/// A whole bootstrap for Envoy (envoy/bootstrap.yaml) that takes the policy from a watched folder.
#[derive(Debug, Args)]
#[command(after_help = "Example: policy-host render envoy --policy policy.yaml --upstream orders.internal:8080 \\
    --ecds-dir /etc/envoy/ecds > bootstrap.yaml

What the policy fetches (`keys.endpoint`, `status`, `events`, `exchange`) gets its clusters, with TLS that verifies the issuer's name.
The policy itself goes into the folder:
  policy-host render ecds --policy policy.yaml --wasm /etc/envoy/chaperone.wasm \\
    > /etc/envoy/ecds/ecds.yaml

For pages in browsers, Envoy's cors filter answers their preflights before the filter, and lets them read answers and denials:
  policy-host render envoy --cors https://app.example --policy policy.yaml --upstream ...")]
pub(crate) struct Envoy {
    #[command(flatten)]
    policy: Policy,
    /// Where callers connect.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:10000")]
    listen: Endpoint,
    /// The name by which it asks for the filter: that of `render ecds`.
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// Envoy's admin interface, on loopback.
    #[arg(long, value_name = "PORT", default_value_t = 9901)]
    admin_port: u16,
    /// The target that is protected.
    #[arg(long, value_name = "HOST:PORT")]
    upstream: Endpoint,
    /// The folder of ecds.yaml.
    #[arg(long, value_name = "DIR", default_value = "/etc/envoy/ecds")]
    ecds_dir: PathBuf,
    /// Where the access log with the records goes.
    #[arg(long, value_name = "FILE", default_value = "/dev/stdout")]
    access_log: PathBuf,
    /// The certificate authorities of whoever has the policy's keys and status lists.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    trusted_ca: PathBuf,
    /// The origin of pages in browsers that may call, such as https://app.example; may be repeated. Each request still needs its
    /// session.
    #[arg(long, value_name = "ORIGIN")]
    cors: Vec<Origin>,
    /// Let browsers send their client certificates (and cookies) along.
    #[arg(long, requires = "cors")]
    cors_credentials: bool,
}

/// The file that Envoy watches (envoy/ecds.yaml), with the policy in it.
#[derive(Debug, Args)]
#[command(after_help = "Example: policy-host render ecds --policy policy.yaml --wasm /etc/envoy/chaperone.wasm > ecds.yaml

The next time, with the revocations that `revoke` has put there, and by the rename that Envoy watches for:
  policy-host render ecds --policy policy.yaml --wasm /etc/envoy/chaperone.wasm \\
    --keep-revoked ecds.yaml > next.yaml && mv next.yaml ecds.yaml")]
pub(crate) struct Ecds {
    #[command(flatten)]
    policy: Policy,
    /// Where Envoy finds the filter.
    #[arg(long, value_name = "FILE")]
    wasm: PathBuf,
    /// The filter's name: of the resource, the plugin and its VM. By default that of the file in force, else chaperone. One that
    /// is changed leaves the streams that are open behind.
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// The ECDS file of another listener of the same Envoy; may be repeated. Two that Envoy would take for one are refused.
    #[arg(long, value_name = "OTHER")]
    beside: Vec<PathBuf>,
}

/// Istio's WasmPlugin, with what denies when a worker runs without it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  policy-host render istio --attach sidecar --at app=orders --policy policy.yaml \\
    --namespace orders --image registry.example/chaperone:0.1.0@sha256:DIGEST | kubectl apply -f -
  policy-host render istio --attach gateway --at Gateway/edge --policy policy.yaml --image ...
  policy-host render istio --attach waypoint --at Service/orders --policy policy.yaml --image ...

envoy/Containerfile builds the image, and says how to learn its digest.")]
pub(crate) struct Istio {
    #[command(flatten)]
    policy: Policy,
    /// Which proxy runs the filter.
    #[arg(long, value_enum)]
    attach: AttachTo,
    /// Whose proxy: LABEL=VALUE of its pods (sidecar, gateway), Gateway/NAME (gateway, waypoint) or Service/NAME (waypoint).
    #[arg(long, value_name = "PLACE")]
    at: Workload,
    /// The namespace of the objects.
    #[arg(long, default_value = "default", value_parser = namespace)]
    namespace: String,
    /// The image with the filter, by digest: registry.example/chaperone:0.1.0@sha256:DIGEST.
    #[arg(long)]
    image: Image,
}

/// Envoy Gateway's EnvoyExtensionPolicy.
#[derive(Debug, Args)]
#[command(after_help = "Example: policy-host render envoy-gateway --at Gateway/edge --policy policy.yaml --namespace orders \\
  --image registry.example/chaperone:0.1.0@sha256:DIGEST | kubectl apply -f -")]
pub(crate) struct EnvoyGateway {
    #[command(flatten)]
    policy: Policy,
    /// Gateway/NAME, HTTPRoute/NAME or GRPCRoute/NAME.
    #[arg(long, value_name = "PLACE", value_parser = gateway)]
    at: (&'static str, String),
    /// The namespace of the object and of what it is attached to.
    #[arg(long, default_value = "default", value_parser = namespace)]
    namespace: String,
    /// The image with the filter, by digest: registry.example/chaperone:0.1.0@sha256:DIGEST.
    #[arg(long)]
    image: Image,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AttachTo {
    /// The sidecar of the protected workload.
    Sidecar,
    /// A gateway at the edge.
    Gateway,
    /// A waypoint of ambient mode.
    Waypoint,
}

/// RFC 1123 §2.1, as Kubernetes has it for namespaces.
fn namespace(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.len() <= 63 && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if good { Ok(text.to_owned()) } else { Err("up to 63 lower-case letters, digits and `-`".to_owned()) }
}

fn gateway(text: &str) -> Result<(&'static str, String), String> {
    let good = |name: &str| !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    let found = text.split_once('/').and_then(|(kind, name)| {
        let kind = ["Gateway", "HTTPRoute", "GRPCRoute"].into_iter().find(|known| *known == kind)?;
        good(name).then(|| (kind, name.to_owned()))
    });
    found.ok_or_else(|| "write Gateway/NAME, HTTPRoute/NAME or GRPCRoute/NAME".to_owned())
}

impl Policy {
    /// The policy under its name, and the file in force.
    fn read(&self, name: Option<&Name>) -> Result<(Rendered, Option<PolicyDocument>), Exit> {
        let read = || {
            let in_force = self.keep_revoked.as_deref().map(|old| self.which.policy(old)).transpose()?;
            let names = Names::choose(name, in_force.as_ref())?;
            let rendered = Rendered::new(&self.which.policy(&self.policy)?, in_force.as_ref(), Timestamp::now())?;
            Ok((rendered.named(names), in_force))
        };
        read().map_err(|findings: Findings| output::invalid(&findings))
    }

    /// Says what is lost when this text takes the place of the file in force, and refuses what Envoy would take for another
    /// listener's.
    fn compared(&self, text: String, in_force: Option<&PolicyDocument>, beside: &[PathBuf]) -> Result<String, Exit> {
        let invalid = |findings: Findings| output::invalid(&findings);
        let document = PolicyDocument::read("what is rendered", text.clone(), None).map_err(invalid)?;
        for other in beside.iter().filter(|other| !self.is_in_force(other)) {
            let other = files::policy(other).map_err(invalid)?;
            if let Some(shared) = render::beside(&document, &other).map_err(invalid)? {
                output::invalid(&shared.into());
            }
        }
        if let Some(lost) = in_force.and_then(|old| document.against(old, Timestamp::now())) {
            output::invalid(&lost);
        }
        Ok(text)
    }

    /// Is this the file in whose place the rendered one comes?
    fn is_in_force(&self, other: &Path) -> bool {
        let same = |path: &Path| path.canonicalize().ok();
        self.keep_revoked.as_deref().is_some_and(|in_force| same(in_force).is_some() && same(in_force) == same(other))
    }
}

impl Render {
    pub(crate) fn run(&self) -> Exit {
        self.text().map_or_else(|exit| exit, |text| output::result(&text))
    }

    fn text(&self) -> Result<String, Exit> {
        match self {
            Self::Envoy(Envoy {
                policy,
                listen,
                name,
                admin_port,
                upstream,
                ecds_dir,
                access_log,
                trusted_ca,
                cors,
                cors_credentials,
            }) => {
                let cors = match &cors[..] {
                    [] => None,
                    origins => Some(Cors::new(origins.to_vec(), *cors_credentials).map_err(|message| {
                        output::diagnostic(&format!("error: {message}"));
                        Exit::Usage
                    })?),
                };
                let options = Bootstrap {
                    listen: listen.clone(),
                    admin_port: *admin_port,
                    upstream: upstream.clone(),
                    ecds_dir: ecds_dir.clone(),
                    access_log: access_log.clone(),
                    trusted_ca: trusted_ca.clone(),
                    cors,
                };
                render::bootstrap(&policy.read(name.as_ref())?.0, &options).map_err(|error| {
                    output::diagnostic(&format!("policy-host: {}: {error}", policy.policy.display()));
                    Exit::Invalid
                })
            }
            Self::Ecds(Ecds { policy, wasm, name, beside }) => {
                let (rendered, in_force) = policy.read(name.as_ref())?;
                policy.compared(render::ecds(&rendered, &wasm.display().to_string()), in_force.as_ref(), beside)
            }
            Self::Istio(Istio { policy, attach, at, namespace, image }) => {
                let attach = match attach {
                    AttachTo::Sidecar => Attach::Sidecar,
                    AttachTo::Gateway => Attach::Gateway,
                    AttachTo::Waypoint => Attach::Waypoint,
                };
                let options = IstioOptions { attach, workload: at.clone(), namespace: namespace.clone(), image: image.clone() };
                let (rendered, in_force) = policy.read(None)?;
                let text = render::istio(&rendered, &options).map_err(|message| {
                    output::diagnostic(&format!("error: {message}"));
                    Exit::Usage
                })?;
                policy.compared(text, in_force.as_ref(), &[])
            }
            Self::EnvoyGateway(EnvoyGateway { policy, at: (kind, name), namespace, image }) => {
                let options = GatewayOptions { kind, name: name.clone(), namespace: namespace.clone(), image: image.clone() };
                let (rendered, in_force) = policy.read(None)?;
                policy.compared(render::envoy_gateway(&rendered, &options), in_force.as_ref(), &[])
            }
        }
    }
}

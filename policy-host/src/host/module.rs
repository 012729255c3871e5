//! A filter's .wasm, read, checked and compiled.

use super::abi;
use super::state::HostState;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use wasmtime::{Cache, CacheConfig, Config, Engine, InstancePre, Linker};

/// A version of the proxy-wasm ABI that Envoy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abi {
    V0_1_0,
    V0_2_0,
    V0_2_1,
}

impl Abi {
    /// By the export that names it.
    const NAMES: [(&'static str, Self); 3] = [
        ("proxy_abi_version_0_1_0", Self::V0_1_0),
        ("proxy_abi_version_0_2_0", Self::V0_2_0),
        ("proxy_abi_version_0_2_1", Self::V0_2_1),
    ];

    /// As Envoy: of several the first export counts.
    fn of(module: &wasmtime::Module) -> Result<Self, LoadError> {
        let named = |name: &str| Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, abi)| abi);
        let unknown = || module.exports().find(|export| export.name().starts_with("proxy_abi_version_"));
        module.exports().find_map(|export| named(export.name())).ok_or_else(|| LoadError::NotAFilter {
            reason: match unknown() {
                Some(export) => format!("it speaks `{}`; Envoy knows 0_1_0, 0_2_0 and 0_2_1", export.name()),
                None => "it exports no `proxy_abi_version_0_2_1`, `proxy_abi_version_0_2_0` or `proxy_abi_version_0_1_0`".into(),
            },
        })
    }
}

/// A compiled filter. Clones are cheap and are the same module.
#[derive(Clone)]
pub struct Module {
    pub(super) instance: InstancePre<HostState>,
    /// `malloc` or `proxy_on_memory_allocate`.
    pub(super) allocator: &'static str,
    pub(super) abi: Abi,
    path: Arc<Path>,
}

/// Why a file is no filter that Envoy would run.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read.
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not WebAssembly, or not valid.
    Invalid {
        /// What the compiler says.
        reason: String,
    },
    /// WebAssembly, but no proxy-wasm module that Envoy would run.
    NotAFilter {
        /// What is missing.
        reason: String,
    },
    /// It imports what Envoy does not offer.
    UnknownImport {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// It imports something that Envoy offers, in another form.
    WrongImport {
        /// Which import, and both signatures.
        reason: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Invalid { reason } => write!(f, "not a valid WebAssembly module: {reason}"),
            Self::NotAFilter { reason } => write!(f, "not a proxy-wasm filter: {reason}"),
            Self::UnknownImport { module, name } => write!(f, "it imports `{name}` from `{module}`, which Envoy does not offer"),
            Self::WrongImport { reason } => write!(f, "an import does not fit: {reason}"),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Invalid { .. } | Self::NotAFilter { .. } | Self::UnknownImport { .. } | Self::WrongImport { .. } => None,
        }
    }
}

/// One engine for the process: modules and VMs of different engines could not meet.
fn engine() -> Result<&'static Engine, LoadError> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    ENGINE
        .get_or_init(|| {
            let mut config = CacheConfig::new();
            // What is kept is read far more often than written: the lowest level is the quickest to unpack.
            config.with_baseline_compression_level(1);
            // Without a writable cache folder compilation only takes longer.
            let cache = Cache::new(config).ok();
            build_engine(cache).or_else(|_| build_engine(None)).map_err(|error| format!("{error:#}"))
        })
        .as_ref()
        .map_err(|reason| LoadError::Invalid { reason: reason.clone() })
}

fn build_engine(cache: Option<Cache>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.consume_fuel(true).cache(cache);
    Engine::new(&config)
}

impl Module {
    /// Reads and compiles a filter. The compiled code is kept in wasmtime's cache folder for the next time.
    ///
    /// # Errors
    /// When the file cannot be read, or Envoy would not load it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        Self::compile(&bytes, path)
    }

    /// Compiles a filter from its bytes.
    ///
    /// # Errors
    /// When Envoy would not load it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LoadError> {
        Self::compile(bytes, Path::new("<bytes>"))
    }

    fn compile(bytes: &[u8], path: &Path) -> Result<Self, LoadError> {
        let engine = engine()?;
        if !bytes.starts_with(b"\0asm") {
            return Err(LoadError::Invalid { reason: "it does not begin as one (with the bytes 00 61 73 6d)".into() });
        }
        let module = wasmtime::Module::new(engine, bytes).map_err(|error| LoadError::Invalid { reason: format!("{error:#}") })?;
        let exports = |name: &str| module.get_export(name).is_some();
        let abi = Abi::of(&module)?;
        let allocator = ["malloc", "proxy_on_memory_allocate"].into_iter().find(|name| exports(name));
        let allocator = allocator.ok_or_else(|| LoadError::NotAFilter {
            reason: "it exports neither `proxy_on_memory_allocate` nor `malloc`".into(),
        })?;
        let mut linker = Linker::new(engine);
        let wrong = |error: wasmtime::Error| LoadError::WrongImport { reason: format!("{error:#}") };
        abi::link_all(&mut linker, abi).map_err(wrong)?;
        let offered: std::collections::HashSet<(String, String)> = {
            // Names alone are needed, and the linker only lists them for a store.
            let mut store = wasmtime::Store::new(engine, super::vm::blank_state());
            linker.iter(&mut store).map(|(module, name, _)| (module.to_owned(), name.to_owned())).collect()
        };
        for import in module.imports() {
            if !offered.contains(&(import.module().to_owned(), import.name().to_owned())) {
                return Err(LoadError::UnknownImport { module: import.module().into(), name: import.name().into() });
            }
        }
        let instance = linker.instantiate_pre(&module).map_err(wrong)?;
        Ok(Self { instance, allocator, abi, path: path.into() })
    }

    /// What it asks of the host: the module and the name of each import.
    pub fn imports(&self) -> impl Iterator<Item = (&str, &str)> {
        self.instance.module().imports().map(|import| (import.module(), import.name()))
    }

    /// The file it came from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("path", &self.path).finish_non_exhaustive()
    }
}

//! The modules. Owns their texts, which are embedded, and the context that libyang keeps of them.

use std::path::Path;

use yang5::context::{Context, ContextFlags, EmbeddedModuleKey, EmbeddedModules};

/// Every embedded module with its text; more than [`SERVED`], because some are only imported.
const TEXTS: [(&str, &str); 8] = [
    ("frr-filter", include_str!("../modules/frr-filter.yang")),
    ("frr-host", include_str!("../modules/frr-host.yang")),
    ("frr-interface", include_str!("../modules/frr-interface.yang")),
    ("frr-logging", include_str!("../modules/frr-logging.yang")),
    ("frr-nhrpd", include_str!("../modules/frr-nhrpd.yang")),
    ("frr-vrf", include_str!("../modules/frr-vrf.yang")),
    ("ietf-interfaces", include_str!("../modules/ietf-interfaces.yang")),
    ("ietf-syslog-types", include_str!("../modules/ietf-syslog-types.yang")),
];

/// The modules whose data are served: those of FRR's nhrpd and the one of this project. In the order of loading; FRR's
/// `frr-logging` cannot be loaded before the module that it imports.
pub const SERVED: [&str; 7] =
    ["ietf-syslog-types", "frr-vrf", "frr-interface", "frr-filter", "frr-host", "frr-logging", "frr-nhrpd"];

/// Why the modules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("YANG module {module}: {reason}")]
pub struct SchemaError {
    /// The module.
    pub module: String,
    /// libyang's words.
    pub reason: String,
}

/// One module, as it is told to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Name.
    pub name: String,
    /// Who publishes it.
    pub organization: String,
    /// Date of the latest revision; empty if it has none.
    pub revision: String,
}

/// The compiled modules.
#[derive(Debug)]
pub struct Schema {
    pub(crate) context: Context,
}

impl Schema {
    /// The embedded modules. Modules of `directory`, if it is given, take the place of those of the same name: FRR's,
    /// as they are installed.
    ///
    /// # Errors
    /// A module that libyang does not accept.
    pub fn load(directory: Option<&Path>) -> Result<Self, SchemaError> {
        let mut flags = ContextFlags::DISABLE_SEARCHDIR_CWD | ContextFlags::NO_YANGLIBRARY;
        if directory.is_some() {
            flags |= ContextFlags::PREFER_SEARCHDIRS;
        }
        let fault = |module: &str, error: &yang5::Error| SchemaError {
            module: module.to_owned(),
            reason: error.to_string(),
        };
        let mut context = Context::new(flags).map_err(|e| fault("(none)", &e))?;
        if let Some(directory) = directory {
            let name = directory.display().to_string();
            if name.contains('\0') || directory.to_str().is_none() {
                return Err(SchemaError { module: name, reason: "not a name in UTF-8".to_owned() });
            }
            context.set_searchdir(directory).map_err(|e| fault(&name, &e))?;
        }
        let texts: EmbeddedModules = TEXTS
            .iter()
            .map(|(name, text)| (EmbeddedModuleKey::new(name, None, None, None), *text))
            .collect();
        context.set_embedded_modules(&texts);
        let loaded: Result<(), SchemaError> = SERVED
            .iter()
            .try_for_each(|name| context.load_module(name, None, &[]).map(drop).map_err(|e| fault(name, &e)));
        // libyang keeps no more than the address of the table, which ends here.
        context.unset_embedded_modules();
        loaded.map(|()| Self { context })
    }

    /// The modules that are served, by name.
    #[must_use]
    pub fn modules(&self) -> Vec<ModuleInfo> {
        let mut names = SERVED;
        names.sort_unstable();
        let modules = names.iter().filter_map(|name| self.context.get_module_implemented(name));
        modules
            .map(|module| ModuleInfo {
                name: module.name().to_owned(),
                organization: module.organization().unwrap_or_default().to_owned(),
                revision: module.revision().unwrap_or_default().to_owned(),
            })
            .collect()
    }

    /// Whether a path without predicates names anything.
    #[must_use]
    pub fn knows(&self, path: &str) -> bool {
        crate::tree::check_path(path).is_ok() && self.context.find_path(path).is_ok()
    }
}

//! The measures of a plugin, and their limits.

use serde::Serialize;

use crate::config::PluginConfig;
use crate::limits::{MEMORIES, TABLES};

/// The depth of component types that the engine's own validator accepts, times two: ours is an upper bound.
const TYPE_DEPTH: u64 = 200;

/// One thing that is counted, over the whole file or as the most that any one place has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measure {
    /// Bytes of the file.
    Bytes,
    /// Sections of all modules and components.
    Sections,
    /// Core modules, those in nested components too.
    Modules,
    /// Nested components.
    Components,
    /// The depth to which components nest; the outermost is 1.
    ComponentDepth,
    /// Instances of modules and components, and sets of exports under a name.
    Instances,
    /// Functions with a body.
    Functions,
    /// Bytes of the largest function's body.
    FunctionBytes,
    /// The most locals of one function.
    Locals,
    /// The deepest nesting of blocks in one function.
    BlockDepth,
    /// The most targets of one `br_table`.
    BranchTargets,
    /// Types that are defined.
    Types,
    /// Bytes of the sections that define types.
    TypeBytes,
    /// At most so deep do the component types of one section nest.
    TypeDepth,
    /// Imports, exports, aliases, globals and canonical functions.
    Items,
    /// Data and element segments.
    Segments,
    /// Linear memories that modules define.
    Memories,
    /// Tables that modules define.
    Tables,
    /// Bytes that the host allocates for each run beside memories and tables, at most.
    RunBytes,
    /// Bytes of custom sections: names, debug information and the like.
    CustomBytes,
}

impl Measure {
    /// The most there may be.
    pub(super) fn limit(self, config: &PluginConfig) -> u64 {
        match self {
            Self::Bytes => config.bytes,
            Self::Sections => config.sections,
            Self::Modules => config.modules,
            Self::Components => config.components,
            Self::ComponentDepth => config.component_depth,
            Self::Instances => config.instances,
            Self::Functions => config.functions,
            Self::FunctionBytes => config.function_bytes,
            Self::Locals => config.locals,
            Self::BlockDepth => config.block_depth,
            Self::BranchTargets => config.branch_targets,
            Self::Types => config.types,
            Self::TypeBytes => config.type_bytes,
            Self::TypeDepth => TYPE_DEPTH,
            Self::Items => config.items,
            Self::Segments => config.segments,
            Self::Memories => u64::from(MEMORIES),
            Self::Tables => u64::from(TABLES),
            Self::RunBytes => config.run_bytes,
            Self::CustomBytes => config.custom_bytes,
        }
    }

    /// The key of the limit, unless it is fixed.
    pub(super) const fn key(self) -> Option<&'static str> {
        Some(match self {
            Self::Bytes => "plugins.bytes",
            Self::Sections => "plugins.sections",
            Self::Modules => "plugins.modules",
            Self::Components => "plugins.components",
            Self::ComponentDepth => "plugins.component_depth",
            Self::Instances => "plugins.instances",
            Self::Functions => "plugins.functions",
            Self::FunctionBytes => "plugins.function_bytes",
            Self::Locals => "plugins.locals",
            Self::BlockDepth => "plugins.block_depth",
            Self::BranchTargets => "plugins.branch_targets",
            Self::Types => "plugins.types",
            Self::TypeBytes => "plugins.type_bytes",
            Self::Items => "plugins.items",
            Self::Segments => "plugins.segments",
            Self::RunBytes => "plugins.run_bytes",
            Self::CustomBytes => "plugins.custom_bytes",
            Self::TypeDepth | Self::Memories | Self::Tables => return None,
        })
    }

    /// The measure that is exceeded.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Sections => "sections",
            Self::Modules => "core modules",
            Self::Components => "nested components",
            Self::ComponentDepth => "levels of components within components",
            Self::Instances => "instances",
            Self::Functions => "functions",
            Self::FunctionBytes => "bytes in one function",
            Self::Locals => "locals in one function",
            Self::BlockDepth => "levels of blocks within blocks",
            Self::BranchTargets => "targets of one br_table",
            Self::Types => "types",
            Self::TypeBytes => "bytes of types",
            Self::TypeDepth => "levels of types within types",
            Self::Items => "imports, exports, aliases and globals",
            Self::Segments => "data and element segments",
            Self::Memories => "memories",
            Self::Tables => "tables",
            Self::RunBytes => {
                "bytes for each run, beside memories and tables, of segments, imports, globals and functions in all \
                 instances"
            }
            Self::CustomBytes => "bytes of custom sections",
        }
    }

    /// The remedy for its author.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::Bytes
            | Self::Sections
            | Self::Functions
            | Self::Types
            | Self::TypeBytes
            | Self::Items => "leave out what is not needed, and build with optimisation for size",
            Self::FunctionBytes | Self::Locals | Self::BlockDepth | Self::BranchTargets => {
                "split the function, and build with optimisation"
            }
            Self::CustomBytes => "strip names and debug information, as with `wasm-tools strip`",
            Self::Segments => "merge data segments, as release builds do",
            Self::Modules
            | Self::Components
            | Self::ComponentDepth
            | Self::Instances
            | Self::RunBytes
            | Self::Memories
            | Self::Tables => "link it into fewer modules",
            Self::TypeDepth => "make its interface flatter",
        }
    }
}

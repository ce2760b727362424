//! The host's allocations for one run of a component, beside its memories and tables.
//!
//! Memories and tables are counted as they are allocated, by the limiter of each run. All else that the engine sets
//! up for a run it sets up without asking: for each instance of a module a context with an entry for each import,
//! global, and function that can be referred to, and a copy of each passive element segment. A component says in a
//! few bytes how many instances there are, so what a module takes is multiplied by how often it is instantiated,
//! through all nested components.
//!
//! The figures are those of wasmtime 48 on machines of 64 bits (`VMOffsets`, `VMComponentOffsets`,
//! `Instance::new` and `OwnedImports`), rounded up. A test measures whether they hold.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, ElementItems, ElementKind, Instance, Payload,
};

use crate::{config::PluginConfig, limits::CORE_INSTANCES};

/// An instance itself, with what the store and the allocator keep of it.
const INSTANCE: u64 = 512;
/// An import: in the context, and in the list that it is copied from.
const IMPORT: u64 = 64;
/// The context's entry for a global, a tag, or a segment of data.
const ENTRY: u64 = 16;
/// And for a memory or table.
const SPACE: u64 = 128;
/// A function that can be referred to.
const FUNCTION: u64 = 32;
/// An entry of a passive element segment, and the segment itself.
const ELEMENT: u64 = 16;
const SEGMENT: u64 = 64;
/// A canonical function of a component: trampolines, options, and what adapts it to another component.
const CANONICAL: u64 = 256;
/// An instance of a nested component: flags and tables of handles.
const COMPONENT_INSTANCE: u64 = 512;
/// A type of a component, which may be a resource.
const TYPE: u64 = 32;

/// The memory of one instance.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    bytes: u64,
    /// Instances of modules that are not known here, but handed in by another component.
    unknown: u64,
}

impl Load {
    const fn bytes(bytes: u64) -> Self {
        Self { bytes, unknown: 0 }
    }

    /// A module that is not known here.
    const MODULE: Self = Self {
        bytes: 0,
        unknown: 1,
    };
    /// A component that is not: as much as one can take.
    const COMPONENT: Self = Self {
        bytes: 0,
        unknown: CORE_INSTANCES as u64,
    };

    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.unknown = self.unknown.saturating_add(other.unknown);
    }
}

/// A module, as far as it was read.
#[derive(Clone, Copy, Debug, Default)]
struct Module {
    bytes: u64,
    functions: u64,
    /// Functions that are referred to, at most.
    referred: u64,
}

impl Module {
    fn load(self) -> u64 {
        let functions = self.referred.min(self.functions).saturating_mul(FUNCTION);
        self.bytes
            .saturating_add(functions)
            .saturating_add(INSTANCE)
    }

    fn add(&mut self, count: u32, each: u64) {
        self.bytes = self
            .bytes
            .saturating_add(u64::from(count).saturating_mul(each));
    }
}

/// A component that is being read: the modules and components that it can instantiate, by their indices, and what its
/// own instance takes.
#[derive(Debug, Default)]
struct Parts {
    modules: Vec<Load>,
    components: Vec<Load>,
    own: Load,
}

/// Adds up what a run of a component takes, while the component is read.
#[derive(Debug)]
pub(super) struct Scales {
    /// Sections of a component with more in them are not looked into, since they are refused.
    most: u64,
    module: Module,
    /// The components around the place that is read, outermost first.
    around: Vec<Parts>,
    /// The memory of the largest module.
    heaviest: u64,
    total: Load,
}

impl Scales {
    pub(super) fn new(limits: &PluginConfig) -> Self {
        Self {
            most: limits.items.max(limits.instances),
            module: Module::default(),
            around: Vec::new(),
            heaviest: 0,
            total: Load::default(),
        }
    }

    pub(super) fn enter_module(&mut self) {
        self.module = Module::default();
    }

    pub(super) fn leave_module(&mut self) {
        let load = self.module.load();
        self.heaviest = self.heaviest.max(load);
        match self.around.last_mut() {
            Some(parts) => parts.modules.push(Load::bytes(load)),
            None => self.total = Load::bytes(load),
        }
    }

    pub(super) fn enter_component(&mut self) {
        self.around.push(Parts::default());
    }

    pub(super) fn leave_component(&mut self) {
        let own = self.around.pop().unwrap_or_default().own;
        match self.around.last_mut() {
            Some(parts) => parts.components.push(own),
            None => self.total = own,
        }
    }

    /// Bytes that one run takes, once all is read.
    pub(super) fn total(&self) -> u64 {
        let unknown = self.total.unknown.saturating_mul(self.heaviest);
        self.total.bytes.saturating_add(unknown)
    }

    /// Takes one section into account.
    ///
    /// # Errors
    /// If it is damaged.
    pub(super) fn weigh(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        let module = &mut self.module;
        match payload {
            Payload::ImportSection(s) => {
                module.add(s.count(), IMPORT);
                module.functions = module.functions.saturating_add(s.count().into());
            }
            Payload::FunctionSection(s) => {
                module.functions = module.functions.saturating_add(s.count().into());
            }
            Payload::ExportSection(s) => {
                module.referred = module.referred.saturating_add(s.count().into());
            }
            Payload::StartSection { .. } => module.referred = module.referred.saturating_add(1),
            Payload::GlobalSection(s) => {
                module.add(s.count(), ENTRY);
                module.referred = module.referred.saturating_add(s.count().into());
            }
            Payload::TagSection(s) => module.add(s.count(), ENTRY),
            Payload::DataSection(s) => module.add(s.count(), ENTRY),
            Payload::MemorySection(s) => module.add(s.count(), SPACE),
            Payload::TableSection(s) => {
                module.add(s.count(), SPACE);
                module.referred = module.referred.saturating_add(s.count().into());
            }
            Payload::ElementSection(s) => {
                for element in s.clone() {
                    let element = element?;
                    let entries = match element.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    };
                    module.referred = module.referred.saturating_add(entries.into());
                    // The others are written into their tables, or only declare.
                    if matches!(element.kind, ElementKind::Passive) {
                        module.add(entries, ELEMENT);
                        module.add(1, SEGMENT);
                    }
                }
            }
            payload => self.weigh_component(payload)?,
        }
        Ok(())
    }

    fn weigh_component(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        let Some((parts, outer)) = self.around.split_last_mut() else {
            return Ok(());
        };
        let count = match payload {
            Payload::InstanceSection(s) => s.count(),
            Payload::ComponentInstanceSection(s) => s.count(),
            Payload::ComponentImportSection(s) => s.count(),
            Payload::ComponentExportSection(s) => s.count(),
            Payload::ComponentAliasSection(s) => s.count(),
            _ => 0,
        };
        if u64::from(count) > self.most {
            return Ok(());
        }
        let counted = |count: u32, each: u64| Load::bytes(u64::from(count).saturating_mul(each));
        match payload {
            Payload::InstanceSection(s) => {
                for instance in s.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        let load = at(&parts.modules, module_index);
                        parts.own.add(load.unwrap_or(Load::MODULE));
                    }
                }
            }
            Payload::ComponentInstanceSection(s) => {
                for instance in s.clone() {
                    if let ComponentInstance::Instantiate {
                        component_index, ..
                    } = instance?
                    {
                        let load = at(&parts.components, component_index);
                        parts.own.add(load.unwrap_or(Load::COMPONENT));
                        parts.own.add(Load::bytes(COMPONENT_INSTANCE));
                    }
                }
            }
            Payload::ComponentCanonicalSection(s) => {
                parts.own.add(counted(s.count(), CANONICAL));
            }
            Payload::ComponentTypeSection(s) => parts.own.add(counted(s.count(), TYPE)),
            Payload::ComponentImportSection(s) => {
                parts.own.add(counted(s.count(), IMPORT));
                for import in s.clone() {
                    match import?.ty {
                        ComponentTypeRef::Module(_) => parts.modules.push(Load::MODULE),
                        ComponentTypeRef::Component(_) => parts.components.push(Load::COMPONENT),
                        _ => {}
                    }
                }
            }
            // An export has a second index from there on.
            Payload::ComponentExportSection(s) => {
                for export in s.clone() {
                    let export = export?;
                    parts.push(export.kind, export.index);
                }
            }
            Payload::ComponentAliasSection(s) => {
                for alias in s.clone() {
                    match alias? {
                        ComponentAlias::InstanceExport { kind, .. } => {
                            parts.push(kind, u32::MAX);
                        }
                        ComponentAlias::Outer { kind, count, index } => {
                            let of = usize::try_from(count).ok().and_then(|count| {
                                match count.checked_sub(1) {
                                    None => Some(&*parts),
                                    Some(above) => outer.iter().rev().nth(above),
                                }
                            });
                            match kind {
                                ComponentOuterAliasKind::CoreModule => {
                                    let load = of.and_then(|of| at(&of.modules, index));
                                    parts.modules.push(load.unwrap_or(Load::MODULE));
                                }
                                ComponentOuterAliasKind::Component => {
                                    let load = of.and_then(|of| at(&of.components, index));
                                    parts.components.push(load.unwrap_or(Load::COMPONENT));
                                }
                                _ => {}
                            }
                        }
                        ComponentAlias::CoreInstanceExport { .. } => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Parts {
    /// A module or component gets a further index.
    fn push(&mut self, kind: ComponentExternalKind, of: u32) {
        match kind {
            ComponentExternalKind::Module => {
                let load = at(&self.modules, of).unwrap_or(Load::MODULE);
                self.modules.push(load);
            }
            ComponentExternalKind::Component => {
                let load = at(&self.components, of).unwrap_or(Load::COMPONENT);
                self.components.push(load);
            }
            _ => {}
        }
    }
}

fn at(loads: &[Load], index: u32) -> Option<Load> {
    loads.get(usize::try_from(index).ok()?).copied()
}

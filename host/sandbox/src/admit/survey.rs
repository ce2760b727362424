//! One pass over a plugin's bytes, with a limit on all that there is in it.
//!
//! This runs in our own process on whatever a stranger sent, so it must be cheap whatever that is: time is
//! linear in the bytes; memory is a few figures for each module and component and the names of the
//! outermost imports and exports; nothing recurses. In particular the parser's readers of component types
//! are never called, as they recurse for each level and a megabyte has hundreds of thousands of levels.
//!
//! It is no validator. What passes may still be nonsense, which the compiler's validator finds, in a
//! process that may run out of time, memory or stack.

mod load;

use std::collections::BTreeMap;

use serde::Serialize;
use wasmparser::{Chunk, Encoding, FunctionBody, ImportSectionReader, Parser, Payload, TypeRef};

use self::load::Scales;
use super::{Location, Measure, Refusal, code};
use crate::{config::PluginConfig, text::clean_line};

/// The longest name of an import or export that is kept.
const MAX_NAME: usize = 200;
/// The most of them that are kept.
const MAX_NAMES: usize = 200;

/// The measures of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// The amount of each measure; measures of which there is nothing are left out.
    pub figures: BTreeMap<Measure, u64>,
    /// The function with the most bytes.
    pub largest_function: Option<Function>,
    /// Whether a component type is embedded: what a core module needs to become a component.
    pub component_type: bool,
    /// Names of what the outermost component imports, made fit to be shown; the first 200.
    pub imports: Vec<String>,
    /// The same of what it exports.
    pub exports: Vec<String>,
}

/// A function of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Function {
    /// The core module, in the order of the file, from 0.
    pub module: u64,
    /// Its index in that module, imported functions first.
    pub index: u64,
    /// Bytes of its body.
    pub bytes: u64,
}

impl Survey {
    /// The amount of one measure.
    #[must_use]
    pub fn figure(&self, measure: Measure) -> u64 {
        self.figures.get(&measure).copied().unwrap_or(0)
    }
}

/// Surveys a component or a core module.
///
/// # Errors
/// The first limit that is passed, or the first damage; the rest is not looked at then.
pub fn survey(wasm: &[u8], limits: &PluginConfig) -> Result<Survey, Refusal> {
    let mut surveyor = Surveyor {
        limits,
        wasm,
        found: Survey::default(),
        levels: Vec::new(),
        modules: 0,
        functions: 0,
        scales: Scales::new(limits),
    };
    surveyor.file()?;
    Ok(surveyor.found)
}

/// A module or component that is being read, around which others are.
struct Level {
    parser: Parser,
    /// The number of the module, if it is one.
    module: Option<u64>,
}

struct Surveyor<'a> {
    limits: &'a PluginConfig,
    wasm: &'a [u8],
    found: Survey,
    levels: Vec<Level>,
    /// Core modules so far.
    modules: u64,
    /// Functions of the module that is being read, so far. Modules have none in them, so one will do.
    functions: u64,
    scales: Scales,
}

impl Surveyor<'_> {
    fn file(&mut self) -> Result<(), Refusal> {
        let wasm = self.wasm;
        self.add(Measure::Bytes, wasm.len(), Location::default())?;
        let mut rest = wasm;
        let mut level = Level {
            parser: Parser::new(0),
            module: None,
        };
        loop {
            let offset = wasm.len().saturating_sub(rest.len()) as u64;
            let mut place = Location {
                module: level.module,
                offset,
                ..Location::default()
            };
            let chunk = level.parser.parse(rest, true);
            let (payload, consumed) =
                match chunk.map_err(|e| Refusal::damaged(&e, place.clone()))? {
                    Chunk::Parsed { payload, consumed } => (payload, consumed),
                    // not at the end of the data, by the parser's contract
                    Chunk::NeedMoreData(_) => return Err(cut_off(place)),
                };
            let Some(left) = rest.get(consumed..) else {
                return Err(cut_off(place));
            };
            rest = left;
            place.section = section(&payload);
            if place.section.is_some() && !matches!(payload, Payload::CodeSectionEntry(_)) {
                self.add(Measure::Sections, 1, place.clone())?;
            }
            let weighed = self.scales.weigh(&payload);
            weighed.map_err(|e| Refusal::damaged(&e, place.clone()))?;
            match payload {
                Payload::Version { encoding, .. } => {
                    if encoding == Encoding::Component {
                        self.scales.enter_component();
                    } else {
                        self.scales.enter_module();
                        level.module = Some(self.modules);
                        self.modules = self.modules.saturating_add(1);
                        self.functions = 0;
                        self.add(Measure::Modules, 1, place)?;
                    }
                }
                Payload::ModuleSection { parser, .. } => self.enter(&mut level, parser),
                Payload::ComponentSection { parser, .. } => {
                    self.add(Measure::Components, 1, place.clone())?;
                    self.enter(&mut level, parser);
                    let depth = self.levels.len().saturating_add(1);
                    self.most(Measure::ComponentDepth, depth as u64, place)?;
                }
                Payload::End(_) => {
                    match level.module {
                        Some(_) => self.scales.leave_module(),
                        None => self.scales.leave_component(),
                    }
                    match self.levels.pop() {
                        Some(outer) => level = outer,
                        None if rest.is_empty() => {
                            place.module = None;
                            return self.most(Measure::RunBytes, self.scales.total(), place);
                        }
                        None => return Err(cut_off(place)),
                    }
                }
                Payload::CodeSectionEntry(body) => self.function(&body, place)?,
                payload => self.section(payload, place)?,
            }
        }
    }

    fn enter(&mut self, level: &mut Level, parser: Parser) {
        let inner = Level {
            parser,
            module: None,
        };
        self.levels.push(std::mem::replace(level, inner));
    }

    /// A section of a module or component that holds no other. Its own count of what is in it is believed:
    /// a wrong one is damage that the validator finds.
    fn section(&mut self, payload: Payload<'_>, place: Location) -> Result<(), Refusal> {
        use Measure::{Functions, Instances, Items, Memories, Segments, Tables};
        let (measure, count) = match payload {
            Payload::TypeSection(s) => return self.types(s.count(), s.range().len(), place),
            Payload::CoreTypeSection(s) => return self.types(s.count(), s.range().len(), place),
            Payload::ComponentTypeSection(s) => {
                let bytes = self.wasm.get(s.range()).unwrap_or_default();
                self.types(s.count(), bytes.len(), place.clone())?;
                return self.most(Measure::TypeDepth, type_depth(bytes), place);
            }
            Payload::ImportSection(s) => {
                self.functions = imported_functions(s.clone(), &place)?;
                (Items, s.count())
            }
            Payload::ComponentImportSection(s) => {
                let count = s.count();
                if self.levels.is_empty() {
                    let names = s.into_iter().map(|item| Ok(item?.name.name));
                    keep(names, &mut self.found.imports, &place)?;
                }
                (Items, count)
            }
            Payload::ComponentExportSection(s) => {
                let count = s.count();
                if self.levels.is_empty() {
                    let names = s.into_iter().map(|item| Ok(item?.name.name));
                    keep(names, &mut self.found.exports, &place)?;
                }
                (Items, count)
            }
            Payload::ExportSection(s) => (Items, s.count()),
            Payload::GlobalSection(s) => (Items, s.count()),
            Payload::TagSection(s) => (Items, s.count()),
            Payload::ComponentAliasSection(s) => (Items, s.count()),
            Payload::ComponentCanonicalSection(s) => (Items, s.count()),
            Payload::FunctionSection(s) => (Functions, s.count()),
            Payload::TableSection(s) => (Tables, s.count()),
            Payload::MemorySection(s) => (Memories, s.count()),
            Payload::ElementSection(s) => (Segments, s.count()),
            Payload::DataSection(s) => (Segments, s.count()),
            Payload::InstanceSection(s) => (Instances, s.count()),
            Payload::ComponentInstanceSection(s) => (Instances, s.count()),
            Payload::CustomSection(s) => {
                let bytes = s.range().len();
                // tools append the world to the name
                self.found.component_type |= s.name().starts_with("component-type");
                return self.add(Measure::CustomBytes, bytes, place);
            }
            Payload::UnknownSection { id, .. } => {
                return Err(Refusal::UnknownSection { id, place });
            }
            // what has no count, or one that other sections repeat
            _ => return Ok(()),
        };
        self.add(measure, count as usize, place)
    }

    /// A section of types: their number and their bytes.
    fn types(&mut self, count: u32, bytes: usize, place: Location) -> Result<(), Refusal> {
        self.add(Measure::Types, count as usize, place.clone())?;
        self.add(Measure::TypeBytes, bytes, place)
    }

    fn function(&mut self, body: &FunctionBody<'_>, mut place: Location) -> Result<(), Refusal> {
        let index = self.functions;
        self.functions = self.functions.saturating_add(1);
        place.function = Some(index);
        let bytes = body.range().len() as u64;
        self.most(Measure::FunctionBytes, bytes, place.clone())?;
        if self.found.largest_function.is_none_or(|f| bytes > f.bytes) {
            self.found.largest_function = Some(Function {
                module: place.module.unwrap_or_default(),
                index,
                bytes,
            });
        }
        let found = code::measure(body).map_err(|e| Refusal::damaged(&e, place.clone()))?;
        self.most(Measure::Locals, found.locals, place.clone())?;
        self.most(Measure::BlockDepth, found.block_depth, place.clone())?;
        self.most(Measure::BranchTargets, found.branch_targets, place)
    }

    /// Counts more of what is limited over the whole file.
    fn add(&mut self, measure: Measure, more: usize, place: Location) -> Result<(), Refusal> {
        let all = self.found.figure(measure).saturating_add(more as u64);
        self.most(measure, all, place)
    }

    /// Notes how much one place has of what is limited for each.
    fn most(&mut self, measure: Measure, found: u64, place: Location) -> Result<(), Refusal> {
        let limit = measure.limit(self.limits);
        if found > limit {
            return Err(Refusal::TooMuch {
                measure,
                found,
                limit,
                place,
            });
        }
        if found > 0 {
            let figure = self.found.figures.entry(measure).or_default();
            *figure = found.max(*figure);
        }
        Ok(())
    }
}

/// An upper bound on how deep the types of a section nest. Each level is a type among a component's or an
/// instance's declarations, which begins with the bytes 01 41 or 01 42 (component model, Binary.md: Type
/// Definitions). The same two bytes elsewhere, in names and indices, are few in what tools make.
fn type_depth(section: &[u8]) -> u64 {
    let begins = |bytes: &&[u8]| matches!(bytes, [0x01, 0x41 | 0x42]);
    section.windows(2).filter(begins).count() as u64
}

/// Number of functions that a module imports: its own functions are numbered from there.
fn imported_functions(section: ImportSectionReader<'_>, place: &Location) -> Result<u64, Refusal> {
    let mut functions: u64 = 0;
    for import in section.into_imports() {
        let import = import.map_err(|e| Refusal::damaged(&e, place.clone()))?;
        if matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)) {
            functions = functions.saturating_add(1);
        }
    }
    Ok(functions)
}

fn keep<'a>(
    names: impl Iterator<Item = wasmparser::Result<&'a str>>,
    kept: &mut Vec<String>,
    place: &Location,
) -> Result<(), Refusal> {
    for name in names.take(MAX_NAMES.saturating_sub(kept.len())) {
        let name = name.map_err(|e| Refusal::damaged(&e, place.clone()))?;
        kept.push(clean_line(name, MAX_NAME));
    }
    Ok(())
}

fn cut_off(place: Location) -> Refusal {
    Refusal::Damaged {
        place,
        reason: "it does not end where it should".to_owned(),
    }
}

/// The specifications' names of sections.
const fn section(payload: &Payload<'_>) -> Option<&'static str> {
    Some(match payload {
        Payload::TypeSection(_)
        | Payload::CoreTypeSection(_)
        | Payload::ComponentTypeSection(_) => "type",
        Payload::ImportSection(_) | Payload::ComponentImportSection(_) => "import",
        Payload::ExportSection(_) | Payload::ComponentExportSection(_) => "export",
        Payload::FunctionSection(_) => "function",
        Payload::TableSection(_) => "table",
        Payload::MemorySection(_) => "memory",
        Payload::GlobalSection(_) => "global",
        Payload::TagSection(_) => "tag",
        Payload::ElementSection(_) => "element",
        Payload::DataSection(_) => "data",
        Payload::CodeSectionStart { .. } | Payload::CodeSectionEntry(_) => "code",
        Payload::InstanceSection(_) | Payload::ComponentInstanceSection(_) => "instance",
        Payload::ModuleSection { .. } => "core module",
        Payload::ComponentSection { .. } => "component",
        Payload::ComponentAliasSection(_) => "alias",
        Payload::ComponentCanonicalSection(_) => "canon",
        Payload::CustomSection(_) => "custom",
        Payload::UnknownSection { .. } => "next",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;

//! Symbols of a partition with names for what had none: lines for locations, and the function tree built anew with them.

use std::sync::Arc;

use flamelake_block::pause::{SAMPLES_BETWEEN_PAUSES, pause};
use flamelake_symbols::{FunctionView, LineView, LocationView, MappingView, SymbolSource};
use hashbrown::HashMap;

use crate::table::FrameView;

/// See the module.
pub(crate) struct Overlay {
    base: Arc<dyn SymbolSource>,
    /// Ids from here on are ours.
    first_function: u32,
    first_name: u32,
    functions: Vec<Function>,
    names: Vec<Arc<str>>,
    lines: HashMap<u32, Vec<LineView>>,
    /// Function node of each stack.
    stack_nodes: Vec<u32>,
    /// (parent, name) of each function node.
    nodes: Vec<(u32, u32)>,
    /// Mappings that have names now.
    named: Vec<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Function {
    name: Arc<str>,
    system_name: Arc<str>,
    filename: Arc<str>,
}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").field("functions", &self.functions.len()).finish_non_exhaustive()
    }
}

impl Overlay {
    pub(crate) fn memory_bytes(&self) -> usize {
        let lines: usize = self.lines.values().map(|lines| 32 + lines.len() * size_of::<LineView>()).sum();
        let names: usize = self.names.iter().map(|name| 16 + name.len()).sum();
        lines
            + names
            + self.functions.len() * size_of::<Function>()
            + self.stack_nodes.len() * size_of::<u32>()
            + self.nodes.len() * size_of::<(u32, u32)>()
    }
}

/// A location without lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unnamed {
    pub(crate) location: u32,
    pub(crate) mapping: u32,
    pub(crate) address: u64,
}

/// Takes names, then gives the overlay.
pub(crate) struct OverlayBuilder {
    base: Arc<dyn SymbolSource>,
    first_function: u32,
    functions: Vec<Function>,
    by_content: HashMap<Function, u32>,
    texts: hashbrown::HashSet<Arc<str>>,
    lines: HashMap<u32, Vec<LineView>>,
    named: Vec<bool>,
}

impl OverlayBuilder {
    /// Looks at every location once: the builder, and the locations without lines.
    pub(crate) fn new(base: Arc<dyn SymbolSource>) -> (Self, Vec<Unnamed>) {
        let (mut unnamed, mut seen, mut first_function) = (Vec::new(), Vec::new(), 0);
        for stack in 1..base.stack_count() {
            let location = base.stack_location(stack);
            if seen.len() <= location as usize {
                seen.resize(location as usize + 1, false);
            }
            if std::mem::replace(&mut seen[location as usize], true) {
                continue;
            }
            let view = base.location(location);
            if view.lines.is_empty() {
                unnamed.push(Unnamed { location, mapping: view.mapping, address: view.address });
            }
            for line in view.lines {
                first_function = first_function.max(line.function + 1);
            }
        }
        let builder = Self {
            base,
            first_function,
            functions: Vec::new(),
            by_content: HashMap::new(),
            texts: hashbrown::HashSet::new(),
            lines: HashMap::new(),
            named: Vec::new(),
        };
        (builder, unnamed)
    }

    pub(crate) fn base(&self) -> &dyn SymbolSource {
        &*self.base
    }

    /// The next frame of a location, innermost first.
    pub(crate) fn frame(&mut self, at: Unnamed, frame: FrameView<'_>) {
        let texts = &mut self.texts;
        let mut shared = |text: &str| Arc::clone(texts.get_or_insert_with(text, |text| text.into()));
        let content = Function {
            name: shared(frame.function),
            system_name: shared(frame.system_name),
            filename: shared(frame.filename),
        };
        let next = self.first_function + self.functions.len() as u32;
        let function = *self.by_content.entry(content).or_insert_with_key(|content| {
            self.functions.push(content.clone());
            next
        });
        self.lines.entry(at.location).or_default().push(LineView { function, line: frame.line.into() });
        if self.named.len() <= at.mapping as usize {
            self.named.resize(at.mapping as usize + 1, false);
        }
        self.named[at.mapping as usize] = true;
    }

    /// Whether a location has frames by now.
    pub(crate) fn has(&self, at: Unnamed) -> bool {
        self.lines.contains_key(&at.location)
    }

    pub(crate) async fn build(self) -> Overlay {
        let Self { base, first_function, functions, lines, named, .. } = self;
        let first_name = base.name_count();
        let mut overlay = Overlay {
            base,
            first_function,
            first_name,
            functions,
            names: Vec::new(),
            lines,
            stack_nodes: vec![0],
            nodes: vec![(0, 0)],
            named,
        };
        let names = Names::new(&overlay);
        let mut children: HashMap<(u32, u32), u32> = HashMap::new();
        let mut path = Vec::new();
        for stack in 1..overlay.base.stack_count() {
            let mut node = overlay.stack_nodes[overlay.base.stack_parent(stack) as usize];
            let lines = overlay.location(overlay.base.stack_location(stack)).lines;
            path.clear();
            path.extend(lines.iter().rev().map(|line| names.of_function[&line.function]));
            for &name in &path {
                let next = overlay.nodes.len() as u32;
                let child = *children.entry((node, name)).or_insert(next);
                if child == next {
                    overlay.nodes.push((node, name));
                }
                node = child;
            }
            overlay.stack_nodes.push(node);
            if (stack as usize).is_multiple_of(SAMPLES_BETWEEN_PAUSES) {
                pause().await;
            }
        }
        overlay.names = names.new;
        overlay
    }
}

/// Name ids: one for each text, those of the base first.
struct Names {
    new: Vec<Arc<str>>,
    of_function: HashMap<u32, u32>,
}

impl Names {
    fn new(overlay: &Overlay) -> Self {
        let base = &*overlay.base;
        let mut ids: HashMap<&str, u32> = (0..overlay.first_name).map(|id| (base.name(id), id)).collect();
        let mut out = Self { new: Vec::new(), of_function: HashMap::new() };
        let mut function = |id: u32| {
            if out.of_function.contains_key(&id) {
                return;
            }
            let own = id.checked_sub(overlay.first_function).map(|own| &overlay.functions[own as usize].name);
            let text = own.map_or_else(|| base.function(id).name, AsRef::as_ref);
            let next = overlay.first_name + out.new.len() as u32;
            let name = *ids.entry(text).or_insert_with(|| {
                out.new.push(text.into());
                next
            });
            out.of_function.insert(id, name);
        };
        for stack in 1..base.stack_count() {
            for line in base.location(base.stack_location(stack)).lines {
                function(line.function);
            }
        }
        for line in overlay.lines.values().flatten() {
            function(line.function);
        }
        out
    }
}

impl SymbolSource for Overlay {
    fn stack_count(&self) -> u32 {
        self.base.stack_count()
    }

    fn stack_parent(&self, stack: u32) -> u32 {
        self.base.stack_parent(stack)
    }

    fn stack_location(&self, stack: u32) -> u32 {
        self.base.stack_location(stack)
    }

    fn function_node(&self, stack: u32) -> u32 {
        self.stack_nodes[stack as usize]
    }

    fn function_node_count(&self) -> u32 {
        self.nodes.len() as u32
    }

    fn function_node_parent(&self, node: u32) -> u32 {
        self.nodes[node as usize].0
    }

    fn function_node_name(&self, node: u32) -> u32 {
        self.nodes[node as usize].1
    }

    fn name_count(&self) -> u32 {
        self.first_name + self.names.len() as u32
    }

    fn name(&self, name: u32) -> &str {
        match name.checked_sub(self.first_name) {
            Some(own) => &self.names[own as usize],
            None => self.base.name(name),
        }
    }

    fn location(&self, location: u32) -> LocationView<'_> {
        let view = self.base.location(location);
        match self.lines.get(&location) {
            Some(lines) => LocationView { lines, ..view },
            None => view,
        }
    }

    fn function(&self, function: u32) -> FunctionView<'_> {
        let Some(own) = function.checked_sub(self.first_function) else { return self.base.function(function) };
        let Function { name, system_name, filename } = &self.functions[own as usize];
        FunctionView { name, system_name, filename, start_line: 0 }
    }

    fn mapping(&self, mapping: u32) -> MappingView<'_> {
        let view = self.base.mapping(mapping);
        let is_named = self.named.get(mapping as usize).copied().unwrap_or_default();
        MappingView {
            has_functions: view.has_functions || is_named,
            has_filenames: view.has_filenames || is_named,
            has_line_numbers: view.has_line_numbers || is_named,
            has_inline_frames: view.has_inline_frames || is_named,
            ..view
        }
    }
}

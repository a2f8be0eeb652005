//! What goes into a table comes out of its snapshots, by names.

use flamelake_model::ProfileId;
use flamelake_pprof::frame::{Frame, Function, Line, Location, Mapping, StringTable, ValueType};
use flamelake_symbols::{SymbolSource, SymbolTable};
use proptest::prelude::*;

/// One location as text: everything that a location is.
fn of_frame(frame: &Frame, at: u32) -> String {
    let location = &frame.locations[at as usize];
    let mapping = &frame.mappings[location.mapping as usize];
    let mut text = format!(
        "{}:{}:{}:{}:{}:{:x}:{}",
        mapping.memory_start,
        frame.strings.get(mapping.filename),
        frame.strings.get(mapping.build_id),
        mapping.has_functions,
        mapping.has_inline_frames,
        location.address,
        location.is_folded
    );
    for line in frame.location_lines(location) {
        let f = &frame.functions[line.function as usize];
        let [name, system, file] = [f.name, f.system_name, f.filename].map(|s| frame.strings.get(s));
        text += &format!("|{name},{system},{file},{},{}", f.start_line, line.line);
    }
    text
}

fn of_source(source: &dyn SymbolSource, at: u32) -> String {
    let location = source.location(at);
    let mapping = source.mapping(location.mapping);
    let mut text = format!(
        "{}:{}:{}:{}:{}:{:x}:{}",
        mapping.memory_start,
        mapping.filename,
        mapping.build_id,
        mapping.has_functions,
        mapping.has_inline_frames,
        location.address,
        location.is_folded
    );
    for line in location.lines {
        let f = source.function(line.function);
        text += &format!("|{},{},{},{},{}", f.name, f.system_name, f.filename, f.start_line, line.line);
    }
    text
}

/// A stack leaf first.
fn stack_of_source(source: &dyn SymbolSource, mut stack: u32) -> Vec<String> {
    let mut out = Vec::new();
    while stack != 0 {
        assert!(source.stack_parent(stack) < stack);
        out.push(of_source(source, source.stack_location(stack)));
        stack = source.stack_parent(stack);
    }
    out
}

/// Function names leaf first, by the function tree.
fn functions_of_source(source: &dyn SymbolSource, stack: u32) -> Vec<String> {
    let mut node = source.function_node(stack);
    let mut out = Vec::new();
    while node != 0 {
        assert!(source.function_node_parent(node) < node);
        out.push(source.name(source.function_node_name(node)).to_owned());
        node = source.function_node_parent(node);
    }
    out
}

fn functions_of_frame(frame: &Frame, stack: u32) -> Vec<String> {
    let locations = frame.stack(stack).iter().map(|at| &frame.locations[*at as usize]);
    let lines = locations.flat_map(|location| frame.location_lines(location));
    lines.map(|line| frame.strings.get(frame.functions[line.function as usize].name).to_owned()).collect()
}

/// Ten texts shared by all frames in different order, so that frames overlap but their ids differ.
fn frames() -> impl Strategy<Value = Frame> {
    let functions = prop::collection::vec((0..9_u32, 0..9_u32, 0..9_u32, 0..3_i64), 1..8);
    let locations = prop::collection::vec(
        (0..2_u32, 0..3_u64, any::<bool>(), prop::collection::vec((0..7_u32, 0..3_i64), 0..3)),
        1..12,
    );
    let stacks = prop::collection::vec(prop::collection::vec(0..11_u32, 0..6), 1..20);
    (0..9_u32, functions, locations, stacks).prop_map(|(turn, functions, locations, stacks)| {
        let mut strings = StringTable::default();
        strings.push("");
        for i in 0..9 {
            strings.push(&format!("text{}", (i + turn) % 9));
        }
        let mut frame = empty_frame(strings);
        let count = functions.len() as u32;
        frame.functions = functions
            .into_iter()
            .map(|(name, system_name, filename, start_line)| Function { name, system_name, filename, start_line })
            .collect();
        frame.mappings = vec![
            Mapping { memory_start: 1, filename: 1, build_id: 2, has_functions: true, ..Mapping::default() },
            Mapping { memory_start: 1, filename: 1, build_id: 3, has_inline_frames: true, ..Mapping::default() },
        ];
        for (mapping, address, is_folded, lines) in locations {
            let lines_start = frame.lines.len() as u32;
            frame.lines.extend(lines.iter().map(|(function, line)| Line { function: function % count, line: *line }));
            let lines_end = frame.lines.len() as u32;
            frame.locations.push(Location { mapping, address, is_folded, lines_start, lines_end });
        }
        for stack in stacks {
            frame.stack_locations.extend(stack.iter().map(|at| at % frame.locations.len() as u32));
            frame.stack_ends.push(frame.stack_locations.len() as u32);
        }
        frame
    })
}

fn empty_frame(strings: StringTable) -> Frame {
    Frame {
        id: ProfileId([0; 16]),
        time_ns: 0,
        duration_ns: 0,
        period: 0,
        strings,
        service_name: 0,
        name: 0,
        period_type: ValueType::default(),
        sample_types: Vec::new(),
        mappings: Vec::new(),
        functions: Vec::new(),
        locations: Vec::new(),
        lines: Vec::new(),
        stack_locations: Vec::new(),
        stack_ends: Vec::new(),
        groups: Vec::new(),
        sample_stacks: Vec::new(),
        sample_values: Vec::new(),
        sample_spans: Vec::new(),
        sample_traces: Vec::new(),
    }
}

proptest! {
    #[test]
    fn stacks_resolve_to_the_names_they_came_with(frames in prop::collection::vec(frames(), 1..6)) {
        let mut table = SymbolTable::new();
        let mut taken = Vec::new();
        for frame in &frames {
            let mut stacks = Vec::new();
            table.intern(frame, &mut stacks);
            let mut again = Vec::new();
            table.intern(frame, &mut again);
            prop_assert_eq!(&stacks, &again);
            taken.push((stacks, table.snapshot()));
        }
        let last = table.snapshot();
        let mut by_name = std::collections::HashMap::new();
        for (frame, (stacks, snapshot)) in frames.iter().zip(&taken) {
            prop_assert!(snapshot.stack_count() <= last.stack_count());
            for (at, stack) in stacks.iter().enumerate() {
                let want: Vec<_> = frame.stack(at as u32).iter().map(|location| of_frame(frame, *location)).collect();
                prop_assert_eq!(&stack_of_source(snapshot, *stack), &want);
                prop_assert_eq!(&stack_of_source(&last, *stack), &want);
                prop_assert_eq!(functions_of_source(snapshot, *stack), functions_of_frame(frame, at as u32));
                // Equal stacks have one id, whichever frame they came in.
                prop_assert_eq!(*by_name.entry(want).or_insert(*stack), *stack);
            }
        }
    }
}

#[test]
fn an_inlined_location_unfolds_outermost_first() {
    let mut strings = StringTable::default();
    for text in ["", "inner", "outer", "main"] {
        strings.push(text);
    }
    let mut frame = empty_frame(strings);
    frame.functions = (1..=3).map(|name| Function { name, ..Function::default() }).collect();
    frame.mappings = vec![Mapping::default()];
    frame.lines = vec![Line { function: 0, line: 1 }, Line { function: 1, line: 2 }, Line { function: 2, line: 3 }];
    frame.locations = vec![
        Location { lines_start: 0, lines_end: 2, ..Location::default() },
        Location { lines_start: 2, lines_end: 3, ..Location::default() },
        Location { address: 7, lines_start: 3, lines_end: 3, ..Location::default() },
    ];
    frame.stack_locations = vec![0, 1, 2, 1];
    frame.stack_ends = vec![2, 4];
    let mut table = SymbolTable::new();
    let mut stacks = Vec::new();
    table.intern(&frame, &mut stacks);
    let snapshot = table.snapshot();
    assert_eq!(functions_of_source(&snapshot, stacks[0]), ["inner", "outer", "main"]);
    // A location without lines has no node of its own in the function tree.
    assert_eq!(functions_of_source(&snapshot, stacks[1]), ["main"]);
    assert!(table.memory_bytes() > 500);
}

//! A damaged frame that still decodes may hold nonsense; interning it must not panic, and gives back the nonsense it was.

use flamelake_pprof::frame::{Frame, Mapping};
use flamelake_symbols::{SymbolSource, SymbolTable};
use flamelake_testkit::{FrameBuilder, fuzz};

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

fn corpus() -> Vec<Vec<u8>> {
    let mut native = FrameBuilder::cpu("native").folded("main;a;b 1\nmain;a 2\nmain;c 3").build();
    let file = native.strings.push("/bin/app");
    native.mappings.push(Mapping { memory_start: 0x1000, filename: file, ..Mapping::default() });
    for (at, location) in native.locations.iter_mut().enumerate() {
        location.mapping = (at % 2) as u32;
        location.address = at as u64 * 16;
    }
    let two = FrameBuilder::new("shop", "memory").types(&[("a", "b"), ("c", "d")]).group(&[("pod", "x")]);
    let frames = [native, two.folded("m;m;m 1 2\nm 0 1").build(), FrameBuilder::cpu("none").build()];
    frames.iter().map(encoded).collect()
}

/// Names from the leaf up, as the frame says and as the function tree says.
fn names_of_frame(frame: &Frame, stack: u32) -> Vec<&str> {
    let lines = frame.stack(stack).iter().flat_map(|at| frame.location_lines(&frame.locations[*at as usize]));
    lines.map(|line| frame.strings.get(frame.functions[line.function as usize].name)).collect()
}

fn names_of_tree(source: &dyn SymbolSource, stack: u32) -> Vec<&str> {
    let mut names = Vec::new();
    let mut node = source.function_node(stack);
    while node != 0 {
        names.push(source.name(source.function_node_name(node)));
        assert!(source.function_node_parent(node) < node);
        node = source.function_node_parent(node);
    }
    names
}

#[test]
fn fuzz_intern() {
    let mut shared = SymbolTable::new();
    fuzz::run("intern", &corpus(), |bytes| {
        let Ok(frame) = Frame::decode(bytes) else { return };
        let mut stacks = Vec::new();
        // A long run must not be a test of memory.
        if shared.memory_bytes() > 16 << 20 {
            shared = SymbolTable::new();
        }
        shared.intern(&frame, &mut stacks);
        assert_eq!(stacks.len(), frame.stack_ends.len());
        let source = shared.snapshot();
        for (number, stack) in (0..).zip(&stacks) {
            assert!(*stack < source.stack_count());
            assert_eq!(names_of_tree(&source, *stack), names_of_frame(&frame, number));
            let mut at = *stack;
            while at != 0 {
                let location = source.location(source.stack_location(at));
                source.mapping(location.mapping);
                assert!(location.lines.iter().all(|line| source.function(line.function).name.len() <= bytes.len()));
                at = source.stack_parent(at);
            }
        }
    });
}

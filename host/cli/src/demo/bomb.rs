//! A compile bomb: a small and valid policy that asks a compiler for more memory and time than a host can spare.
//!
//! It is one function of nested loops, [`DEPTH`] for example, over [`LOCALS`] variables, each of which lives through all of them:
//! register allocation is slow at that, and unbounded takes a gigabyte. Written byte by byte, since the command contains
//! no assembler; the sections are those of the core specification, chapter 5.5.

/// Nested loops that are enough.
pub(super) const DEPTH: usize = 2_000;
/// Variables of the function, as many as a host allows.
const LOCALS: usize = 2_000;

/// The module, with so many nested loops.
pub(super) fn wasm(depth: usize) -> Vec<u8> {
    const TYPES: [&[u8]; 3] = [&[0x60, 0, 0], &[0x60, 1, I32, 1, I32], &[0x60, 2, I32, I32, 1, I64]];
    let exports = [("memory", 2, 0), ("weir_abi_1", 0, 0), ("weir_alloc", 0, 1), ("weir_evaluate", 0, 2)];
    let export = |(name, kind, index)| [sized(str::as_bytes(name)), vec![kind, index]].concat();
    // `weir_abi_1` does nothing, `weir_alloc` gives 4096, `weir_evaluate` gives 0: nobody will ever call them.
    let functions =
        [function(&[0], &[]), function(&[0], &[0x41, 0x80, 0x20]), function(&[0], &[0x42, 0]), loops(depth)];
    let sections = [
        section(1, &list(TYPES.map(<[u8]>::to_vec))),
        section(3, &list([0, 1, 2, 0].map(number))),
        section(5, &list([vec![0, 1]])),
        section(7, &list(exports.map(export))),
        section(10, &list(functions)),
    ];
    [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat()
}

const I32: u8 = 0x7f;
const I64: u8 = 0x7e;

/// `loop (local.set c (i32.add (local.get a) (local.get b)))`, one in the other, each with a conditional jump back.
fn loops(depth: usize) -> Vec<u8> {
    const GET: u8 = 0x20;
    const SET: u8 = 0x21;
    let local = |operation: u8, index: usize| [vec![operation], number(index % LOCALS)].concat();
    let mut body = Vec::new();
    for i in 0..depth {
        body.extend([0x03, 0x40]);
        body.extend([local(GET, i), local(GET, i * 7 + 1), vec![0x6a], local(SET, i * 13 + 5)].concat());
    }
    for i in 0..depth {
        body.extend(local(GET, i * 3));
        body.extend([0x0d, 0, 0x0b]);
    }
    function(&list([[number(LOCALS), vec![I32]].concat()]), &body)
}

fn function(locals: &[u8], body: &[u8]) -> Vec<u8> {
    sized(&[locals, body, &[0x0b]].concat())
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], sized(content)].concat()
}

fn list<const N: usize>(items: [Vec<u8>; N]) -> Vec<u8> {
    [number(N), items.concat()].concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len()), bytes.to_vec()].concat()
}

/// LEB128, seven bits a byte.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing keeps a host from handing it to a compiler.
    #[test]
    fn it_looks_like_a_policy() {
        let inspection = weir::inspect(&wasm(DEPTH)).unwrap();
        assert_eq!((inspection.problems, inspection.functions), (Vec::<String>::new(), 4));
    }

    #[test]
    fn numbers_are_leb128() {
        assert_eq!(
            (number(0), number(127), number(128), number(2_000)),
            (vec![0], vec![127], vec![128, 1], vec![208, 15])
        );
    }
}

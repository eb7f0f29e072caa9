//! The functions that stand for the bulk instructions of memory.
//!
//! Most of what guests copy is a few words, and an instruction that runs in host code costs as much as a small function of
//! theirs. So lengths up to [`SHORT`] are done by plain stores, which the engine checks and which trap where a page is
//! protected; longer ones touch every page by a plain store first and then run the instruction.

use wasm_encoder::{BlockType, Function, Instruction, MemArg, ValType};
use wasmparser::Operator;

use Instruction::{
    BrIf, Else, End, I8x16Splat, I32Add, I32And, I32Const, I32Eqz, I32GeU, I32Load, I32Load8U, I32LtU, I32ShrU,
    I32Store, I32Store8, I32Sub, I64Load, I64Store, If, LocalGet, LocalSet, LocalTee, Loop, Return, V128Load,
    V128Store,
};

/// Bytes between two stores that together touch every page.
const PAGE: i32 = 4096;
/// Longest range that is written by plain stores.
const SHORT: i32 = 64;

/// Parameters and locals of each function: destination, source or value, length; last byte, byte at work.
const DESTINATION: u32 = 0;
const SOURCE: u32 = 1;
const LENGTH: u32 = 2;
const LAST: u32 = 3;
const HERE: u32 = 4;

/// A bulk instruction of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bulk {
    Copy,
    Fill,
    /// From the data segment of this place.
    Init(u32),
}

/// What is loaded and stored at once.
#[derive(Clone, Copy)]
enum Piece {
    Byte,
    Word,
    Double,
    Vector,
}

use Piece::{Byte, Double, Vector, Word};

type Code = Vec<Instruction<'static>>;

impl Bulk {
    pub(super) fn of(operator: &Operator<'_>) -> Option<Bulk> {
        match operator {
            Operator::MemoryCopy { .. } => Some(Bulk::Copy),
            Operator::MemoryFill { .. } => Some(Bulk::Fill),
            Operator::MemoryInit { data_index, .. } => Some(Bulk::Init(*data_index)),
            _ => None,
        }
    }

    fn instruction(self) -> Instruction<'static> {
        match self {
            Bulk::Copy => Instruction::MemoryCopy { src_mem: 0, dst_mem: 0 },
            Bulk::Fill => Instruction::MemoryFill(0),
            Bulk::Init(data_index) => Instruction::MemoryInit { mem: 0, data_index },
        }
    }

    /// `(destination, source or value, length)`.
    pub(super) fn function(self) -> Function {
        let mut code = self.short();
        code.extend(touched());
        code.extend([LocalGet(DESTINATION), LocalGet(SOURCE), LocalGet(LENGTH), self.instruction(), End]);
        let mut function = Function::new([(2, ValType::I32)]);
        for instruction in &code {
            function.instruction(instruction);
        }
        function
    }

    /// Lengths from 1 to [`SHORT`], by pieces that may overlap: of a copy all are loaded before the first is stored, as
    /// the instruction would do it. No length is left to the instruction, which checks the places all the same.
    fn short(self) -> Code {
        if matches!(self, Bulk::Init(_)) {
            // Segments are read by their instruction alone.
            return Code::new();
        }
        let begin = |piece, offset| (piece, Place::FromBegin(offset));
        let end = |piece, offset| (piece, Place::FromEnd(offset));
        // From this length on, these pieces.
        let sizes: [(i32, &[(Piece, Place)]); 4] = [
            (33, &[begin(Vector, 0), begin(Vector, 16), end(Vector, 32), end(Vector, 16)]),
            (16, &[begin(Vector, 0), end(Vector, 16)]),
            (8, &[begin(Double, 0), end(Double, 8)]),
            (4, &[begin(Word, 0), end(Word, 4)]),
        ];
        let mut code = vec![LocalGet(LENGTH), I32Const(1), I32Sub, I32Const(SHORT), I32LtU, If(BlockType::Empty)];
        for (least, pieces) in sizes {
            code.extend([LocalGet(LENGTH), I32Const(least), I32GeU, If(BlockType::Empty)]);
            code.extend(self.pieces(pieces));
            code.extend([Return, End]);
        }
        code.extend(self.pieces(&[begin(Byte, 0), (Byte, Place::Middle), end(Byte, 1)]));
        code.extend([Return, End]);
        code
    }

    /// Loads all pieces, or makes them of the value, and then stores them.
    fn pieces(self, pieces: &[(Piece, Place)]) -> Code {
        let mut code = Code::new();
        for (piece, place) in pieces {
            code.extend(place.of(DESTINATION));
            match self {
                Bulk::Copy => {
                    code.extend(place.of(SOURCE));
                    code.push(piece.load());
                }
                Bulk::Fill | Bulk::Init(_) => code.extend(piece.filled()),
            }
        }
        code.extend(pieces.iter().rev().map(|(piece, _)| piece.store()));
        code
    }
}

/// Where a piece begins.
#[derive(Clone, Copy)]
enum Place {
    FromBegin(i32),
    FromEnd(i32),
    Middle,
}

impl Place {
    fn of(self, base: u32) -> Code {
        let mut code = vec![LocalGet(base)];
        match self {
            Place::FromBegin(0) => {}
            Place::FromBegin(offset) => code.extend([I32Const(offset), I32Add]),
            Place::FromEnd(offset) => code.extend([LocalGet(LENGTH), I32Add, I32Const(offset), I32Sub]),
            Place::Middle => code.extend([LocalGet(LENGTH), I32Const(1), I32ShrU, I32Add]),
        }
        code
    }
}

impl Piece {
    const AT: MemArg = MemArg { offset: 0, align: 0, memory_index: 0 };

    fn load(self) -> Instruction<'static> {
        match self {
            Byte => I32Load8U(Piece::AT),
            Word => I32Load(Piece::AT),
            Double => I64Load(Piece::AT),
            Vector => V128Load(Piece::AT),
        }
    }

    fn store(self) -> Instruction<'static> {
        match self {
            Byte => I32Store8(Piece::AT),
            Word => I32Store(Piece::AT),
            Double => I64Store(Piece::AT),
            Vector => V128Store(Piece::AT),
        }
    }

    /// The piece with the low byte of the value in each of its own.
    fn filled(self) -> Code {
        let mut code = vec![LocalGet(SOURCE)];
        match self {
            Byte => {}
            Word => code.extend([I8x16Splat, Instruction::I32x4ExtractLane(0)]),
            Double => code.extend([I8x16Splat, Instruction::I64x2ExtractLane(0)]),
            Vector => code.push(I8x16Splat),
        }
        code
    }
}

/// Touches the last byte of the destination, then the first one of each page from its beginning on: each is loaded and
/// stored back, which changes nothing. A sum that wraps touches some other page, which changes nothing either, and the
/// instruction itself refuses the range.
fn touched() -> Code {
    let at = Piece::AT;
    let mut code = vec![LocalGet(LENGTH), I32Eqz, If(BlockType::Empty), Else];
    code.extend([LocalGet(DESTINATION), LocalGet(LENGTH), I32Add, I32Const(1), I32Sub, LocalTee(LAST)]);
    code.extend([LocalGet(LAST), I32Load8U(at), I32Store8(at)]);
    code.extend([LocalGet(DESTINATION), LocalSet(HERE), Loop(BlockType::Empty)]);
    code.extend([LocalGet(HERE), LocalGet(HERE), I32Load8U(at), I32Store8(at)]);
    code.extend([LocalGet(HERE), I32Const(-PAGE), I32And, I32Const(PAGE), I32Add, LocalTee(HERE)]);
    code.extend([LocalGet(LAST), I32LtU, BrIf(0), End, End]);
    code
}

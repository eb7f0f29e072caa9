//! The functions of the stand-in, as WASI preview 1 types them (`wasi_snapshot_preview1.witx`).

use wasm_encoder::{BlockType, Function, Instruction as I, MemArg, ValType};
use wasmparser::FuncType;

const I32: ValType = ValType::I32;
const I64: ValType = ValType::I64;
/// Errors of WASI.
const SUCCESS: i32 = 0;
const BAD_DESCRIPTOR: i32 = 8;
const NOT_SEEKABLE: i32 = 70;

/// One function.
pub(super) struct Stub {
    pub(super) parameters: Vec<ValType>,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// Answers this and does nothing.
    Answer(i32),
    /// Ends the guest.
    Exit,
    /// Stores 0 at its first two parameters: nothing there.
    Sizes,
    ClockTime,
    /// Stores a microsecond.
    ClockResolution,
    Random,
    Write,
    /// Stores 0 at its last parameter: the end of what can be read.
    Read,
    /// A character device with all rights.
    Status,
    /// Moves the clock on and tells of one event.
    Poll,
}

/// Names of all stubs.
#[cfg(test)]
pub(super) const NAMES: [&str; 20] = [
    "args_get",
    "args_sizes_get",
    "environ_get",
    "environ_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_filestat_get",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_read",
    "fd_seek",
    "fd_sync",
    "fd_write",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
];

/// The stub of a name.
pub(super) fn stub(name: &str) -> Option<Stub> {
    let (parameters, what): (&[ValType], What) = match name {
        "args_get" | "environ_get" => (&[I32; 2], What::Answer(SUCCESS)),
        "args_sizes_get" | "environ_sizes_get" => (&[I32; 2], What::Sizes),
        "clock_res_get" => (&[I32; 2], What::ClockResolution),
        "clock_time_get" => (&[I32, I64, I32], What::ClockTime),
        "fd_close" | "fd_sync" => (&[I32], What::Answer(SUCCESS)),
        "fd_fdstat_get" => (&[I32; 2], What::Status),
        "fd_fdstat_set_flags" => (&[I32; 2], What::Answer(SUCCESS)),
        "fd_filestat_get" | "fd_prestat_get" => (&[I32; 2], What::Answer(BAD_DESCRIPTOR)),
        "fd_prestat_dir_name" => (&[I32; 3], What::Answer(BAD_DESCRIPTOR)),
        "fd_read" => (&[I32; 4], What::Read),
        "fd_seek" => (&[I32, I64, I32, I32], What::Answer(NOT_SEEKABLE)),
        "fd_write" => (&[I32; 4], What::Write),
        "poll_oneoff" => (&[I32; 4], What::Poll),
        "proc_exit" => (&[I32], What::Exit),
        "random_get" => (&[I32; 2], What::Random),
        "sched_yield" => (&[], What::Answer(SUCCESS)),
        _ => return None,
    };
    Some(Stub { parameters: parameters.to_vec(), what })
}

impl Stub {
    pub(super) fn results(&self) -> &'static [ValType] {
        if matches!(self.what, What::Exit) { &[] } else { &[I32] }
    }

    /// Whether an import of this type is it.
    pub(super) fn is_of(&self, ty: &FuncType) -> bool {
        let same = |ours: &[ValType], theirs: &[wasmparser::ValType]| {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(ours, theirs)| match *ours {
                    ValType::I64 => *theirs == wasmparser::ValType::I64,
                    _ => *theirs == wasmparser::ValType::I32,
                })
        };
        same(&self.parameters, ty.params()) && same(self.results(), ty.results())
    }

    /// Its code, given where clock, random and write of the host are.
    pub(super) fn function(&self, [clock, random, write]: [u32; 3]) -> Function {
        let locals = self.parameters.len() as u32;
        let mut code = Vec::new();
        match self.what {
            What::Answer(_) => {}
            What::Exit => code.push(I::Unreachable),
            What::Sizes => {
                code.extend([I::LocalGet(0), I::I32Const(0), I::I32Store(at(0, 2))]);
                code.extend([I::LocalGet(1), I::I32Const(0), I::I32Store(at(0, 2))]);
            }
            What::ClockTime => {
                code.extend([I::LocalGet(2), I::I64Const(0), I::Call(clock), I::I64Store(at(0, 3))]);
            }
            What::ClockResolution => code.extend([I::LocalGet(1), I::I64Const(1_000), I::I64Store(at(0, 3))]),
            What::Random => code.extend(random_bytes(random)),
            What::Write => code.extend(written(write, locals)),
            What::Read => code.extend([I::LocalGet(3), I::I32Const(0), I::I32Store(at(0, 2))]),
            What::Status => {
                code.extend([I::LocalGet(1), I::I64Const(2), I::I64Store(at(0, 3))]);
                code.extend([I::LocalGet(1), I::I64Const(-1), I::I64Store(at(8, 3))]);
                code.extend([I::LocalGet(1), I::I64Const(-1), I::I64Store(at(16, 3))]);
            }
            What::Poll => code.extend(slept(clock)),
        }
        match self.what {
            What::Exit => {}
            What::Answer(errno) => code.push(I::I32Const(errno)),
            _ => code.push(I::I32Const(SUCCESS)),
        }
        code.push(I::End);
        let mut function = Function::new([(2, I32)]);
        code.iter().for_each(|instruction| _ = function.instruction(instruction));
        function
    }
}

/// What the alignment of an address may be is only a hint.
fn at(offset: u64, align: u32) -> MemArg {
    MemArg { offset, align, memory_index: 0 }
}

/// Stores as many random bytes as the second parameter says, at the first.
fn random_bytes(random: u32) -> Vec<I<'static>> {
    vec![
        I::Block(BlockType::Empty),
        I::Loop(BlockType::Empty),
        I::LocalGet(1),
        I::I32Eqz,
        I::BrIf(1),
        I::LocalGet(0),
        I::Call(random),
        I::I32WrapI64,
        I::I32Store8(at(0, 0)),
        I::LocalGet(0),
        I::I32Const(1),
        I::I32Add,
        I::LocalSet(0),
        I::LocalGet(1),
        I::I32Const(1),
        I::I32Sub,
        I::LocalSet(1),
        I::Br(0),
        I::End,
        I::End,
    ]
}

/// Hands each piece to the host: descriptor, pieces, their number, where the sum of their lengths goes.
fn written(write: u32, sum: u32) -> Vec<I<'static>> {
    vec![
        I::Block(BlockType::Empty),
        I::Loop(BlockType::Empty),
        I::LocalGet(2),
        I::I32Eqz,
        I::BrIf(1),
        I::LocalGet(0),
        I::LocalGet(1),
        I::I32Load(at(0, 2)),
        I::LocalGet(1),
        I::I32Load(at(4, 2)),
        I::Call(write),
        I::LocalGet(sum),
        I::LocalGet(1),
        I::I32Load(at(4, 2)),
        I::I32Add,
        I::LocalSet(sum),
        I::LocalGet(1),
        I::I32Const(8),
        I::I32Add,
        I::LocalSet(1),
        I::LocalGet(2),
        I::I32Const(1),
        I::I32Sub,
        I::LocalSet(2),
        I::Br(0),
        I::End,
        I::End,
        I::LocalGet(3),
        I::LocalGet(sum),
        I::I32Store(at(0, 2)),
    ]
}

/// The first subscription has happened, which is a timer: relative times move the clock on by themselves, absolute ones up to
/// where they are. Subscriptions: userdata at 0, kind at 8, clock's timeout at 24 and flags at 40; events: userdata at 0,
/// error at 8, kind at 10.
fn slept(clock: u32) -> Vec<I<'static>> {
    vec![
        I::LocalGet(0),
        I::I64Load(at(24, 3)),
        I::I64Const(0),
        I::I64Const(0),
        I::Call(clock),
        I::LocalGet(0),
        I::I32Load16U(at(40, 1)),
        I::I32Const(1),
        I::I32And,
        // Absolute: what is read of the clock counts; relative: nothing does.
        I::I32Eqz,
        I::Select,
        I::I64Sub,
        I::Call(clock),
        I::Drop,
        I::LocalGet(1),
        I::LocalGet(0),
        I::I64Load(at(0, 3)),
        I::I64Store(at(0, 3)),
        I::LocalGet(1),
        I::I64Const(0),
        I::I64Store(at(8, 3)),
        I::LocalGet(1),
        I::LocalGet(0),
        I::I32Load8U(at(8, 0)),
        I::I32Store8(at(10, 0)),
        I::LocalGet(3),
        I::I32Const(1),
        I::I32Store(at(0, 2)),
    ]
}

//! The functions that are put into a module of OPA's.

use wasm_encoder::{BlockType, Function, Instruction as I, MemArg, ValType};

use super::{BUILTINS, ENTRY_POINTS, EVAL, MOST_ARGUMENTS, Plan, STASH};

const BYTE: MemArg = MemArg { offset: 0, align: 0, memory_index: 0 };
/// Bytes of a result that the host tells at once.
const STEP: i32 = 8;

impl Plan {
    /// One of those that are exported.
    pub(super) fn function(&self, name: &str) -> Function {
        match name {
            "weir_alloc" => self.alloc(),
            "weir_configure" => self.configure(),
            "weir_evaluate" => self.evaluate(),
            BUILTINS => self.told("builtins"),
            ENTRY_POINTS => self.told("entrypoints"),
            _ => of(&[], &[]),
        }
    }

    fn call(&self, name: &str) -> I<'static> {
        I::Call(self.functions.place_of(self.called[name]))
    }

    /// Room for an input: what the evaluation before has left is forgotten.
    fn alloc(&self) -> Function {
        of(
            &[],
            &[
                I::GlobalGet(self.heap()),
                I::If(BlockType::Empty),
                I::GlobalGet(self.heap()),
                self.call("opa_heap_ptr_set"),
                I::End,
                I::LocalGet(0),
                self.call("opa_malloc"),
            ],
        )
    }

    fn configure(&self) -> Function {
        let mut body = vec![I::LocalGet(0), I::LocalGet(1), self.call("opa_json_parse"), I::GlobalSet(self.data())];
        body.extend(self.called.contains_key(STASH).then(|| self.call(STASH)));
        body.extend([self.call("opa_heap_ptr_get"), I::GlobalSet(self.heap()), I::I64Const(0)]);
        of(&[], &body)
    }

    fn evaluate(&self) -> Function {
        /// A value in the notation of Rego: in JSON, sets look like lists, and both come in no order.
        const VALUE: i32 = 1;
        let mut body = vec![
            I::I32Const(0),
            I::GlobalGet(self.entry()),
            I::GlobalGet(self.data()),
            I::LocalGet(0),
            I::LocalGet(1),
            self.call("opa_heap_ptr_get"),
            I::I32Const(VALUE),
            self.call(EVAL),
            I::LocalSet(2),
        ];
        body.extend(text_at(2, 3));
        of(&[ValType::I32; 2], &body)
    }

    /// What a function tells, as JSON.
    fn told(&self, name: &str) -> Function {
        let mut body = vec![self.call(name), self.call("opa_json_dump"), I::LocalSet(0)];
        body.extend(text_at(0, 1));
        of(&[ValType::I32; 2], &body)
    }

    /// Asks a function of the host's that takes so many arguments: its number, the context, the arguments; 0 is undefined.
    pub(super) fn asking(&self, arguments: usize) -> Function {
        let first_text = 2 + arguments as u32;
        let [length, room, at, value] = [0, 1, 2, 3].map(|place| first_text + arguments as u32 + place);
        let mut body = Vec::new();
        for argument in 0..arguments as u32 {
            body.extend([I::LocalGet(2 + argument), self.call("opa_value_dump"), I::LocalSet(first_text + argument)]);
        }
        body.push(I::LocalGet(0));
        body.extend((0..arguments as u32).map(|argument| I::LocalGet(first_text + argument)));
        body.extend((arguments..MOST_ARGUMENTS).map(|_| I::I32Const(0)));
        body.extend([I::Call(self.host(0)), I::I32WrapI64, I::LocalSet(length)]);
        for argument in 0..arguments as u32 {
            body.extend([I::LocalGet(first_text + argument), self.call("opa_free")]);
        }
        body.extend([
            I::LocalGet(length),
            I::I32Const(0),
            I::I32LtS,
            I::If(BlockType::Empty),
            I::I32Const(0),
            I::Return,
            I::End,
            // The last step writes up to seven bytes more.
            I::LocalGet(length),
            I::I32Const(STEP),
            I::I32Add,
            self.call("opa_malloc"),
            I::LocalSet(room),
        ]);
        body.extend(self.copied(length, room, at));
        body.extend([
            I::LocalGet(room),
            I::LocalGet(length),
            self.call("opa_value_parse"),
            I::LocalSet(value),
            I::LocalGet(room),
            self.call("opa_free"),
            I::LocalGet(value),
        ]);
        let mut locals = vec![ValType::I32; arguments];
        locals.extend([ValType::I32; 4]);
        of(&locals, &body)
    }

    /// Stores the host's result.
    fn copied(&self, length: u32, room: u32, at: u32) -> Vec<I<'static>> {
        vec![
            I::Block(BlockType::Empty),
            I::Loop(BlockType::Empty),
            I::LocalGet(at),
            I::LocalGet(length),
            I::I32GeU,
            I::BrIf(1),
            I::LocalGet(room),
            I::LocalGet(at),
            I::I32Add,
            I::LocalGet(at),
            I::Call(self.host(1)),
            I::I64Store(BYTE),
            I::LocalGet(at),
            I::I32Const(STEP),
            I::I32Add,
            I::LocalSet(at),
            I::Br(0),
            I::End,
            I::End,
        ]
    }
}

/// A function of these locals and instructions.
fn of(locals: &[ValType], body: &[I<'_>]) -> Function {
    let mut function = Function::new_with_locals_types(locals.iter().copied());
    body.iter().for_each(|instruction| _ = function.instruction(instruction));
    function.instruction(&I::End);
    function
}

/// The address in a local, and the length of the text there, which a zero ends: `address << 32 | length`.
fn text_at(address: u32, end: u32) -> Vec<I<'static>> {
    vec![
        I::LocalGet(address),
        I::LocalSet(end),
        I::Block(BlockType::Empty),
        I::Loop(BlockType::Empty),
        I::LocalGet(end),
        I::I32Load8U(BYTE),
        I::I32Eqz,
        I::BrIf(1),
        I::LocalGet(end),
        I::I32Const(1),
        I::I32Add,
        I::LocalSet(end),
        I::Br(0),
        I::End,
        I::End,
        I::LocalGet(address),
        I::I64ExtendI32U,
        I::I64Const(32),
        I::I64Shl,
        I::LocalGet(end),
        I::LocalGet(address),
        I::I32Sub,
        I::I64ExtendI32U,
        I::I64Or,
    ]
}

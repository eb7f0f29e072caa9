//! Makes a module restorable: whatever an evaluation changes can be put back from outside, and a write to a protected
//! page ends as a trap of the guest.
//!
//! ```text
//! memory.copy, .fill, .init  ->  call a function that stores to every page of the destination by itself ([`bulk`])
//! weir_evaluate              ->  a function that calls it and then sets every mutable global back
//! table.set, data.drop, ...  ->  refused: nothing could put that back
//! ```
//!
//! The bulk instructions run in host code, where a protected page would end the process. A plain store of the guest to the
//! same page ends the guest alone, so each page is touched by one before: loaded and stored back, which changes nothing.

mod bulk;

use std::collections::BTreeSet;
use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, Instruction, Module, TypeSection, ValType,
};
use wasmparser::{ConstExpr, Operator, Parser, Payload, TypeRef};

use self::bulk::Bulk;

/// The export whose function is wrapped.
const EVALUATE: &str = "weir_evaluate";

type Error = reencode::Error<Infallible>;

/// Rewrites a valid module.
///
/// # Errors
/// What an evaluation of this module could change that nobody can put back.
pub(crate) fn restorable(wasm: &[u8]) -> Result<Vec<u8>, String> {
    let plan = Plan::of(wasm)?;
    let mut module = Module::new();
    let rewritten = Rewriter(&plan).parse_core_module(&mut module, Parser::new(0), wasm);
    rewritten.map_err(|error| format!("its module cannot be rewritten: {error}"))?;
    Ok(module.finish())
}

/// What has to be added to a module.
#[derive(Default)]
struct Plan {
    types: u32,
    /// Functions it has, imported ones included: the place of the first that is added.
    functions: u32,
    /// The bulk instructions it uses: one function for each.
    bulk: BTreeSet<Bulk>,
    /// Its mutable globals and what each starts as.
    globals: Vec<(u32, Instruction<'static>)>,
    evaluate: Option<u32>,
}

impl Plan {
    fn of(wasm: &[u8]) -> Result<Plan, String> {
        let mut plan = Plan::default();
        plan.read(wasm).map_err(|error| error.message().to_owned())??;
        Ok(plan)
    }

    fn read(&mut self, wasm: &[u8]) -> wasmparser::Result<Result<(), String>> {
        let mut global = 0;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(types) => self.types = types.count(),
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        match import?.ty {
                            TypeRef::Func(_) => self.functions += 1,
                            other => return Ok(Err(format!("it imports what is no function: {other:?}"))),
                        }
                    }
                }
                Payload::FunctionSection(functions) => self.functions += functions.count(),
                Payload::GlobalSection(globals) => {
                    for declared in globals {
                        let declared = declared?;
                        if declared.ty.mutable {
                            let Some(value) = constant(&declared.init_expr)? else {
                                return Ok(Err(format!("its mutable global {global} starts as no plain number")));
                            };
                            self.globals.push((global, value));
                        }
                        global += 1;
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        self.evaluate = self.evaluate.or((export.name == EVALUATE).then_some(export.index));
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    for operator in body.get_operators_reader()? {
                        let operator = operator?;
                        if let Some(name) = changes_for_good(&operator) {
                            return Ok(Err(format!("it uses `{name}`, whose effect cannot be put back")));
                        }
                        self.bulk.extend(Bulk::of(&operator));
                    }
                }
                _ => {}
            }
        }
        Ok(Ok(()))
    }

    /// The function that stands for a bulk instruction.
    fn place_of(&self, bulk: Bulk) -> u32 {
        let before = self.bulk.iter().take_while(|other| **other != bulk).count();
        self.functions + before as u32
    }

    /// The function that wraps `weir_evaluate`, where there is something to set back.
    fn wrapper(&self) -> Option<(u32, u32)> {
        let evaluate = self.evaluate.filter(|_| !self.globals.is_empty())?;
        Some((self.functions + self.bulk.len() as u32, evaluate))
    }

    fn wrapping(&self, evaluate: u32) -> Function {
        let mut function = Function::new([]);
        function.instruction(&Instruction::LocalGet(0)).instruction(&Instruction::LocalGet(1));
        function.instruction(&Instruction::Call(evaluate));
        for (global, value) in &self.globals {
            function.instruction(value).instruction(&Instruction::GlobalSet(*global));
        }
        function.instruction(&Instruction::End);
        function
    }
}

/// The name of an instruction that changes something beside memory, globals and the stack.
fn changes_for_good(operator: &Operator<'_>) -> Option<&'static str> {
    match operator {
        Operator::TableSet { .. } => Some("table.set"),
        Operator::TableGrow { .. } => Some("table.grow"),
        Operator::TableFill { .. } => Some("table.fill"),
        Operator::TableCopy { .. } => Some("table.copy"),
        Operator::TableInit { .. } => Some("table.init"),
        Operator::DataDrop { .. } => Some("data.drop"),
        Operator::ElemDrop { .. } => Some("elem.drop"),
        _ => None,
    }
}

/// The number a global starts as; none where that is something else.
fn constant(expression: &ConstExpr<'_>) -> wasmparser::Result<Option<Instruction<'static>>> {
    let mut operators = expression.get_operators_reader();
    let value = match operators.read()? {
        Operator::I32Const { value } => Instruction::I32Const(value),
        Operator::I64Const { value } => Instruction::I64Const(value),
        Operator::F32Const { value } => Instruction::F32Const(value.into()),
        Operator::F64Const { value } => Instruction::F64Const(value.into()),
        Operator::V128Const { value } => Instruction::V128Const(value.i128()),
        _ => return Ok(None),
    };
    Ok(matches!(operators.read()?, Operator::End).then_some(value))
}

/// Copies a module and adds what is planned.
struct Rewriter<'a>(&'a Plan);

impl Reencode for Rewriter<'_> {
    type Error = Infallible;

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I32; 3], []);
        types.ty().function([ValType::I32; 2], [ValType::I64]);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_function_section(self, functions, section)?;
        for _ in &self.0.bulk {
            functions.function(self.0.types);
        }
        if self.0.wrapper().is_some() {
            functions.function(self.0.types + 1);
        }
        Ok(())
    }

    fn parse_export(&mut self, exports: &mut ExportSection, export: wasmparser::Export<'_>) -> Result<(), Error> {
        match self.0.wrapper() {
            Some((wrapper, _)) if export.name == EVALUATE => {
                exports.export(EVALUATE, ExportKind::Func, wrapper);
                Ok(())
            }
            _ => utils::parse_export(self, exports, export),
        }
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), Error> {
        utils::parse_code_section(self, code, section)?;
        for bulk in &self.0.bulk {
            code.function(&bulk.function());
        }
        if let Some((_, evaluate)) = self.0.wrapper() {
            code.function(&self.0.wrapping(evaluate));
        }
        Ok(())
    }

    fn instruction<'a>(&mut self, operator: Operator<'a>) -> Result<Instruction<'a>, Error> {
        match Bulk::of(&operator) {
            Some(bulk) => Ok(Instruction::Call(self.0.place_of(bulk))),
            None => utils::instruction(self, operator),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Result<String, String> {
        let wasm = restorable(&wat::parse_str(text).unwrap())?;
        wasmparser::Validator::new().validate_all(&wasm).unwrap();
        Ok(operators(&wasm))
    }

    /// The instructions of all functions, in words.
    fn operators(wasm: &[u8]) -> String {
        let mut found = Vec::new();
        for payload in Parser::new(0).parse_all(wasm) {
            if let Payload::CodeSectionEntry(body) = payload.unwrap() {
                found.extend(body.get_operators_reader().unwrap().into_iter().map(|op| format!("{:?}", op.unwrap())));
            }
        }
        found.join("; ")
    }

    #[test]
    fn bulk_instructions_are_called_and_globals_set_back() {
        let text = r#"(module (memory 1) (global (mut i64) (i64.const 7)) (global i32 (i32.const 1)) (data $d "x")
            (func (export "weir_evaluate") (param i32 i32) (result i64)
              (memory.copy (i32.const 0) (i32.const 1) (i32.const 2))
              (memory.fill (i32.const 0) (i32.const 1) (i32.const 2))
              (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))
              (memory.fill (i32.const 0) (i32.const 1) (i32.const 2))
              (i64.const 0)))"#;
        let found = rewritten(text).unwrap();
        let own = found.split("; End").next().unwrap();
        assert!(!own.contains("Memory"), "{own}");
        assert_eq!(
            (own.matches("function_index: 1").count(), own.matches("function_index: 2").count()),
            (1, 2),
            "{own}"
        );
        assert!(
            found.ends_with("Call { function_index: 0 }; I64Const { value: 7 }; GlobalSet { global_index: 0 }; End")
        );
    }

    #[test]
    fn what_nobody_can_put_back_is_refused() {
        for (body, name) in [
            ("(table.set $t (i32.const 0) (ref.null func))", "table.set"),
            ("(drop (table.grow $t (ref.null func) (i32.const 1)))", "table.grow"),
            ("(table.fill $t (i32.const 0) (ref.null func) (i32.const 1))", "table.fill"),
            ("(table.copy $t $t (i32.const 0) (i32.const 0) (i32.const 1))", "table.copy"),
            ("(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))", "table.init"),
            ("(data.drop $d)", "data.drop"),
            ("(elem.drop $e)", "elem.drop"),
        ] {
            let text =
                format!("(module (memory 1) (table $t 1 funcref) (elem $e func) (data $d \"x\") (func {body}))");
            assert_eq!(rewritten(&text), Err(format!("it uses `{name}`, whose effect cannot be put back")));
        }
        let reference = "(module (global (mut funcref) (ref.null func)) (func))";
        assert_eq!(rewritten(reference), Err("its mutable global 0 starts as no plain number".to_owned()));
    }

    #[test]
    fn a_module_with_nothing_to_put_back_stays_as_it_is() {
        let text =
            r#"(module (memory 1) (func (export "weir_evaluate") (param i32 i32) (result i64) (i64.const 0)))"#;
        assert_eq!(rewritten(text).unwrap(), operators(&wat::parse_str(text).unwrap()));
    }
}

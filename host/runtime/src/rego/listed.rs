//! What a module of OPA's would tell of itself, read from its code without running it.
//!
//! `entrypoints` and `builtins` put together an object, pair by pair: the address of a name, then its number. A module that was
//! made otherwise is told nothing of here; what it tells while a set is loaded is what counts.

use super::asked;
use serde::Serialize;
use wasmparser::{DataKind, ExternalKind, FunctionBody, Operator, Parser, Payload};

/// What a module of `opa build -t wasm` lists of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RegoModule {
    /// What can be asked.
    pub entry_points: Vec<String>,
    /// What it asks of its host.
    pub builtins: Vec<String>,
}

impl RegoModule {
    /// The capabilities that its functions need, as a set names them.
    pub fn grants(&self) -> impl Iterator<Item = &'static str> {
        self.builtins.iter().filter_map(|name| asked::grant(name)).map(|grant| grant.as_str())
    }
}

/// Most names that are read.
const MOST: usize = 10_000;
/// Longest name that is read.
const LONGEST: usize = 1_024;

/// Reads a module that has been looked at.
pub(crate) fn listed(wasm: &[u8]) -> RegoModule {
    let mut reader = Reader::default();
    // What is broken further on has been told by whoever looked at it.
    _ = reader.read(wasm);
    let names = |function: Option<u32>| {
        let body = function.and_then(|function| reader.bodies.get(function.checked_sub(reader.imported)? as usize));
        body.map_or_else(Vec::new, |body| reader.names(body))
    };
    RegoModule { entry_points: names(reader.entry_points), builtins: names(reader.builtins) }
}

#[derive(Default)]
struct Reader<'a> {
    imported: u32,
    entry_points: Option<u32>,
    builtins: Option<u32>,
    bodies: Vec<FunctionBody<'a>>,
    /// Address and bytes.
    data: Vec<(usize, &'a [u8])>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, wasm: &'a [u8]) -> wasmparser::Result<()> {
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        self.imported += u32::from(matches!(import?.ty, wasmparser::TypeRef::Func(_)));
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        match (export.kind, export.name) {
                            (ExternalKind::Func, "entrypoints") => self.entry_points = Some(export.index),
                            (ExternalKind::Func, "builtins") => self.builtins = Some(export.index),
                            _ => {}
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => self.bodies.push(body),
                Payload::DataSection(segments) => {
                    for segment in segments {
                        let segment = segment?;
                        let DataKind::Active { offset_expr, .. } = segment.kind else { continue };
                        if let Ok(Operator::I32Const { value }) = offset_expr.get_operators_reader().read() {
                            self.data.push((value as u32 as usize, segment.data));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn names(&self, body: &FunctionBody<'_>) -> Vec<String> {
        let (mut names, mut address) = (Vec::new(), None);
        let operators = body.get_operators_reader().into_iter().flatten();
        for operator in operators.map_while(Result::ok).take(MOST * 8) {
            match operator {
                Operator::I32Const { value } => address = Some(value as u32 as usize),
                Operator::I64Const { .. } => names.extend(address.take().and_then(|address| self.text_at(address))),
                _ => {}
            }
        }
        names.truncate(MOST);
        names
    }

    /// The text at an address, which a zero ends.
    fn text_at(&self, address: usize) -> Option<String> {
        let holds = |(start, data): &&(usize, &[u8])| (*start..start + data.len()).contains(&address);
        let (start, data) = self.data.iter().find(holds)?;
        let text = data[address - start..].split(|byte| *byte == 0).next()?;
        (text.len() <= LONGEST).then(|| String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_put_together() {
        let wasm = wat::parse_str(
            r#"(module (import "env" "x" (func (param i32)))
                (memory 1) (data (i32.const 16) "a/b\00http.send\00c")
                (func $object (result i32) (i32.const 7))
                (func $named (param i32) (result i32) (local.get 0))
                (func $number (param i64) (result i32) (i32.const 0))
                (func $put (param i32 i32 i32))
                (func (export "entrypoints") (result i32)
                  (call $put (call $object) (call $named (i32.const 16)) (call $number (i64.const 0))) (call $object))
                (func (export "builtins") (result i32)
                  (call $put (call $object) (call $named (i32.const 20)) (call $number (i64.const 3)))
                  (call $put (call $object) (call $named (i32.const 99999)) (call $number (i64.const 4))) (call $object)))"#,
        )
        .unwrap();
        let expected = RegoModule { entry_points: vec!["a/b".to_owned()], builtins: vec!["http.send".to_owned()] };
        assert_eq!(listed(&wasm), expected);
        assert_eq!(listed(b"\0asm\x01\0\0\0rubbish"), RegoModule::default());
    }
}

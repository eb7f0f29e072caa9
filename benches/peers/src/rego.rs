//! Rego by `regorus`, in two ways, each kept between questions: its engine, and the bytecode of its virtual machine.

use std::sync::Arc;

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::RegoVM;
use regorus::{Engine as Regorus, Value};

use super::Engine;

/// The rule that is asked for.
const ALLOW: &str = "data.weir.allow";

fn engine(policy: &str) -> Regorus {
    let mut engine = Regorus::new();
    engine.add_policy("weir.rego".to_owned(), policy.to_owned()).expect("the policy parses");
    engine
}

fn value(json: &str) -> Value {
    Value::from_json_str(json).expect("data and requests are JSON")
}

/// The engine as its documentation has it.
pub(crate) struct Interpreter(Regorus);

impl Interpreter {
    /// A policy, and its data as JSON.
    pub(crate) fn new(policy: &str, data: &str) -> Interpreter {
        let mut engine = engine(policy);
        engine.add_data(value(data)).expect("no rule is called as they are");
        Interpreter(engine)
    }
}

impl Engine for Interpreter {
    fn allows(&mut self, request: &str) -> bool {
        self.0.set_input(value(request));
        let answer = self.0.eval_rule(ALLOW.to_owned()).expect("the policy answers");
        *answer.as_bool().expect("the rule is a yes or a no")
    }
}

/// The quickest form we know.
pub(crate) struct Bytecode(RegoVM);

impl Bytecode {
    /// A policy, and its data as JSON.
    pub(crate) fn new(policy: &str, data: &str) -> Bytecode {
        let mut engine = engine(policy);
        let compiled = engine.compile_with_entrypoint(&ALLOW.into()).expect("the policy compiles");
        let program = Compiler::compile_from_policy(&compiled, &[ALLOW]).expect("the policy compiles to bytecode");
        let mut machine = RegoVM::new();
        machine.load_program(Arc::clone(&program));
        machine.set_data(value(data)).expect("no rule is called as they are");
        Bytecode(machine)
    }
}

impl Engine for Bytecode {
    fn allows(&mut self, request: &str) -> bool {
        self.0.set_input(value(request));
        *self.0.execute().expect("the policy answers").as_bool().expect("the rule is a yes or a no")
    }
}

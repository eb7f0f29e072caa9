//! Rego by `regorus`, compiled to the bytecode of its virtual machine, which is kept between questions.

use std::sync::Arc;

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::RegoVM;
use regorus::{Engine as Regorus, Value};

use super::Engine;

pub(crate) struct Rego(RegoVM);

impl Rego {
    /// A policy, and its data as JSON.
    pub(crate) fn new(policy: &str, data: &str) -> Rego {
        const ALLOW: &str = "data.weir.allow";
        let mut engine = Regorus::new();
        engine.add_policy("weir.rego".to_owned(), policy.to_owned()).expect("the policy parses");
        let compiled = engine.compile_with_entrypoint(&ALLOW.into()).expect("the policy compiles");
        let program = Compiler::compile_from_policy(&compiled, &[ALLOW]).expect("the policy compiles to bytecode");
        let mut machine = RegoVM::new();
        machine.load_program(Arc::clone(&program));
        machine.set_data(Value::from_json_str(data).expect("data are JSON")).expect("no rule is called as they are");
        Rego(machine)
    }
}

impl Engine for Rego {
    fn allows(&mut self, request: &str) -> bool {
        self.0.set_input(Value::from_json_str(request).expect("a request is JSON"));
        *self.0.execute().expect("the policy answers").as_bool().expect("the rule is a yes or a no")
    }
}

//! Rego by `regorus`, compiled to the bytecode of its virtual machine, which is kept between questions.

use std::sync::Arc;

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::RegoVM;
use regorus::{Engine as Regorus, Value};

use super::Engine;

const POLICY: &str = r#"
package weir

import rego.v1

default allow := false

tools := {"bank", "calendar", "mail", "search"}

forbidden := ["ignore previous", "rm -rf", "PRIVATE KEY", "password:"]

allow if {
    input.resource.id in tools
    not too_much
    not steered
}

too_much if {
    input.subject.type == "agent"
    input.payload.amount > 5000
}

steered if {
    some part in input.content
    some words in forbidden
    contains(part.text, words)
}
"#;

pub(crate) struct Rego(RegoVM);

impl Rego {
    pub(crate) fn new() -> Rego {
        const RULE: &str = "data.weir.allow";
        let mut engine = Regorus::new();
        engine.add_policy("weir.rego".to_owned(), POLICY.to_owned()).expect("the policy parses");
        let compiled = engine.compile_with_entrypoint(&RULE.into()).expect("the policy compiles");
        let program = Compiler::compile_from_policy(&compiled, &[RULE]).expect("the policy compiles to bytecode");
        let mut machine = RegoVM::new();
        machine.load_program(Arc::clone(&program));
        Rego(machine)
    }
}

impl Engine for Rego {
    fn allows(&mut self, request: &str) -> bool {
        self.0.set_input(Value::from_json_str(request).expect("a request is JSON"));
        *self.0.execute().expect("the policy answers").as_bool().expect("the rule is a yes or a no")
    }
}

//! Cedar by `cedar-policy`: a policy for each agent's grants, and one that forbids; the context is built by its API.

use std::collections::BTreeMap;
use std::fmt::Write;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use serde::Deserialize;

use super::{Engine, RULE};

#[derive(Deserialize)]
struct Rule {
    tenants: Vec<String>,
    grants: BTreeMap<String, Vec<String>>,
    words: Vec<String>,
    most: i64,
}

/// The parts of a request that the rule looks at.
#[derive(Deserialize)]
struct Question {
    tenant: String,
    subject: Named,
    resource: Named,
    content: Vec<Part>,
    payload: Payload,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct Part {
    text: String,
}

#[derive(Deserialize)]
struct Payload {
    amount: f64,
}

pub(crate) struct Cedar {
    policies: PolicySet,
    authorizer: Authorizer,
    entities: Entities,
    agent: EntityTypeName,
    tool: EntityTypeName,
    action: EntityUid,
}

impl Cedar {
    pub(crate) fn new() -> Cedar {
        Cedar {
            policies: policies().parse().expect("the policies parse"),
            authorizer: Authorizer::new(),
            entities: Entities::empty(),
            agent: "Agent".parse().expect("a name of a type"),
            tool: "Tool".parse().expect("a name of a type"),
            action: r#"Action::"call""#.parse().expect("a name of an action"),
        }
    }
}

fn policies() -> String {
    let rule: Rule = serde_json::from_str(RULE).expect("the rule is JSON");
    let mut text = String::new();
    for (agent, tools) in &rule.grants {
        let tools: Vec<String> = tools.iter().map(|tool| format!("Tool::{tool:?}")).collect();
        let tools = tools.join(", ");
        let permit = format!("permit (principal == Agent::{agent:?}, action == Action::\"call\", resource)");
        writeln!(text, "{permit} when {{ [{tools}].contains(resource) }};").expect("a string grows");
    }
    let words: Vec<String> = rule.words.iter().map(|word| format!("context.text like \"*{word}*\"")).collect();
    let (tenants, words, cents) = (format!("{:?}", rule.tenants), words.join(" || "), rule.most * 100);
    let never = format!("!{tenants}.contains(context.tenant) || context.cents > {cents} || {words}");
    writeln!(text, "forbid (principal, action, resource) when {{ {never} }};").expect("a string grows");
    text
}

impl Engine for Cedar {
    fn allows(&mut self, request: &str) -> bool {
        let question: Question = serde_json::from_str(request).expect("a request is JSON");
        let uid = |kind: &EntityTypeName, id: &str| EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id));
        let (principal, resource) = (uid(&self.agent, &question.subject.id), uid(&self.tool, &question.resource.id));
        let text: Vec<String> = question.content.into_iter().map(|part| part.text).collect();
        // Cedar has whole numbers only.
        let cents = (question.payload.amount * 100.0).round() as i64;
        let context = Context::from_pairs([
            ("cents".to_owned(), RestrictedExpression::new_long(cents)),
            ("tenant".to_owned(), RestrictedExpression::new_string(question.tenant)),
            ("text".to_owned(), RestrictedExpression::new_string(text.join("\n"))),
        ]);
        let context = context.expect("the pairs are apart");
        let request = Request::new(principal, self.action.clone(), resource, context, None).expect("no schema");
        self.authorizer.is_authorized(&request, &self.policies, &self.entities).decision() == Decision::Allow
    }
}

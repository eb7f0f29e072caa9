//! Cedar by `cedar-policy`: one policy for each part of the rule, the context built by its API.

use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use serde::Deserialize;

use super::Engine;

const POLICIES: &str = r#"
permit (principal, action == Action::"call", resource)
when { [Tool::"bank", Tool::"calendar", Tool::"mail", Tool::"search"].contains(resource) };

forbid (principal is agent, action, resource) when { context.cents > 500000 };

forbid (principal, action, resource) when {
    context.text like "*ignore previous*" || context.text like "*rm -rf*" ||
    context.text like "*PRIVATE KEY*" || context.text like "*password:*"
};
"#;

/// The parts of a request that the rule looks at.
#[derive(Deserialize)]
struct Question {
    subject: Named,
    resource: Named,
    content: Vec<Part>,
    payload: Payload,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "type")]
    kind: String,
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
    tool: EntityTypeName,
    action: EntityUid,
}

impl Cedar {
    pub(crate) fn new() -> Cedar {
        Cedar {
            policies: POLICIES.parse().expect("the policies parse"),
            authorizer: Authorizer::new(),
            entities: Entities::empty(),
            tool: "Tool".parse().expect("a name of a type"),
            action: r#"Action::"call""#.parse().expect("a name of an action"),
        }
    }
}

impl Engine for Cedar {
    fn allows(&mut self, request: &str) -> bool {
        let question: Question = serde_json::from_str(request).expect("a request is JSON");
        let kind = EntityTypeName::from_str(&question.subject.kind).expect("kinds of subjects are names");
        let principal = EntityUid::from_type_name_and_id(kind, EntityId::new(&question.subject.id));
        let resource = EntityUid::from_type_name_and_id(self.tool.clone(), EntityId::new(&question.resource.id));
        let text: Vec<String> = question.content.into_iter().map(|part| part.text).collect();
        // Cedar has whole numbers only.
        let cents = (question.payload.amount * 100.0).round() as i64;
        let context = Context::from_pairs([
            ("cents".to_owned(), RestrictedExpression::new_long(cents)),
            ("text".to_owned(), RestrictedExpression::new_string(text.join("\n"))),
        ]);
        let context = context.expect("the pairs are apart");
        let request = Request::new(principal, self.action.clone(), resource, context, None).expect("no schema");
        self.authorizer.is_authorized(&request, &self.policies, &self.entities).decision() == Decision::Allow
    }
}

//! `strings.render_template`: of Go's templates, fields, variables, `if`, `with`, `range`, comments and trimmed spaces.
//! Functions, pipelines and named templates are not part of it; a template with them has no value.

mod parse;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::arguments::{object, text};
use crate::term;
use crate::value::Value;
use crate::{Answer, Builtin, Context, Error};
use parse::{Block, Kind, Node, Source, Subject};

pub(crate) const FUNCTIONS: &[Builtin] = &[Builtin { name: "strings.render_template", arguments: 2, call: render }];

fn render(context: &Context, arguments: &[Value]) -> Answer {
    let (layout, data) = (text(&arguments[0], 1)?, &arguments[1]);
    object(data, 2)?;
    // OPA hands the data over as JSON, which sets and some texts as it prints them are not.
    serde_json::from_str::<&RawValue>(&term::print(context, data)?).map_err(|error| error.to_string())?;
    let nodes = parse::parse(context, layout)?;
    let mut renderer = Renderer { context, variables: vec![Item::Given(data)], out: String::new() };
    renderer.run(&nodes, &Item::Given(data))?;
    context.work(renderer.out.len() as u64)?;
    Ok(renderer.out.replace("<no value>", "<undefined>").into())
}

/// What a template speaks of.
#[derive(Clone)]
enum Item<'a> {
    Given(&'a Value),
    /// A field that is not there.
    Missing,
    /// What the template says itself.
    Text(&'a str),
    Number(i64),
    Bool(bool),
}

struct Renderer<'a> {
    context: &'a Context,
    variables: Vec<Item<'a>>,
    out: String,
}

impl<'a> Renderer<'a> {
    fn run(&mut self, nodes: &'a [Node], dot: &Item<'a>) -> Result<(), Error> {
        let outer = self.variables.len();
        for node in nodes {
            self.context.work(1)?;
            match node {
                Node::Text(text) => self.push(text)?,
                Node::Print(subject) => {
                    let item = self.item(subject, dot)?;
                    self.print(&item)?;
                }
                Node::Declare(subject) => {
                    let item = self.item(subject, dot)?;
                    self.variables.push(item);
                }
                Node::Block(block) => self.block(block, dot)?,
            }
        }
        self.variables.truncate(outer);
        Ok(())
    }

    fn block(&mut self, block: &'a Block, dot: &Item<'a>) -> Result<(), Error> {
        let outer = self.variables.len();
        let item = self.item(&block.subject, dot)?;
        if block.kind == Kind::Range {
            if !self.range(block, &item)? {
                self.run(&block.otherwise, dot)?;
            }
        } else {
            self.variables.extend((block.variables > 0).then(|| item.clone()));
            match (truth(&item), block.kind) {
                (false, _) => self.run(&block.otherwise, dot)?,
                (true, Kind::With) => self.run(&block.body, &item)?,
                (true, _) => self.run(&block.body, dot)?,
            }
        }
        self.variables.truncate(outer);
        Ok(())
    }

    /// Whether there was anything to go through.
    fn range(&mut self, block: &'a Block, item: &Item<'a>) -> Result<bool, Error> {
        let mut once = |place: Item<'a>, member: Item<'a>| {
            let outer = self.variables.len();
            self.variables.extend((block.variables > 1).then_some(place));
            self.variables.extend((block.variables > 0).then(|| member.clone()));
            self.context.work(1)?;
            self.run(&block.body, &member)?;
            self.variables.truncate(outer);
            Ok::<_, Error>(())
        };
        match item {
            Item::Given(Value::Array(members)) => {
                for (place, member) in members.iter().enumerate() {
                    once(Item::Number(place as i64), Item::Given(member))?;
                }
                Ok(!members.is_empty())
            }
            Item::Given(Value::Object(members)) => {
                for (key, member) in members {
                    once(Item::Given(key), Item::Given(member))?;
                }
                Ok(!members.is_empty())
            }
            Item::Given(Value::Null) | Item::Missing => Ok(false),
            Item::Number(count) if block.variables < 2 => {
                for place in 0..*count {
                    once(Item::Number(place), Item::Number(place))?;
                }
                Ok(*count > 0)
            }
            _ => Err("range can't iterate over it".into()),
        }
    }

    fn item(&self, subject: &'a Subject, dot: &Item<'a>) -> Result<Item<'a>, Error> {
        let mut item = match &subject.source {
            Source::Dot => dot.clone(),
            Source::Variable(place) => self.variables.get(*place).cloned().unwrap_or(Item::Missing),
            Source::Text(text) => Item::Text(text),
            Source::Number(number) => Item::Number(*number),
            Source::Bool(value) => Item::Bool(*value),
        };
        for field in &subject.fields {
            self.context.work(1 + field.len() as u64)?;
            item = match item {
                Item::Missing => Item::Missing,
                Item::Given(Value::Object(members)) => {
                    members.get(&Value::from(field.as_str())).map_or(Item::Missing, Item::Given)
                }
                _ => return Err(format!("can't evaluate field {field}").into()),
            };
        }
        Ok(item)
    }

    fn push(&mut self, text: &str) -> Result<(), Error> {
        self.context.work(text.len() as u64)?;
        self.out.push_str(text);
        Ok(())
    }

    fn print(&mut self, item: &Item) -> Result<(), Error> {
        let text: Cow<str> = match item {
            Item::Missing | Item::Given(Value::Null) => "<no value>".into(),
            Item::Text(text) => (*text).into(),
            Item::Number(number) => number.to_string().into(),
            Item::Bool(value) => value.to_string().into(),
            Item::Given(value) => return self.print_value(value),
        };
        self.push(&text)
    }

    /// As Go prints what it read of JSON.
    fn print_value(&mut self, value: &Value) -> Result<(), Error> {
        match value {
            Value::Null => self.push("<nil>"),
            Value::String(text) => self.push(text),
            Value::Array(members) => {
                self.push("[")?;
                for (place, member) in members.iter().enumerate() {
                    self.push(if place > 0 { " " } else { "" })?;
                    self.print_value(member)?;
                }
                self.push("]")
            }
            Value::Object(members) => {
                self.push("map[")?;
                for (place, (key, member)) in members.iter().enumerate() {
                    self.push(if place > 0 { " " } else { "" })?;
                    self.print_value(key)?;
                    self.push(":")?;
                    self.print_value(member)?;
                }
                self.push("]")
            }
            _ => self.push(&value.to_string()),
        }
    }
}

/// Numbers of the data are true, also zero: Go has them as texts.
fn truth(item: &Item) -> bool {
    match item {
        Item::Missing => false,
        Item::Text(text) => !text.is_empty(),
        Item::Number(number) => *number != 0,
        Item::Bool(value) => *value,
        Item::Given(value) => match value {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::String(text) => !text.is_empty(),
            Value::Array(members) => !members.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::Number(_) | Value::Set(_) => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, call, check};

    #[test]
    fn templates_are_rendered_as_go_renders_them() {
        const DATA: &str =
            r#"{"s":"hi","n":0,"z":null,"l":[1,"a",null,{"k":2}],"m":{"b":1,"a":{"c":"d"}},"t":true,"el":[]}"#;
        for (layout, text) in [
            (
                "{{.s}} {{.n}} {{.z}} {{.l}} {{.m}} {{.no.such}}",
                Some("hi 0 <undefined> [1 a <nil> map[k:2]] map[a:map[c:d] b:1] <undefined>"),
            ),
            ("{{range $i, $v := .l}}{{if $i}},{{end}}{{$i}}={{$v}}{{end}}", Some("0=1,1=a,2=<undefined>,3=map[k:2]")),
            ("{{range $v := .el}}x{{else}}none{{end}}{{range 3}}{{.}}{{end}}", Some("none012")),
            ("{{if .n}}T{{end}}{{if .z}}T{{else if .t}}E{{else}}F{{end}}", Some("TE")),
            (
                "{{with $x := .m.a}}{{$x.c}}{{.c}}{{$.s}}{{end}}{{with .z}}a{{else with .m}}{{.b}}{{end}}",
                Some("ddhi1"),
            ),
            ("a {{- .s -}} b{{- /* c */ -}} c {{`q}}`}}{{true}}{{-5}}", Some("ahibc q}}true-5")),
            ("{{$x := .s}}{{$x}}<no value>}}", Some("hi<undefined>}}")),
            ("{{.s.x}}", None),
            ("{{.z.x}}", None),
            ("{{range .s}}{{end}}", None),
            ("{{if .t}}{{$x := .s}}{{end}}{{$x}}", None),
            ("{{if .t}}", None),
            ("{{end}}", None),
            ("{{", None),
            ("{{}}", None),
            ("{{-.s}}", None),
            ("{{if .t}}a{{else}}b{{else}}c{{end}}", None),
        ] {
            let arguments = format!("[{}, {DATA}]", serde_json::to_string(layout).unwrap());
            let text = text.map(|text| serde_json::to_string(text).unwrap());
            check(&[("strings.render_template", &arguments, text.as_deref())]);
        }
        assert!(call("strings.render_template", r#"["", {"a": {1}}]"#).is_err());
    }

    #[test]
    fn what_is_hostile_ends_within_its_bound() {
        let nested = "{{range 1000}}".repeat(3) + &"{{end}}".repeat(3);
        bounded(&[
            ("strings.render_template", format!("[\"{nested}\", {{}}]")),
            ("strings.render_template", "[\"{{range 9000000000000000000}}{{end}}\", {}]".to_owned()),
        ]);
        for deep in ["{{if .}}".repeat(5_000), format!("{{{{if .}}}}{}", "{{else if .}}".repeat(5_000))] {
            assert!(call("strings.render_template", &format!("[\"{deep}\", {{}}]")).is_err());
        }
    }
}

//! A value against nodes.

use serde_json::{Number, Value};

use super::{
    ARRAY, ArrayRules, At, BOOLEAN, Combined, INTEGER, NULL, NUMBER, Node, NumberRules, OBJECT, ObjectRules, TEXT,
    TYPES, TextRules,
};

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the value.
    pub at: String,
    /// Why, without what the value says.
    pub why: String,
}

/// A few are enough to mend a call.
const EXAMPLES: usize = 8;
/// A recursive schema follows a value down no deeper than this.
const DEEPEST: usize = 128;

pub(super) fn check(nodes: &[Node], value: &Value) -> Vec<Violation> {
    let mut check = Check { nodes, at: String::new(), depth: 0, found: Some(Vec::new()), valid: true };
    check.node(0, value);
    check.found.unwrap_or_default()
}

struct Check<'n> {
    nodes: &'n [Node],
    at: String,
    depth: usize,
    /// None where it is only asked whether the value is valid.
    found: Option<Vec<Violation>>,
    valid: bool,
}

impl<'n> Check<'n> {
    fn wrong(&mut self, why: impl FnOnce() -> String) {
        self.valid = false;
        if let Some(found) = self.found.as_mut().filter(|found| found.len() < EXAMPLES) {
            found.push(Violation { at: self.at.clone(), why: why() });
        }
    }

    /// Whether a value is valid, telling nobody why not.
    fn is(&self, node: At, value: &Value) -> bool {
        let mut check = Check { nodes: self.nodes, at: String::new(), depth: self.depth, found: None, valid: true };
        check.node(node, value);
        check.valid
    }

    fn below(&mut self, segment: &str, node: At, value: &Value) {
        let length = self.at.len();
        if self.found.is_some() {
            self.at.push('/');
            self.at.push_str(&tool_calls::segment(segment));
        }
        self.node(node, value);
        self.at.truncate(length);
    }

    fn node(&mut self, node: At, value: &Value) {
        // Nobody waits for more once it is known to be invalid and nobody asks why.
        if self.found.is_none() && !self.valid {
            return;
        }
        self.depth += 1;
        if self.depth > DEEPEST {
            self.wrong(|| "nested deeper than is checked".to_owned());
        } else {
            self.rules(&self.nodes[node], value);
        }
        self.depth -= 1;
    }

    fn rules(&mut self, node: &'n Node, value: &Value) {
        let Node { never, types, one_of_values, number, text, array, object, combined } = node;
        if *never {
            self.wrong(|| "nothing may be here".to_owned());
        }
        if let Some(types) = types
            && types & kind(value) == 0
        {
            self.wrong(|| format!("expected {}, found {}", named(*types), named(kind(value))));
            // Whatever else is said of it is meant for that type.
            return;
        }
        if let Some(values) = one_of_values
            && !values.iter().any(|allowed| same(allowed, value))
        {
            self.wrong(|| one_of(values));
        }
        match value {
            Value::Number(found) => self.number(number, found),
            Value::String(found) => self.text(text, found),
            Value::Array(found) => array.iter().for_each(|rules| self.array(rules, found)),
            Value::Object(found) => object.iter().for_each(|rules| self.object(rules, found, value)),
            Value::Null | Value::Bool(_) => {}
        }
        combined.iter().for_each(|combined| self.combined(combined, value));
    }

    fn number(&mut self, rules: &NumberRules, number: &Number) {
        let NumberRules { least, most, above, below, multiple_of } = *rules;
        let Some(value) = number.as_f64() else {
            self.wrong(|| "a number that cannot be compared".to_owned());
            return;
        };
        if let Some(least) = least.filter(|least| value < *least) {
            self.wrong(|| format!("expected at least {least}"));
        }
        if let Some(most) = most.filter(|most| value > *most) {
            self.wrong(|| format!("expected at most {most}"));
        }
        if let Some(above) = above.filter(|above| value <= *above) {
            self.wrong(|| format!("expected more than {above}"));
        }
        if let Some(below) = below.filter(|below| value >= *below) {
            self.wrong(|| format!("expected less than {below}"));
        }
        if let Some(step) = multiple_of.filter(|step| !is_multiple(number, *step)) {
            self.wrong(|| format!("expected a multiple of {step}"));
        }
    }

    fn text(&mut self, rules: &TextRules, text: &str) {
        let TextRules { shortest, longest, pattern } = rules;
        if *shortest > 0 || longest.is_some() {
            let length = text.chars().count() as u64;
            if length < *shortest {
                self.wrong(|| format!("expected at least {shortest} characters"));
            }
            if let Some(longest) = longest.filter(|longest| length > *longest) {
                self.wrong(|| format!("expected at most {longest} characters"));
            }
        }
        if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            self.wrong(|| format!("expected text that matches `{pattern}`"));
        }
    }

    fn array(&mut self, rules: &'n ArrayRules, items: &[Value]) {
        let count = items.len() as u64;
        if count < rules.fewest {
            self.wrong(|| format!("expected at least {} items", rules.fewest));
        }
        if let Some(most) = rules.most.filter(|most| count > *most) {
            self.wrong(|| format!("expected at most {most} items"));
        }
        for (place, item) in items.iter().enumerate() {
            if let Some(node) = rules.first.get(place).copied().or(rules.rest) {
                self.below(&place.to_string(), node, item);
            }
        }
        if let Some(contains) = rules.contains {
            let contained = items.iter().filter(|item| self.is(contains, item)).count() as u64;
            if contained < rules.least_contained || rules.most_contained.is_some_and(|most| contained > most) {
                self.wrong(|| format!("{contained} items are what has to be contained"));
            }
        }
        if rules.unique {
            let twice =
                (1..items.len()).find(|place| items[..*place].iter().any(|other| same(other, &items[*place])));
            if let Some(place) = twice {
                self.wrong(|| format!("item {place} is there twice"));
            }
        }
    }

    fn object(&mut self, rules: &'n ObjectRules, members: &serde_json::Map<String, Value>, value: &Value) {
        let count = members.len() as u64;
        if count < rules.fewest {
            self.wrong(|| format!("expected at least {} members", rules.fewest));
        }
        if let Some(most) = rules.most.filter(|most| count > *most) {
            self.wrong(|| format!("expected at most {most} members"));
        }
        for name in rules.required.iter().filter(|name| !members.contains_key(*name)) {
            self.wrong(|| format!("`{name}` is missing"));
        }
        for (name, member) in members {
            let property = rules.properties.get(name);
            property.into_iter().for_each(|node| self.below(name, *node, member));
            let mut known = property.is_some();
            for (_, node) in rules.patterns.iter().filter(|(pattern, _)| pattern.is_match(name)) {
                known = true;
                self.below(name, *node, member);
            }
            if let Some(others) = rules.others.filter(|_| !known) {
                self.below(name, others, member);
            }
            if let Some(names) = rules.names
                && !self.is(names, &Value::String(name.clone()))
            {
                self.wrong(|| "the name of a member is not allowed".to_owned());
            }
        }
        for (name, needs) in rules.dependent_required.iter().filter(|(name, _)| members.contains_key(name)) {
            for need in needs.iter().filter(|need| !members.contains_key(*need)) {
                self.wrong(|| format!("`{need}` is missing beside `{name}`"));
            }
        }
        for (_, node) in rules.dependent.iter().filter(|(name, _)| members.contains_key(name)) {
            self.node(*node, value);
        }
    }

    fn combined(&mut self, combined: &'n Combined, value: &Value) {
        let Combined { refers_to, all, any, one, not, condition, then, otherwise } = combined;
        refers_to.iter().chain(all).for_each(|node| self.node(*node, value));
        if !any.is_empty() && !any.iter().any(|node| self.is(*node, value)) {
            self.none_fits(any, value);
        }
        if !one.is_empty() {
            match one.iter().filter(|node| self.is(**node, value)).count() {
                1 => {}
                0 => self.none_fits(one, value),
                several => self.wrong(|| format!("expected one of several forms, found {several} of them")),
            }
        }
        if not.is_some_and(|node| self.is(node, value)) {
            self.wrong(|| "it has a form that is excluded".to_owned());
        }
        if let Some(condition) = condition {
            let next = if self.is(*condition, value) { then } else { otherwise };
            next.iter().for_each(|node| self.node(*node, value));
        }
    }

    /// Says what is wrong by the one form that is of the value's type, where there is one.
    fn none_fits(&mut self, forms: &[At], value: &Value) {
        let of_type = |at: &&At| self.nodes[**at].types.is_some_and(|types| types & kind(value) != 0);
        let mut meant = forms.iter().filter(of_type);
        match (meant.next(), meant.next()) {
            (Some(form), None) if self.found.is_some() => self.node(*form, value),
            _ => self.wrong(|| "it has none of the forms that are allowed".to_owned()),
        }
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(number) if is_integer(number) => INTEGER,
        Value::Number(_) => NUMBER,
        Value::String(_) => TEXT,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

/// 1.0 is an integer, as the standard has it.
fn is_integer(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn is_multiple(number: &Number, step: f64) -> bool {
    if let (Some(number), true) = (number.as_i64(), step.fract() == 0.0 && step <= 9e15) {
        return number % step as i64 == 0;
    }
    let quotient = number.as_f64().unwrap_or(f64::NAN) / step;
    // 0.0075 is a multiple of 0.0001 although neither is a binary fraction.
    quotient.is_finite() && (quotient - quotient.round()).abs() <= quotient.abs().max(1.0) * 1e-9
}

/// Whether two values are the same, 1 and 1.0 included.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

fn named(types: u8) -> String {
    let names =
        TYPES.iter().filter(|(name, bits)| bits & types == *bits && !(*name == "integer" && types & NUMBER != 0));
    let names: Vec<&str> = names.map(|(name, _)| *name).collect();
    // A number that is no integer has only the one bit.
    if names.is_empty() { "number".to_owned() } else { names.join(" or ") }
}

/// The schema's own values, never the caller's.
fn one_of(values: &[Value]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = values.iter().take(SHOWN).map(|value| format!("`{value}`")).collect();
    let more = if values.len() > SHOWN { format!(" or {} others", values.len() - SHOWN) } else { String::new() };
    format!("expected one of {}{more}", shown.join(", "))
}

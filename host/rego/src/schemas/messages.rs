//! What is said of documents and schemas, in OPA's words.

use crate::{Context, Error};

/// Something about a document that a schema does not allow.
pub(super) struct Failure {
    pub(super) kind: &'static str,
    pub(super) field: String,
    pub(super) description: String,
}

/// Where in a document something is.
pub(super) enum Path<'p> {
    Root,
    Member(&'p str, &'p Path<'p>),
    Item(usize, &'p Path<'p>),
}

impl Path<'_> {
    /// The names on the way, with points between them.
    fn written(&self, context: &Context) -> Result<String, Error> {
        let (mut steps, mut path) = (Vec::new(), self);
        loop {
            let (step, parent) = match path {
                Path::Root => break,
                Path::Member(name, parent) => ((*name).to_owned(), parent),
                Path::Item(index, parent) => (index.to_string(), parent),
            };
            context.work(16 + 2 * step.len() as u64)?;
            steps.push(step);
            path = parent;
        }
        steps.reverse();
        Ok(if steps.is_empty() { "(Root)".to_owned() } else { steps.join(".") })
    }
}

/// What is wrong, with what tells more about it.
pub(super) enum Problem<'p> {
    False,
    Required(&'p str),
    Type { expected: &'p [&'p str], given: &'p str },
    AnyOf,
    OneOf,
    AllOf,
    Not,
    Dependency(&'p str),
    Const(&'p str),
    Enum(&'p str),
    AdditionalItems,
    FewItems(usize),
    ManyItems(usize),
    Repeated(usize, usize),
    Contains,
    FewProperties(usize),
    ManyProperties(usize),
    AdditionalProperty(&'p str),
    PropertyName(&'p str),
    Short(usize),
    Long(usize),
    Pattern(&'p str),
    Format(&'p str),
    MultipleOf(&'p str),
    AtLeast(&'p str),
    Above(&'p str),
    AtMost(&'p str),
    Below(&'p str),
    Then,
    Else,
}

impl Problem<'_> {
    /// How it is told of a place.
    pub(super) fn at(&self, context: &Context, path: &Path) -> Result<Failure, Error> {
        let field = path.written(context)?;
        context.work(128 + field.len() as u64 + self.length())?;
        let description = self.described(&field);
        Ok(Failure { kind: self.kind(), field, description })
    }

    /// About how long what it names is.
    fn length(&self) -> u64 {
        match self {
            Problem::Required(text)
            | Problem::Dependency(text)
            | Problem::Const(text)
            | Problem::Enum(text)
            | Problem::AdditionalProperty(text)
            | Problem::PropertyName(text)
            | Problem::Pattern(text)
            | Problem::Format(text)
            | Problem::MultipleOf(text)
            | Problem::AtLeast(text)
            | Problem::Above(text)
            | Problem::AtMost(text)
            | Problem::Below(text) => text.len() as u64,
            _ => 0,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Problem::False => "false",
            Problem::Required(_) => "required",
            Problem::Type { .. } => "invalid_type",
            Problem::AnyOf => "number_any_of",
            Problem::OneOf => "number_one_of",
            Problem::AllOf => "number_all_of",
            Problem::Not => "number_not",
            Problem::Dependency(_) => "missing_dependency",
            Problem::Const(_) => "const",
            Problem::Enum(_) => "enum",
            Problem::AdditionalItems => "array_no_additional_items",
            Problem::FewItems(_) => "array_min_items",
            Problem::ManyItems(_) => "array_max_items",
            Problem::Repeated(..) => "unique",
            Problem::Contains => "contains",
            Problem::FewProperties(_) => "array_min_properties",
            Problem::ManyProperties(_) => "array_max_properties",
            Problem::AdditionalProperty(_) => "additional_property_not_allowed",
            Problem::PropertyName(_) => "invalid_property_name",
            Problem::Short(_) => "string_gte",
            Problem::Long(_) => "string_lte",
            Problem::Pattern(_) => "pattern",
            Problem::Format(_) => "format",
            Problem::MultipleOf(_) => "multiple_of",
            Problem::AtLeast(_) => "number_gte",
            Problem::Above(_) => "number_gt",
            Problem::AtMost(_) => "number_lte",
            Problem::Below(_) => "number_lt",
            Problem::Then => "condition_then",
            Problem::Else => "condition_else",
        }
    }

    fn described(&self, field: &str) -> String {
        match self {
            Problem::False => "False always fails validation".to_owned(),
            Problem::Required(name) => format!("{name} is required"),
            Problem::Type { expected, given } => {
                let list = expected.join(",");
                let list = if expected.len() == 1 { list } else { format!("[{list}]") };
                format!("Invalid type. Expected: {list}, given: {given}")
            }
            Problem::AnyOf => "Must validate at least one schema (anyOf)".to_owned(),
            Problem::OneOf => "Must validate one and only one schema (oneOf)".to_owned(),
            Problem::AllOf => "Must validate all the schemas (allOf)".to_owned(),
            Problem::Not => "Must not validate the schema (not)".to_owned(),
            Problem::Dependency(name) => format!("Has a dependency on {name}"),
            Problem::Const(value) => format!("{field} does not match: {value}"),
            Problem::Enum(list) => format!("{field} must be one of the following: {list}"),
            Problem::AdditionalItems => "No additional items allowed on array".to_owned(),
            Problem::FewItems(fewest) => format!("Array must have at least {fewest} items"),
            Problem::ManyItems(most) => format!("Array must have at most {most} items"),
            Problem::Repeated(one, another) => format!("array items[{one},{another}] must be unique"),
            Problem::Contains => "At least one of the items must match".to_owned(),
            Problem::FewProperties(fewest) => format!("Must have at least {fewest} properties"),
            Problem::ManyProperties(most) => format!("Must have at most {most} properties"),
            Problem::AdditionalProperty(name) => format!("Additional property {name} is not allowed"),
            Problem::PropertyName(name) => format!("Property name of \"{name}\" does not match"),
            Problem::Short(shortest) => format!("String length must be greater than or equal to {shortest}"),
            Problem::Long(longest) => format!("String length must be less than or equal to {longest}"),
            Problem::Pattern(pattern) => format!("Does not match pattern '{pattern}'"),
            Problem::Format(format) => format!("Does not match format '{format}'"),
            Problem::MultipleOf(number) => format!("Must be a multiple of {number}"),
            Problem::AtLeast(number) => format!("Must be greater than or equal to {number}"),
            Problem::Above(number) => format!("Must be greater than {number}"),
            Problem::AtMost(number) => format!("Must be less than or equal to {number}"),
            Problem::Below(number) => format!("Must be less than {number}"),
            Problem::Then => "Must validate \"then\" as \"if\" was valid".to_owned(),
            Problem::Else => "Must validate \"else\" as \"if\" was not valid".to_owned(),
        }
    }
}

pub(super) fn no_schema() -> Error {
    "Expected: Valid Schema, given: Invalid JSON".into()
}

pub(super) fn wrong_type(expected: &str, given: &str) -> Error {
    format!("Invalid type. Expected: {expected}, given: {given}").into()
}

pub(super) fn must_be_of_type(key: &str, kind: &str) -> Error {
    format!("{key} must be of type {kind}").into()
}

pub(super) fn must_be_of_a(key: &str, kind: &str) -> Error {
    format!("{key} must be of a {kind}").into()
}

pub(super) fn must_be_of_an(key: &str, kind: &str) -> Error {
    format!("{key} must be of an {kind}").into()
}

pub(super) fn must_be_unique(key: &str) -> Error {
    format!("{key} items must be unique").into()
}

pub(super) fn must_not_exceed(key: &str, other: &str) -> Error {
    format!("{key} cannot be greater than {other}").into()
}

pub(super) fn must_be_canonical(reference: &str) -> Error {
    format!("Reference {reference} must be canonical").into()
}

pub(super) fn unknown_type(given: &str) -> Error {
    format!(
        "has a primitive type that is NOT VALID -- given: /{given}/ Expected valid values are:\
         [array boolean integer number null object string]"
    )
    .into()
}

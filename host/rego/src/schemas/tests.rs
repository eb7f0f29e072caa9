use crate::tests::{bounded, call, check};
use crate::{Context, Error, Value, find};

const MATCH: &str = "json.match_schema";
const VERIFY: &str = "json.verify_schema";

fn said(text: &str) -> String {
    format!("[false, {}]", Value::from(format!("jsonschema: {text}")))
}

/// Types and descriptions of what is wrong with a document, each with its place.
fn wrong(document: &str, schema: &str) -> Vec<String> {
    let answer = call(MATCH, &format!("[{document}, {schema}]")).unwrap();
    let Value::Array(answer) = Value::parse(&answer).unwrap() else { panic!("a list") };
    let [valid, Value::Array(failures)] = &answer[..] else { panic!("a pair") };
    assert_eq!(*valid, Value::Bool(failures.is_empty()));
    let told = |failure: &Value| {
        let Value::Object(members) = failure else { panic!("an object") };
        let text = |name: &str| members[&name.into()].as_str().unwrap();
        assert_eq!(text("error"), format!("{}: {}", text("field"), text("desc")));
        format!("{} {}", text("type"), text("error"))
    };
    failures.iter().map(told).collect()
}

#[test]
fn documents_and_schemas_are_objects_lists_or_texts() {
    let schema = r#"{"properties":{"id":{"type":"integer"}},"required":["id"]}"#;
    let text = Value::from(schema).to_string();
    for (document, schema) in [
        (r#"{"id":5}"#, schema),
        (r#""{\"id\": 5}""#, schema),
        (r#"{"id":5}"#, text.as_str()),
        (r#""[1]""#, "\"true\""),
    ] {
        assert!(wrong(document, schema).is_empty(), "{document} {schema}");
    }
    assert!(wrong(r#"{1: {2}}"#, r#"{"properties":{"1":{"const":[2]}},"additionalProperties":false}"#).is_empty());
    check(&[
        (
            MATCH,
            r#"[{"id": "foo"}, {"properties": {"id": {"type": "integer"}}}]"#,
            Some(
                r#"[false, [{"desc": "Invalid type. Expected: integer, given: string", "type": "invalid_type",
                    "error": "id: Invalid type. Expected: integer, given: string", "field": "id"}]]"#,
            ),
        ),
        (MATCH, r#"[{}, {"type": "unknown"}]"#, None),
        (MATCH, r#"["{", {}]"#, None),
        (MATCH, "[1, {}]", None),
        (MATCH, "[{1}, {}]", None),
        (VERIFY, r#"[{"type": "boolean"}]"#, Some("[true, null]")),
        (VERIFY, r#"["{\"type\": \"boolean\"}"]"#, Some("[true, null]")),
        (VERIFY, "[\"true\"]", Some("[true, null]")),
        (VERIFY, "[[]]", Some(&said("schema is invalid"))),
        (VERIFY, "[\"{\"]", Some(&said("invalid JSON string"))),
        (VERIFY, "[null]", Some(&said("wrong type, expected string or object"))),
    ]);
}

/// Documents, schemas, and what is wrong.
const WRONG: &[(&str, &str, &[&str])] = &[
    (
        "[1.5, 7, \"x\"]",
        r#"{"items":{"type":["integer","null"]}}"#,
        &[
            "invalid_type 0: Invalid type. Expected: [integer,null], given: number",
            "invalid_type 2: Invalid type. Expected: [integer,null], given: string",
        ],
    ),
    (
        "[7]",
        r#"{"items":{"multipleOf":2,"maximum":6.50,"exclusiveMaximum":7,"minimum":1e6,"exclusiveMinimum":8}}"#,
        &[
            "multiple_of 0: Must be a multiple of 2",
            "number_lte 0: Must be less than or equal to 6.5",
            "number_lt 0: Must be less than 7",
            "number_gte 0: Must be greater than or equal to 1e+06",
            "number_gt 0: Must be greater than 8",
        ],
    ),
    ("[1]", r#"{"items":{"minimum":1,"exclusiveMinimum":true}}"#, &["number_gt 0: Must be greater than 1"]),
    (
        "[\"äö\", \"äöü\"]",
        r#"{"items":{"minLength":3,"maxLength":3,"pattern":"^a"}}"#,
        &[
            "string_gte 0: String length must be greater than or equal to 3",
            "pattern 0: Does not match pattern '^a'",
            "pattern 1: Does not match pattern '^a'",
        ],
    ),
    (
        "[1, 1.0, 2]",
        r#"{"uniqueItems":true,"maxItems":2,"contains":{"const":3}}"#,
        &[
            "array_max_items (Root): Array must have at most 2 items",
            "unique (Root): array items[0,1] must be unique",
            "contains (Root): At least one of the items must match",
            "const 0: 0 does not match: 3",
        ],
    ),
    (
        "[1, 2]",
        r#"{"items":[{}],"additionalItems":false,"minItems":3}"#,
        &[
            "array_no_additional_items (Root): No additional items allowed on array",
            "array_min_items (Root): Array must have at least 3 items",
        ],
    ),
    (
        r#"{"a":1,"b":"<"}"#,
        r#"{"enum":["<",{"a":1.0}],"propertyNames":{"maxLength":0},"required":["c"]}"#,
        &[
            "required (Root): c is required",
            "invalid_property_name (Root): Property name of \"a\" does not match",
            "string_lte (Root): String length must be less than or equal to 0",
            "invalid_property_name (Root): Property name of \"b\" does not match",
            "string_lte (Root): String length must be less than or equal to 0",
            r#"enum (Root): (Root) must be one of the following: "\u003c", {"a":1}"#,
        ],
    ),
    (
        r#"{"a":1,"b":2,"c":{"d":3}}"#,
        r#"{"properties":{"c":{"properties":{"d":false}}},"patternProperties":
            {"^b":{"type":"null"}},"additionalProperties":false,"dependencies":{"a":["x"],"b":{"maxProperties":2}}}"#,
        &[
            "missing_dependency (Root): Has a dependency on x",
            "array_max_properties (Root): Must have at most 2 properties",
            "additional_property_not_allowed (Root): Additional property a is not allowed",
            "invalid_type b: Invalid type. Expected: null, given: integer",
            "false c.d: False always fails validation",
        ],
    ),
    (
        "[0]",
        r#"{"items":{"anyOf":[{"type":"null"},{"minimum":1}],"oneOf":[{},{}],"allOf":[{},{"not":{}}]}}"#,
        &[
            "number_any_of 0: Must validate at least one schema (anyOf)",
            "number_gte 0: Must be greater than or equal to 1",
            "number_one_of 0: Must validate one and only one schema (oneOf)",
            "number_not 0: Must not validate the schema (not)",
            "number_all_of 0: Must validate all the schemas (allOf)",
        ],
    ),
    (
        "[1, \"\"]",
        r#"{"items":{"if":{"type":"string"},"then":{"minLength":1},"else":{"format":"x","maximum":0}}}"#,
        &[
            "condition_else 0: Must validate \"else\" as \"if\" was not valid",
            "number_lte 0: Must be less than or equal to 0",
            "condition_then 1: Must validate \"then\" as \"if\" was valid",
            "string_gte 1: String length must be greater than or equal to 1",
        ],
    ),
];

#[test]
fn keywords_say_what_opa_says() {
    for (document, schema, expected) in WRONG {
        assert_eq!(wrong(document, schema), *expected, "{document} {schema}");
    }
}

#[test]
fn wrong_schemas_are_told_as_opa_tells_them() {
    for (schema, says) in [
        (r#"{"definitions":{"a":1}}"#, "Invalid type. Expected: Array Of Schemas, given: definitions"),
        (r#"{"title":1}"#, "Invalid type. Expected: string, given: title"),
        (r#"{"$schema":1}"#, "$schema must be of type string"),
        (r#"{"$id":"%zz"}"#, r#"parse "%zz": invalid URL escape "%zz""#),
        (
            r#"{"type":"unknown_type"}"#,
            "has a primitive type that is NOT VALID -- given: /unknown_type/ Expected valid values are:\
             [array boolean integer number null object string]",
        ),
        (r#"{"type":["null","null"]}"#, "null type is duplicated"),
        (r#"{"type":1}"#, "Invalid type. Expected: type, given: string/Array Of Strings"),
        (r#"{"properties":[]}"#, "Properties must be of type object"),
        (r#"{"properties":{"a":1}}"#, "Expected: Valid Schema, given: Invalid JSON"),
        (r#"{"patternProperties":{"(":{}}}"#, "Invalid regex pattern '('"),
        (r#"{"pattern":"(?=a)"}"#, "pattern must be a valid regex"),
        (r#"{"propertyNames":1}"#, "Invalid type. Expected: Valid Schema, given: patternProperties"),
        (r#"{"dependencies":{"a":[1]}}"#, "Dependency must be of type Schema Or Array Of Strings"),
        (r#"{"multipleOf":-0.0}"#, "multipleOf must be strictly greater than 0"),
        (r#"{"exclusiveMaximum":true}"#, "exclusiveMaximum cannot be used without maximum"),
        (r#"{"minLength":1.0}"#, "minLength must be of an integer"),
        (r#"{"maxItems":-1}"#, "maxItems must be greater than or equal to 0"),
        (r#"{"minProperties":2,"maxProperties":1}"#, "minProperties cannot be greater than maxProperties"),
        (r#"{"required":["a","a"]}"#, "required items must be unique"),
        (r#"{"enum":[1,1.0]}"#, "enum items must be unique"),
        (r#"{"const":1e400}"#, "json: cannot unmarshal number 1e400 into Go value of type float64"),
        (r#"{"not":1}"#, "not must be of an object"),
        (r##"{"$ref":"#/a/b"}"##, "Object has no key 'a'"),
        (r##"{"$ref":"#/a/3","a":[]}"##, "Out of bound array[0,0] index '3'"),
        (r##"{"$ref":"#/a","a":1}"##, "Valid Schema must be of type object"),
        (r#"{"items":[{"$id":"a"},{"$id":"a"}]}"#, r#"Reference already exists: "/a""#),
        (r#"{"$ref":"a.json"}"#, "Reference /a.json must be canonical"),
        (r#"{"$ref":"https://a.b/c#/d"}"#, "remote reference loading disabled: https://a.b/c"),
        (r#"{"$ref":"file:///etc/passwd"}"#, "remote reference loading disabled: file:///etc/passwd"),
    ] {
        check(&[(VERIFY, &format!("[{schema}]"), Some(&said(says)))]);
    }
}

#[test]
fn drafts_differ_as_in_opa() {
    let draft =
        |number: u8, rest: &str| format!(r#"{{"$schema":"http://json-schema.org/draft-0{number}/schema#",{rest}}}"#);
    for (number, rest, valid) in [
        (4, r#""items":true"#, false),
        (6, r#""items":true"#, true),
        (4, r#""minimum":1,"exclusiveMinimum":true"#, true),
        (6, r#""minimum":1,"exclusiveMinimum":true"#, false),
        (4, r#""exclusiveMinimum":1"#, false),
        (7, r#""if":1"#, false),
        (6, r#""if":1"#, true),
        (4, r#""contains":1,"const":1e400"#, true),
        (6, r#""id":1"#, true),
        (4, r#""id":1"#, false),
    ] {
        let answer = call(VERIFY, &format!("[{}]", draft(number, rest))).unwrap();
        assert_eq!(answer.starts_with("[true"), valid, "{number} {rest}: {answer}");
    }
}

#[test]
fn references_lead_to_schemas_of_the_document_and_to_the_drafts() {
    let tree = r##"{"type":"object","properties":{"next":{"$ref":"#"}},"additionalProperties":{"$ref":"#/definitions/n~1%25"},
        "definitions":{"n/%":{"type":"null"},"i":{"$id":"http://a/b/","items":{"$ref":"c"}},"c":{"$id":"http://a/b/c","maximum":1}}}"##;
    assert!(wrong(r#"{"next":{"next":{"a":null}}}"#, tree).is_empty());
    assert_eq!(
        wrong(r#"{"next":{"next":{"a":1}}}"#, tree),
        ["invalid_type next.next.a: Invalid type. Expected: null, given: integer"]
    );
    let by_address = tree.replacen(r##""next":{"$ref":"#"}"##, r#""next":{"$ref":"http://a/b/"}"#, 1);
    assert_eq!(wrong(r#"{"next":[2]}"#, &by_address), ["number_lte next.0: Must be less than or equal to 1"]);
    let of_schemas = r##"{"$ref":"http://json-schema.org/draft-07/schema#"}"##;
    assert!(wrong(tree, of_schemas).is_empty());
    assert_eq!(
        wrong(r#"{"minLength":-1}"#, of_schemas),
        [
            "number_gte minLength: Must be greater than or equal to 0",
            "number_all_of minLength: Must validate all the schemas (allOf)",
        ]
    );
}

#[test]
fn formats_are_those_of_opa() {
    for (format, fitting, others) in [
        ("date", &["2020-02-29"][..], &["2021-02-29", "2020-2-1"][..]),
        ("time", &["12:30:45", "12:30:45.5+01:00"], &["12:30", "25:00:00"]),
        ("date-time", &["2020-02-29T12:30:45Z", "2020-02-29", "12:30:45"], &["2020-02-29 12:30:45Z"]),
        ("hostname", &["a.b-c.1"], &["", "a.", "-a", "a_b"]),
        (
            "email",
            &["a@b", "\"a b\"@c", "N. M <a@b> (c)", "g: a@b;", "ü@[::1]"],
            &["a", "a@", "a@b.", "a b@c", "g: a@b, c@d;"],
        ),
        ("ipv4", &["1.2.3.4", "::ffff:1.2.3.4"], &["1.2.3", "01.2.3.4"]),
        ("ipv6", &["::1"], &["1.2.3.4", "fe80::1%eth0"]),
        ("uri", &["a:b"], &["/a", "http://a b", "a:b\\c"]),
        ("uri-reference", &["/a", ""], &["%z"]),
        ("uri-template", &["/{a}/b"], &["/{a"]),
        ("uuid", &["6ba7b810-9dad-11d1-80b4-00C04FD430C8"], &["6ba7b810-9dad-11d1-80b4-00c04fd430c"]),
        ("regex", &["a+", ""], &["(?=a)"]),
        ("json-pointer", &["", "/a~0"], &["a", "/a~"]),
        ("relative-json-pointer", &["0#", "12/a"], &["01", "#"]),
        ("unknown", &["anything"], &[]),
    ] {
        let fits = |text: &str| {
            wrong(&format!("[{}]", Value::from(text)), &format!(r#"{{"items":{{"format":"{format}"}}}}"#))
        };
        fitting.iter().for_each(|text| assert!(fits(text).is_empty(), "{format} {text}"));
        others.iter().for_each(|text| assert_eq!(fits(text).len(), 1, "{format} {text}"));
    }
}

/// Calls with as much work as is wanted: what has no end must not depend on how little it may do.
fn called(work: u64, schema: &str, document: &str) -> Error {
    let arguments = [document, schema].map(|text| Value::parse(text).unwrap());
    find(MATCH).unwrap().call(&Context::new(0, 0, work), &arguments).unwrap_err()
}

#[test]
fn what_is_hostile_ends_within_its_bound() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let list = |count: usize, member: &str| format!("[{}{member}]", format!("{member},").repeat(count));
    let numbers = |count: i32| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let names: Vec<_> = (0..20_000).map(|n| format!("\"{n}\"")).collect();
    let long = "a".repeat(20_000);
    bounded(&[
        (MATCH, format!(r##"[{deep}, {{"items":{{"anyOf":[{{"$ref":"#"}},{{"$ref":"#"}}]}},"maxItems":0}}]"##)),
        (
            MATCH,
            format!(
                r##"[{}, {{"items":{{"oneOf":[{{"$ref":"#"}},{{"$ref":"#"}}]}}}}]"##,
                "[".repeat(40) + &"]".repeat(40)
            ),
        ),
        (MATCH, format!(r#"[{}, {{"uniqueItems":true}}]"#, list(1_000, &format!("[\"{}\"]", "a".repeat(500))))),
        (MATCH, format!(r#"[{}, {{"items":{{"enum":[{}]}}}}]"#, list(1_000, "null"), numbers(3_000))),
        (MATCH, format!(r#"[{}, {{"items":{{"pattern":"^(a|b|ab)*c$"}}}}]"#, list(200, &format!("\"{long}\"")))),
        (MATCH, format!(r#"[{}, {{"items":{{"format":"regex"}}}}]"#, list(100, "\"a{1000}\""))),
        (MATCH, format!(r#"[{}, {{"items":{{"multipleOf":3}}}}]"#, list(10, &"9".repeat(5_000)))),
        (MATCH, format!(r#"[{{"a":[]}}, {{"required":[{}]}}]"#, names.join(","))),
        (VERIFY, format!(r#"[{{"anyOf":{}}}]"#, list(10_000, "{}"))),
        (VERIFY, format!(r#"[{{"anyOf":{}}}]"#, list(100, r#"{"pattern":"a{1000}"}"#))),
        (VERIFY, format!(r#"[{{"$id":"http://a/{long}/","items":{}}}]"#, list(100, r##"{"$ref":"b"}"##))),
        (VERIFY, format!("[\"{}\"]", long.repeat(26))),
    ]);
}

/// What a host call has beside its guest.
const STACK: usize = 3 << 19;

#[test]
fn what_has_no_end_is_refused_on_a_small_stack() {
    let undefined = |error: Error, says: &str| match error {
        Error::Undefined(why) => assert!(why.contains(says), "{why}"),
        Error::Exhausted => panic!("paid for {says}"),
    };
    let run = move || {
        let itself = "a reference leads to itself";
        let many = "schemas inside each other";
        undefined(called(u64::MAX, r##"{"$ref":"#"}"##, "{}"), itself);
        let pair = r##"{"$ref":"#/a","a":{"$ref":"#/b"},"b":{"$ref":"#/a"}}"##;
        undefined(called(u64::MAX, pair, "{}"), itself);
        for keyword in ["allOf", "anyOf", "oneOf"] {
            undefined(called(u64::MAX, &format!(r##"{{"{keyword}":[{{"$ref":"#"}}]}}"##), "{}"), many);
        }
        for keyword in ["not", "if"] {
            undefined(called(u64::MAX, &format!(r##"{{"{keyword}":{{"$ref":"#"}}}}"##), r#"{"a":1}"#), many);
        }
        undefined(called(u64::MAX, r##"{"dependencies":{"a":{"$ref":"#"}}}"##, r#"{"a":1}"#), many);
    };
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap();
}

#[test]
fn deep_documents_and_long_chains_of_references_fit_a_small_stack() {
    let run = || {
        let context = Context::new(0, 0, u64::MAX);
        let deep = Value::parse(&format!("{}{}", "[".repeat(510), "]".repeat(510))).unwrap();
        let schema = Value::parse(r##"{"items":{"$ref":"#"},"const":0}"##).unwrap();
        let answer = find(MATCH).unwrap().call(&context, &[deep, schema]).unwrap();
        assert!(matches!(answer, Value::Array(pair) if pair[0] == Value::Bool(false)));
        let nested = format!("{}{{}}{}", r#"{"items":"#.repeat(500), "}".repeat(500));
        let link = |n: usize| format!(r##""{n}":{{"items":{{"$ref":"#/definitions/{}"}}}}"##, n + 1);
        let links = (0..5_000).map(link).collect::<Vec<_>>().join(",");
        let chain = format!(r##"{{"$ref":"#/definitions/0","definitions":{{{links},"5000":{{}}}}}}"##);
        for schema in [nested, chain] {
            let answer = find(VERIFY).unwrap().call(&context, &[Value::parse(&schema).unwrap()]).unwrap();
            assert_eq!(answer.to_string(), "[true,null]");
        }
    };
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap();
}

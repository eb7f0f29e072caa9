use crate::tests::{bounded, call, check};
use crate::value::Value;

#[test]
fn words_mean_what_opa_takes_them_for() {
    check(&[
        (
            "yaml.unmarshal",
            r#"["a: 1\nb: [x, 'y', \"z\"]\nc: {d: null, e: ~}"]"#,
            Some(r#"{"a":1,"b":["x","y","z"],"c":{"d":null,"e":null}}"#),
        ),
        ("yaml.unmarshal", r#"["[yes, on, true, False, no]"]"#, Some(r#"["yes","on",true,false,"no"]"#)),
        ("yaml.unmarshal", r#"["[0x1F, 0o17, 017, 0b11, 1_000, -0x1, +7, 09]"]"#, Some("[31,15,15,3,1000,-1,7,9]")),
        (
            "yaml.unmarshal",
            r#"["[1.50, .5, 1e3, 1e-7, 1e21, 123456789012345678901]"]"#,
            Some("[1.5,0.5,1000,1e-7,1e+21,123456789012345680000]"),
        ),
        (
            "yaml.unmarshal",
            r#"["[18446744073709551615, 2023-01-01, 12:30:45, 1.2.3]"]"#,
            Some(r#"[18446744073709551615,"2023-01-01","12:30:45","1.2.3"]"#),
        ),
        (
            "yaml.unmarshal",
            r#"["[!!str 1, !!int '2', !!float 3, !!binary aGk=, !x y]"]"#,
            Some(r#"["1",2,3,"hi","y"]"#),
        ),
        (
            "yaml.unmarshal",
            r#"["1: a\ntrue: b\n1.5: c\n.inf: d"]"#,
            Some(r#"{"1":"a","true":"b","1.5":"c",".inf":"d"}"#),
        ),
        ("yaml.unmarshal", r#"["a: |\n  x\n  y\nb: >-\n  x\n  y"]"#, Some(r#"{"a":"x\ny\n","b":"x y"}"#)),
        (
            "yaml.unmarshal",
            r#"["a: &x {b: 1, c: 2}\nd: *x\ne:\n  <<: *x\n  b: 3"]"#,
            Some(r#"{"a":{"b":1,"c":2},"d":{"b":1,"c":2},"e":{"b":3,"c":2}}"#),
        ),
        ("yaml.unmarshal", r#"["<<: [{a: 1}, {a: 2, b: 2}]\n<<: {b: 3, c: 3}"]"#, Some(r#"{"a":1,"b":2,"c":3}"#)),
        ("yaml.unmarshal", r#"["a: 1\na: 2\n---\nb: 1"]"#, Some(r#"{"a":2}"#)),
        ("yaml.unmarshal", r#"["a: 1\n...\nb: 1"]"#, Some(r#"{"a":1}"#)),
        ("yaml.unmarshal", r#"["  a:\nb: 1"]"#, None),
        ("yaml.unmarshal", r#"["\tb: 2"]"#, None),
        ("yaml.unmarshal", r#"["a: 1\n---\n \tb: 2"]"#, None),
        ("yaml.unmarshal", r#"["a: 1\n---\n b: 2\n--- \t2"]"#, Some(r#"{"a":1}"#)),
        ("yaml.unmarshal", r#"[""]"#, Some("null")),
        ("yaml.unmarshal", r#"["a: [1"]"#, None),
        ("yaml.unmarshal", r#"["a: 1\n---\nb: ["]"#, None),
        ("yaml.unmarshal", r#"["a: &x [*x]"]"#, None),
        ("yaml.unmarshal", r#"["a: *unknown"]"#, None),
        ("yaml.unmarshal", r#"["a: .nan"]"#, None),
        ("yaml.unmarshal", r#"["null: 1"]"#, None),
        ("yaml.unmarshal", r#"["[a]: 1"]"#, None),
        ("yaml.unmarshal", r#"["!!int x"]"#, None),
        ("yaml.unmarshal", r#"["<<: 1"]"#, None),
        ("yaml.unmarshal", "[1]", None),
        ("yaml.is_valid", r#"["a: b"]"#, Some("true")),
        ("yaml.is_valid", r#"["a: [b"]"#, Some("false")),
        ("yaml.is_valid", "[1]", Some("false")),
    ]);
}

/// As `opa eval 'yaml.marshal(x)'` answers.
#[test]
fn values_are_written_as_opa_writes_them() {
    for (value, expected) in [
        (
            r#"{"a": [1, {"b": 2, "c": []}, [3, [4]]], "d": {}, "e": {"f": null}}"#,
            "a:\n  - 1\n  - b: 2\n    c: []\n  - - 3\n    - - 4\nd: {}\ne:\n  f: null\n",
        ),
        (
            r##"["yes", "true", "1", "", "~", "12:30", "a: b", "- x", "#x", " x", "it's", "x #y", "x:", "a\tb"]"##,
            "- \"yes\"\n- \"true\"\n- \"1\"\n- \"\"\n- \"~\"\n- \"12:30\"\n- 'a: b'\n- '- x'\n- '#x'\n- ' x'\n- it's\n- 'x #y'\n- 'x:'\n- \"a\\tb\"\n",
        ),
        (
            r#"{"k": "x\ny\n", "l": "x\n\n", "m": ["x\n  y"], "n": "\nx", "o\np": 1, "q": "x \ny"}"#,
            "k: |\n  x\n  y\nl: |+\n  x\n\nm:\n  - |-\n    x\n      y\n\"n\": |2-\n\n  x\n? |-\n  o\n  p\n: 1\nq: \"x \\ny\"\n",
        ),
        (
            r#"[1.5, 1e6, 1000000, 1e22, 0.00001, {2, 1}, set()]"#,
            "- 1.5\n- 1e+06\n- 1000000\n- 1e+22\n- 1e-05\n- - 1\n  - 2\n- []\n",
        ),
        (r#"{"a10": 1, "a2": 2, "b": 3, "B": 4, "_": 5, "1": 6}"#, "_: 5\n\"1\": 6\nB: 4\na2: 2\na10: 1\nb: 3\n"),
        (r#""x""#, "x\n"),
    ] {
        let answer = call("yaml.marshal", &format!("[{value}]")).unwrap();
        assert_eq!(Value::parse(&answer).unwrap(), expected.into(), "{value}");
    }
    assert!(call("yaml.marshal", "[\"\u{7f}\"]").is_err());
}

#[test]
fn a_short_text_cannot_become_a_large_value() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, former) in ('b'..='i').zip('a'..) {
        bomb += &format!("{name}: &{name} [{}]\n", format!("*{former}, ").repeat(9));
    }
    let quoted = |text: &str| format!("[{}]", Value::from(text));
    bounded(&[
        ("yaml.unmarshal", quoted(&bomb)),
        ("yaml.is_valid", quoted(&bomb)),
        ("yaml.marshal", format!("[\"{}\"]", "x".repeat(1_000_001))),
    ]);
    assert!(super::parse(&bomb).unwrap_err().contains("too large"));
    for deep in ["[".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000), "{a: ".repeat(100_000)] {
        assert!(super::parse(&deep).is_err());
    }
    assert_eq!(super::parse("a:\n- 1").unwrap().to_string(), r#"{"a":[1]}"#);
}

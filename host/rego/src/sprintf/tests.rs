//! Values are those that Go printed.

use super::*;

fn print(layout: &str, values: &str) -> Result<String, Error> {
    let context = Context::new(0, 0, 100_000);
    let values = Value::parse(values).unwrap();
    sprintf(&context, &[layout.into(), values]).map(|text| text.as_str().unwrap().to_owned())
}

#[test]
fn formats_are_those_of_go() {
    for (layout, values, printed) in [
        (
            "%d|%5d|%-5d|%05d|%+d|% d|%x|%#X|%o|%O|%b",
            "[1,2,3,4,5,6,255,255,8,8,5]",
            "1|    2|3    |00004|+5| 6|ff|0XFF|10|0o10|101",
        ),
        (
            "%.2f|%f|%e|%g|%G|%8.3f|%-8.1f|%+.1f",
            "[1.555,1.5,1.5,1e21,1e-7,2.5,2.5,2.5]",
            "1.55|1.500000|1.500000e+00|1e+21|1E-07|   2.500|2.5     |+2.5",
        ),
        ("%v %v %v %v", "[1e6,123456789.0,10.00,-0.0]", "1e+06 1.23456789e+08 10 -0"),
        ("%x %b %#g %.3x", "[1.5,1.5,1.5,0.1]", "0x1.8p+00 6755399441055744p-52 1.50000 0x1.99ap-04"),
        (
            "%s|%5s|%-5s|%.2s|%q|%x|% X|%t",
            r#"["a","b","c","déf","x\"\n","hi","hi",true]"#,
            "a|    b|c    |dé|\"x\\\"\\n\"|6869|68 69|%!t(string=true)",
        ),
        ("%v %v %v", r#"[{"b":1,"a":[2.50]},set(),null]"#, r#"{"a": [2.50], "b": 1} set() null"#),
        ("%c %q %U %#U", "[128512,39,8364,8364]", "😀 '\\'' U+20AC U+20AC '€'"),
        (
            "%d %x %30d %f",
            "[123456789012345678901234567890,-99999999999999999999,99999999999999999999,99999999999999999999]",
            "123456789012345678901234567890 -56bc75e2d630fffff           99999999999999999999 %!f(big.Int=99999999999999999999)",
        ),
        ("%d %s %.2f", r#"["a",1,4]"#, "%!d(string=a) %!s(int64=1) %!f(int64=04)"),
        ("%d %d", "[1]", "1 %!d(MISSING)"),
        ("%d", "[1,2,\"a\"]", "1%!(EXTRA int64=2, string=a)"),
        (
            "%[2]d %[1]d|%[3]*.[2]*[1]f|%[9]d|%[x]d|%[2]",
            "[1,2,3]",
            "2 1|%!f(int64= 01)|%!d(BADINDEX)|%!d(BADINDEX)|%!(NOVERB)",
        ),
        ("%*d|%-*d|%.*f|%*d", "[4,1,4,1,2,1.5,\"a\",1]", "   1|1   |1.50|%!(BADWIDTH)1"),
        ("%%|%|%!|%T", "[1,2]", "%|%!|(int64=1)%!!(int64=2)|%!T(MISSING)"),
        ("%v", "[2e308]", "2e308"),
        ("%d", "[-9223372036854775808]", "-9223372036854775808"),
        ("", "[]", ""),
    ] {
        assert_eq!(print(layout, values).as_deref(), Ok(printed), "{layout}");
    }
}

#[test]
fn what_is_hostile_ends_within_its_bound() {
    for (layout, values) in [
        ("%1000000d", "[1]"),
        ("%.1000000f", "[1.5]"),
        ("%1000000s", "[\"a\"]"),
        ("%.1000000U", "[1]"),
        ("%[1]*[2]d", "[1000000,1]"),
        ("%01000000.999999e", "[1.5]"),
    ] {
        assert_eq!(print(layout, values), Err(Error::Exhausted), "{layout}");
    }
    let many = "%[1]d".repeat(50_000);
    assert_eq!(print(&many, "[1]"), Err(Error::Exhausted));
    for (layout, values) in [("%p", "[99999999999999999999]"), ("%d", "{}")] {
        assert!(matches!(print(layout, values), Err(Error::Undefined(_))), "{layout}");
    }
    assert_eq!(print("%9999999999999999999d", "[1]").unwrap(), "%!(NOVERB)%!(EXTRA int64=1)");
}

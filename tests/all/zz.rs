#[test]
fn zz() {
    let defs: String = (0..24)
        .map(|i| {
            format!(r##""a{i}":{{"allOf":[{{"$ref":"#/$defs/a{}"}},{{"$ref":"#/$defs/a{}"}}]}},"##, i + 1, i + 1)
        })
        .collect();
    let manifest = format!(r##"{{"config":{{"$defs":{{{defs}"a24":{{"type":"object"}}}},"$ref":"#/$defs/a0"}}}}"##);
    let t = std::time::Instant::now();
    let host =
        crate::harness::host_of(crate::harness::with_manifest(&crate::harness::allows_after("", ""), &manifest), "");
    eprintln!("{:?}", t.elapsed());
    drop(host);
    let t = std::time::Instant::now();
    let _ = crate::harness::refused(
        crate::harness::with_manifest(
            &crate::harness::allows_after("", ""),
            &manifest.replace(r#""type":"object""#, r#""type":"array""#),
        ),
        "",
    );
    eprintln!("{:?}", t.elapsed());
}

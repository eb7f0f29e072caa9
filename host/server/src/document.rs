//! The OpenAPI document of what callers ask, as it is served.

/// The document, as JSON.
pub(crate) fn openapi() -> &'static str {
    include_str!("openapi.json")
}

#[cfg(test)]
mod clients;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::metrics::Route;

    #[test]
    fn the_document_names_every_route_and_nothing_else() {
        let document: Value = serde_json::from_str(super::openapi()).expect("it is JSON");
        let paths = document["paths"].as_object().expect("it has paths");
        assert_eq!(paths.len(), 4);
        for (path, operations) in paths {
            assert_ne!(Route::of(path), Route::Other, "{path}");
            for (method, operation) in operations.as_object().expect("a path has operations") {
                assert!(["get", "post"].contains(&method.as_str()), "{method}");
                assert!(operation["responses"]["200"].is_object(), "{path}");
            }
        }
    }
}

//! The macro that makes a module of a function.

/// Makes a Weir policy of a configuration type and a function.
///
/// ```text
/// policy! {
///     config: Config,                         // any `Deserialize` type; `{}` is what an unconfigured policy gets
///     evaluate: evaluate,                     // fn(&Config, &Request) -> Result<Verdict, String>, see below
///     checkpoints: ["inference.input"],       // where it makes sense to bind it
///     reads: ["/content"],                    // optional: the only parts of the request it will be passed
///     grants: ["log"],                        // optional: the capabilities it wants
///     config_schema: include_str!("../config.schema.json"),  // optional: JSON Schema 2020-12 of the configuration
///     samples: include_str!("../samples.json"),              // optional: JSON array of requests
/// }
/// ```
///
/// The keys come in this order, once per crate. `samples` train the policy's snapshot and test its load, so they should
/// touch the code that a usual request touches.
///
/// In place of [`Request`](crate::Request) the function may take any other `Deserialize` type: one with the fields it needs,
/// where reading all of a request takes longer than judging it. A request that lacks a field is then a failure, unless the
/// type has a default for it.
///
/// - For `wasm32` it exports the core ABI (`weir_abi_1`, `weir_alloc`, `weir_configure`, `weir_evaluate`), or with the feature
///   `component` of this library the interface `weir:policy/judge`, and writes the manifest into the custom section
///   `weir:manifest`. As a component it is asked for [`Request`](crate::Request)s only.
/// - For every other target the crate keeps its plain functions, so `cargo test` tests the policy without Wasm.
/// - For both it defines `MANIFEST: &str` (JSON), with name, version and description from the crate's `Cargo.toml`.
///
/// An `Err` of `evaluate` becomes the answer `{"error": …}`, the failure `guest_error`. A panic becomes a trap, the
/// failure `trap`; its message is lost, its place stays visible in the function names. Either counts as what the operator
/// set for failures, which is *deny* by default.
#[macro_export]
macro_rules! policy {
    (
        config: $config:ty,
        evaluate: $evaluate:path,
        checkpoints: [$($checkpoint:expr),+ $(,)?]
        $(, reads: [$($read:expr),* $(,)?])?
        $(, grants: [$($grant:expr),* $(,)?])?
        $(, config_schema: $config_schema:expr)?
        $(, samples: $samples:expr)?
        $(,)?
    ) => {
        /// The policy's manifest as JSON, exactly as its module carries it.
        pub(crate) const MANIFEST: &str = {
            const PARTS: $crate::manifest::Manifest = $crate::manifest::Manifest::new(
                env!("CARGO_PKG_NAME"),
                env!("CARGO_PKG_VERSION"),
                env!("CARGO_PKG_DESCRIPTION"),
                &[$($checkpoint),+],
            )
            $(.reads(&[$($read),*]))?
            $(.grants(&[$($grant),*]))?
            $(.config($config_schema))?
            $(.samples($samples))?;
            const BYTES: [u8; PARTS.length()] = PARTS.json();
            $crate::manifest::text(&BYTES)
        };

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[used]
            #[unsafe(link_section = "weir:manifest")]
            static SECTION: [u8; MANIFEST.len()] = $crate::manifest::bytes(MANIFEST);

            ::std::thread_local! {
                static GUEST: ::std::cell::RefCell<$crate::abi::Guest<$config>> =
                    const { ::std::cell::RefCell::new($crate::abi::Guest::new()) };
            }

            $crate::exports!(GUEST, $evaluate);
        };

        // Natively nothing calls the policy but its tests: this checks the types and keeps the code from looking dead.
        #[cfg(not(target_arch = "wasm32"))]
        const _: (&str, fn(&mut $crate::abi::Guest<$config>, i32, i32) -> i64) =
            (MANIFEST, |guest, pointer, length| guest.evaluate(pointer, length, $evaluate));
    };
}

/// What a module exports under the core ABI.
#[cfg(not(feature = "component"))]
#[doc(hidden)]
#[macro_export]
macro_rules! exports {
    ($guest:ident, $evaluate:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn weir_abi_1() {}

        #[unsafe(no_mangle)]
        extern "C" fn weir_alloc(length: i32) -> i32 {
            $guest.with_borrow_mut(|guest| guest.alloc(length))
        }

        #[unsafe(no_mangle)]
        extern "C" fn weir_configure(pointer: i32, length: i32) -> i64 {
            $guest.with_borrow_mut(|guest| guest.configure(pointer, length))
        }

        #[unsafe(no_mangle)]
        extern "C" fn weir_evaluate(pointer: i32, length: i32) -> i64 {
            $guest.with_borrow_mut(|guest| guest.evaluate(pointer, length, $evaluate))
        }
    };
}

/// What a module exports to become a component.
#[cfg(feature = "component")]
#[doc(hidden)]
#[macro_export]
macro_rules! exports {
    ($guest:ident, $evaluate:path) => {
        struct Judge;

        impl $crate::component::exports::weir::policy::judge::Guest for Judge {
            fn configure(config: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                $guest.with(|guest| $crate::component::configure(guest, &config))
            }

            fn evaluate(
                request: $crate::component::weir::policy::types::Request,
            ) -> ::std::result::Result<$crate::component::weir::policy::types::Verdict, ::std::string::String> {
                $guest.with(|guest| $crate::component::evaluate(guest, request, $evaluate))
            }
        }

        $crate::component::export!(Judge with_types_in $crate::component);
    };
}

#[cfg(test)]
mod tests {
    use crate::{Request, Verdict};

    #[derive(Default, serde::Deserialize)]
    struct Config;

    fn evaluate(_: &Config, request: &Request) -> Result<Verdict, String> {
        crate::log::debug(&request.id);
        Ok(Verdict::allow())
    }

    policy! {
        config: Config,
        evaluate: evaluate,
        checkpoints: ["inference.input", "inference.output"],
        reads: ["/content"],
        grants: ["log"],
        config_schema: r#"{"type":"null"}"#,
        samples: r#"[{"checkpoint":"inference.input"}]"#,
    }

    mod least {
        use super::{Config, evaluate};
        policy!(config: Config, evaluate: evaluate, checkpoints: ["a.b"]);
    }

    #[test]
    fn the_manifest_names_the_crate() {
        let (version, description) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"));
        let head = format!(r#"{{"name":"weir-sdk","version":"{version}","description":"{description}""#);
        let tail = concat!(
            r#","abi":"core-1","checkpoints":["inference.input","inference.output"],"reads":["/content"],"#,
            r#""config":{"type":"null"},"grants":["log"],"samples":[{"checkpoint":"inference.input"}]}"#
        );
        assert_eq!(MANIFEST, head.clone() + tail);
        assert_eq!(least::MANIFEST, head + r#","abi":"core-1","checkpoints":["a.b"]}"#);
    }

    #[test]
    fn natively_the_policy_is_a_plain_function() {
        let request = Request { id: "r-1".to_owned(), ..Request::default() };
        assert_eq!(evaluate(&Config, &request), Ok(Verdict::allow()));
        assert_eq!(crate::log::taken(), [(crate::log::Level::Debug, "r-1".to_owned())]);
    }
}

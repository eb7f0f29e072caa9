//! Lines for the operator's log; a policy that writes some lists `"log"` in its `grants`.
//!
//! The host limits their number and size. The import `weir.log` appears in a module only when the policy uses one of
//! these functions. Natively nothing is printed: a test reads the lines back with `taken`.

/// How urgent a line is; the number that crosses the boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Something is broken: 0.
    Error = 0,
    /// Something looks wrong: 1.
    Warn = 1,
    /// Worth knowing: 2.
    Info = 2,
    /// For the policy's author: 3.
    Debug = 3,
}

/// Logs what is broken.
pub fn error(text: &str) {
    write(Level::Error, text);
}

/// Logs what looks wrong.
pub fn warn(text: &str) {
    write(Level::Warn, text);
}

/// Logs what is worth knowing.
pub fn info(text: &str) {
    write(Level::Info, text);
}

/// Logs what helps the policy's author.
pub fn debug(text: &str) {
    write(Level::Debug, text);
}

#[cfg(all(target_arch = "wasm32", feature = "component"))]
fn write(level: Level, text: &str) {
    crate::component::weir::policy::log::write(level as u8, text);
}

#[cfg(all(target_arch = "wasm32", not(feature = "component")))]
fn write(level: Level, text: &str) {
    let pointer = text.as_ptr().expose_provenance();
    import::log(level as i32, pointer as i32, text.len() as i32);
}

#[cfg(all(target_arch = "wasm32", not(feature = "component")))]
#[expect(unsafe_code, reason = "declaring an import is a promise about the host")]
mod import {
    // SAFETY: the contract of the core ABI: the host only reads the bytes it is pointed to, within bounds it checks
    // itself, so no argument can break memory safety.
    #[link(wasm_import_module = "weir")]
    unsafe extern "C" {
        pub(super) safe fn log(level: i32, pointer: i32, length: i32);
    }
}

#[cfg(not(target_arch = "wasm32"))]
thread_local! {
    // One per thread, so that tests running side by side do not see each other's lines.
    static LINES: std::cell::RefCell<Vec<(Level, String)>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[cfg(not(target_arch = "wasm32"))]
fn write(level: Level, text: &str) {
    LINES.with_borrow_mut(|lines| lines.push((level, text.to_owned())));
}

/// The lines logged on this thread since the last call; for native tests only.
#[cfg(not(target_arch = "wasm32"))]
pub fn taken() -> Vec<(Level, String)> {
    LINES.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_once_in_order() {
        error("a");
        warn("b");
        info("c");
        debug("d");
        let lines = taken();
        let texts: Vec<_> = lines.iter().map(|(level, text)| (*level as i32, text.as_str())).collect();
        assert_eq!(texts, [(0, "a"), (1, "b"), (2, "c"), (3, "d")]);
        assert_eq!(taken(), []);
    }
}

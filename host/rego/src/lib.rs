//! Values of Rego, and the built-in functions that modules of `opa build -t wasm` leave to their host.
//!
//! A function is looked up by the name a module gives it ([`find`]) and takes and gives [`Value`]s. All of them are pure: what
//! they tell follows from their arguments and from [`Context`]. The functions and their meaning: "Built-in Functions" in OPA's
//! documentation.

mod arguments;
mod aws;
mod casts;
mod chances;
mod crypto;
mod encodings;
mod graphs;
mod json;
mod jwt;
mod marshal;
mod net;
mod patches;
mod pem;
mod prints;
mod regexes;
mod schemas;
mod semver;
mod sprintf;
mod strings;
mod template;
mod term;
mod text;
mod time;
mod units;
mod uris;
mod url;
mod value;
mod yaml;

use std::cell::{Cell, RefCell};

pub use value::{Number, Value};

/// What a built-in function may know beside its arguments, and how much it may do.
#[derive(Debug)]
pub struct Context {
    /// The time of the request, in nanoseconds since 1970: `time.now_ns`.
    pub now_ns: i64,
    /// What `rand.intn` and `uuid.rfc4122` follow from.
    pub seed: u64,
    left: Cell<u64>,
    printed: RefCell<Vec<String>>,
}

impl Context {
    /// A context that may do so much work: a unit is about a byte that is read or written, or a step of a loop.
    #[must_use]
    pub fn new(now_ns: i64, seed: u64, work: u64) -> Context {
        Context { now_ns, seed, left: Cell::new(work), printed: RefCell::default() }
    }

    /// Takes work off what is left, before it is done.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where less is left.
    pub fn work(&self, units: u64) -> Result<(), Error> {
        let left = self.left.get().checked_sub(units);
        self.left.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or(Error::Exhausted)
    }

    /// Keeps a line that a policy prints.
    fn print(&self, line: String) {
        self.printed.borrow_mut().push(line);
    }

    /// What was printed.
    #[must_use]
    pub fn printed(self) -> Vec<String> {
        self.printed.into_inner()
    }

    /// How much work is left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.get()
    }
}

/// Why a function has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It has none for these arguments; an expression with it is undefined. Says why.
    Undefined(String),
    /// It would do more than it may.
    Exhausted,
}

impl From<String> for Error {
    fn from(why: String) -> Error {
        Error::Undefined(why)
    }
}

impl From<&str> for Error {
    fn from(why: &str) -> Error {
        Error::Undefined(why.to_owned())
    }
}

/// What a function answers.
pub type Answer = Result<Value, Error>;

/// A built-in function.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// Its name in Rego, such as `semver.compare`.
    pub name: &'static str,
    /// How many arguments it takes.
    pub arguments: usize,
    /// Computes it; is called with as many arguments as it takes.
    call: fn(&Context, &[Value]) -> Answer,
}

impl Builtin {
    /// Calls the function.
    ///
    /// # Errors
    /// [`Error::Undefined`] as OPA would have it, also where the number of arguments is wrong; [`Error::Exhausted`] past its bound.
    pub fn call(&self, context: &Context, arguments: &[Value]) -> Answer {
        if arguments.len() != self.arguments {
            return Err(format!("`{}` takes {} arguments, not {}", self.name, self.arguments, arguments.len()).into());
        }
        (self.call)(context, arguments)
    }
}

/// Families of functions, each a file of its own.
const FAMILIES: &[&[Builtin]] = &[
    aws::FUNCTIONS,
    casts::FUNCTIONS,
    chances::FUNCTIONS,
    crypto::FUNCTIONS,
    crypto::private::FUNCTIONS,
    encodings::FUNCTIONS,
    graphs::FUNCTIONS,
    jwt::FUNCTIONS,
    marshal::FUNCTIONS,
    net::FUNCTIONS,
    patches::FUNCTIONS,
    prints::FUNCTIONS,
    regexes::FUNCTIONS,
    schemas::FUNCTIONS,
    semver::FUNCTIONS,
    sprintf::FUNCTIONS,
    strings::FUNCTIONS,
    template::FUNCTIONS,
    time::FUNCTIONS,
    units::FUNCTIONS,
    uris::FUNCTIONS,
    yaml::FUNCTIONS,
];

/// The function of this name; none where this host has it not.
#[must_use]
pub fn find(name: &str) -> Option<&'static Builtin> {
    FAMILIES.iter().flat_map(|family| family.iter()).find(|builtin| builtin.name == name)
}

#[cfg(test)]
mod tests;

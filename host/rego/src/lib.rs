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
use std::time::Instant;

pub use value::{Number, Value};

/// What a built-in function may know beside its arguments, and how much it may do.
#[derive(Debug)]
pub struct Context {
    /// The time of the request, in nanoseconds since 1970: `time.now_ns`.
    pub now_ns: i64,
    /// What `rand.intn` and `uuid.rfc4122` follow from.
    pub seed: u64,
    left: Cell<u64>,
    /// When it has to end, whatever is left, and how much may be done before the clock is looked at again.
    until: Option<Instant>,
    unwatched: Cell<u64>,
    is_late: Cell<bool>,
    printed: RefCell<Vec<String>>,
}

/// Work between two looks at the clock: about a tenth of a millisecond.
const WATCHED_WORK: u64 = 50_000;

impl Context {
    /// A context that may do so much work: a unit is about a byte that is read or written, or a step of a loop.
    #[must_use]
    pub fn new(now_ns: i64, seed: u64, work: u64) -> Context {
        let (left, unwatched) = (Cell::new(work), Cell::new(WATCHED_WORK));
        Context { now_ns, seed, left, until: None, unwatched, is_late: Cell::new(false), printed: RefCell::default() }
    }

    /// The same, ended at this time at the latest: a function asks for more work again and again, and gets none.
    #[must_use]
    pub fn until(self, time: Instant) -> Context {
        Context { until: Some(time), ..self }
    }

    /// Whether it was ended for its time.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.is_late.get()
    }

    /// Takes work off what is left, before it is done.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where less is left.
    pub fn work(&self, units: u64) -> Result<(), Error> {
        let left = self.left.get().checked_sub(units);
        self.left.set(left.unwrap_or(0));
        match (left, self.unwatched.get().checked_sub(units)) {
            (None, _) => Err(Error::Exhausted),
            (_, Some(unwatched)) => {
                self.unwatched.set(unwatched);
                Ok(())
            }
            (_, None) => self.watch(),
        }
    }

    /// Looks at the clock.
    #[cold]
    fn watch(&self) -> Result<(), Error> {
        let is_late = self.until.is_some_and(|until| Instant::now() >= until);
        // Whoever is late and asks again gets here again.
        self.unwatched.set(if is_late { 0 } else { WATCHED_WORK });
        self.is_late.set(is_late);
        if is_late { Err(Error::Exhausted) } else { Ok(()) }
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

//! Where functions are in a module of which some imports are replaced by functions of its own.
//!
//! ```text
//! imports that stay | imports of the host | functions of the module | what takes the place of imports | what is added
//! ```

/// What has to be known of a module to say it.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    /// For each imported function, whether it is replaced.
    pub(crate) replaced: Vec<bool>,
    /// Functions of the host that are imported beside.
    pub(crate) host: u32,
    /// Functions it defines itself.
    pub(crate) own: u32,
}

impl Functions {
    /// How many of the first imports are replaced.
    fn replaced_before(&self, import: usize) -> u32 {
        self.replaced[..import].iter().filter(|replaced| **replaced).count() as u32
    }

    /// Imports of the module that stay: behind them are those of the host.
    pub(crate) fn kept(&self) -> u32 {
        self.replaced.len() as u32 - self.replaced_before(self.replaced.len())
    }

    /// Where the functions begin that take the place of imports, in their order.
    fn first_replaced(&self) -> u32 {
        self.kept() + self.host + self.own
    }

    /// Where functions begin that are added at the end.
    pub(crate) fn first_added(&self) -> u32 {
        self.first_replaced() + self.replaced_before(self.replaced.len())
    }

    /// Where a function of the module is afterwards.
    pub(crate) fn place_of(&self, function: u32) -> u32 {
        let import = function as usize;
        match self.replaced.get(import) {
            None => self.kept() + self.host + function - self.replaced.len() as u32,
            Some(true) => self.first_replaced() + self.replaced_before(import),
            Some(false) => function - self.replaced_before(import),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Functions;

    #[test]
    fn every_function_has_a_place_of_its_own() {
        let functions = Functions { replaced: vec![true, false, true], host: 2, own: 3 };
        let places: Vec<u32> = (0..6).map(|function| functions.place_of(function)).collect();
        assert_eq!(places, [6, 0, 7, 3, 4, 5]);
        assert_eq!((functions.kept(), functions.first_added()), (1, 8));
    }
}

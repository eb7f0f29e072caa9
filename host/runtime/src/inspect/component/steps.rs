//! How much there is to do to instantiate a component: what is in components that are made several times counts each time.
//!
//! The compiler unfolds them all, so that a few kilobytes of components that make each other twice would keep it busy for
//! years. What is made is known from the file as long as components are not handed around as values, which no toolchain does.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Encoding,
    Instance, Payload,
};

/// More steps than there may be: imports, exports, aliases, functions and instances.
pub(in crate::inspect) const MOST_STEPS: u64 = 200_000;

#[derive(Default)]
pub(super) struct Steps {
    /// What is being read, outermost first.
    scopes: Vec<Scope>,
    total: u64,
    hands_around: bool,
}

/// A component or a module that is being read.
struct Scope {
    encoding: Encoding,
    /// The steps of each component it can name.
    components: Vec<u64>,
    steps: u64,
}

impl Steps {
    pub(super) fn see(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        let nested = self.scopes.len() > 1;
        match payload {
            Payload::Version { encoding, .. } => {
                self.scopes.push(Scope { encoding: *encoding, components: Vec::new(), steps: 0 });
            }
            Payload::End(_) => self.end(),
            Payload::ComponentImportSection(imports) => {
                for import in imports.clone() {
                    if let ComponentTypeRef::Component(_) = import?.ty {
                        self.hands_around |= nested;
                        self.name(0);
                    }
                    self.add(1);
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone() {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Component {
                        self.name(self.steps_of(0, export.index));
                    }
                    self.add(1);
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases.clone() {
                    self.alias(&alias?);
                }
            }
            Payload::ComponentCanonicalSection(functions) => self.add(functions.count().into()),
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    self.add(match instance? {
                        Instance::Instantiate { args, .. } => args.len() as u64 + 1,
                        Instance::FromExports(exports) => exports.len() as u64 + 1,
                    });
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances.clone() {
                    self.add(match instance? {
                        ComponentInstance::Instantiate { component_index, args } => {
                            self.steps_of(0, component_index).saturating_add(args.len() as u64 + 1)
                        }
                        ComponentInstance::FromExports(exports) => exports.len() as u64 + 1,
                    });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match alias {
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                self.name(self.steps_of(*count as usize, *index));
            }
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                self.hands_around = true;
                self.name(0);
            }
            _ => {}
        }
        self.add(1);
    }

    fn end(&mut self) {
        let Some(scope) = self.scopes.pop() else { return };
        match scope.encoding {
            Encoding::Component if self.scopes.is_empty() => self.total = scope.steps,
            Encoding::Component => self.name(scope.steps),
            Encoding::Module => {}
        }
    }

    fn add(&mut self, steps: u64) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.steps = scope.steps.saturating_add(steps);
        }
    }

    /// The innermost component can name one more, of so many steps.
    fn name(&mut self, steps: u64) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.components.push(steps);
        }
    }

    /// The steps of a component that one so far out can name. What names nothing is found when it is validated.
    fn steps_of(&self, out: usize, index: u32) -> u64 {
        let scope = self.scopes.len().checked_sub(out + 1).and_then(|scope| self.scopes.get(scope));
        scope.and_then(|scope| scope.components.get(index as usize)).copied().unwrap_or(0)
    }

    /// Why it is too much to do.
    pub(super) fn problem(&self) -> Option<String> {
        match self.total {
            _ if self.hands_around => Some("it hands components from one to another".to_owned()),
            MOST_STEPS.. => Some(format!("it takes {MOST_STEPS} steps and more to instantiate the component")),
            _ => None,
        }
    }
}

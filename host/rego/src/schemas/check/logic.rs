//! Schemas made of schemas: which of them have to hold.

use std::collections::BTreeMap;

use super::super::MEMBER_WORK;
use super::super::messages::{Path, Problem};
use super::super::schema::{Dependency, Logic, Objects, Place, Schema};
use super::{Checked, Checker, Outcome};
use crate::Value;

impl Checker<'_> {
    pub(super) fn logic(&self, schema: &Schema, value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        let logic = &schema.logic;
        self.any_of(&logic.any_of, value, path, outcome)?;
        self.one_of(&logic.one_of, value, path, outcome)?;
        self.all_of(&logic.all_of, value, path, outcome)?;
        self.not(logic.not, value, path, outcome)?;
        self.dependencies(&schema.objects, value, path, outcome)?;
        self.branches(logic, value, path, outcome)?;
        outcome.score += 1;
        Ok(())
    }

    fn not(&self, place: Option<Place>, value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        match place {
            Some(place) if self.apart(place, value, path)?.is_valid() => self.fail(outcome, path, &Problem::Not),
            _ => Ok(()),
        }
    }

    fn branches(&self, logic: &Logic, value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        let Some(condition) = logic.condition else { return Ok(()) };
        let (branch, problem) = match self.apart(condition, value, path)?.is_valid() {
            true => (logic.then, Problem::Then),
            false => (logic.otherwise, Problem::Else),
        };
        let Some(branch) = branch else { return Ok(()) };
        let other = self.apart(branch, value, path)?;
        if other.is_valid() {
            return Ok(());
        }
        self.fail(outcome, path, &problem)?;
        self.merge(outcome, other)
    }

    fn any_of(&self, places: &[Place], value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        if places.is_empty() {
            return Ok(());
        }
        let mut best = None;
        for place in places {
            let other = self.apart(*place, value, path)?;
            if other.is_valid() {
                return Ok(());
            }
            Outcome::keep_better(&mut best, other);
        }
        self.fail(outcome, path, &Problem::AnyOf)?;
        self.merge(outcome, best.unwrap_or_default())
    }

    fn one_of(&self, places: &[Place], value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        if places.is_empty() {
            return Ok(());
        }
        let (mut best, mut valid) = (None, 0);
        for place in places {
            let other = self.apart(*place, value, path)?;
            if other.is_valid() {
                valid += 1;
            } else if valid == 0 {
                Outcome::keep_better(&mut best, other);
            }
        }
        if valid != 1 {
            self.fail(outcome, path, &Problem::OneOf)?;
        }
        if valid == 0 {
            self.merge(outcome, best.unwrap_or_default())?;
        }
        Ok(())
    }

    fn all_of(&self, places: &[Place], value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        let mut all_valid = true;
        for place in places {
            let other = self.apart(*place, value, path)?;
            all_valid &= other.is_valid();
            self.merge(outcome, other)?;
        }
        if all_valid { Ok(()) } else { self.fail(outcome, path, &Problem::AllOf) }
    }

    fn dependencies(&self, objects: &Objects, value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        let Value::Object(members) = value else { return Ok(()) };
        if objects.dependencies.is_empty() {
            return Ok(());
        }
        for key in members.keys().filter_map(Value::as_str) {
            self.context.work(MEMBER_WORK + key.len() as u64)?;
            match objects.dependencies.get(key) {
                None => {}
                Some(Dependency::Schema(place)) => self.schema(*place, value, path, outcome)?,
                Some(Dependency::Names(names)) => self.needed(names, members, path, outcome)?,
            }
        }
        Ok(())
    }

    fn needed(
        &self,
        names: &[&str],
        members: &BTreeMap<Value, Value>,
        path: &Path,
        outcome: &mut Outcome,
    ) -> Checked {
        for name in names {
            if self.member(members, name)?.is_none() {
                self.fail(outcome, path, &Problem::Dependency(name))?;
            }
        }
        Ok(())
    }
}

//! What is in lists and objects.

use std::collections::{BTreeMap, HashMap};

use super::super::MEMBER_WORK;
use super::super::messages::{Path, Problem};
use super::super::schema::{Lists, Objects, Place, Rest};
use super::{Checked, Checker, Outcome};
use crate::Value;
use crate::marshal::compact_with_doubles;

impl Checker<'_> {
    pub(super) fn list(&self, lists: &Lists, members: &[Value], path: &Path, outcome: &mut Outcome) -> Checked {
        for (index, member) in members.iter().enumerate() {
            let Some(place) = lists.place(index) else { break };
            self.merged(place, member, &Path::Item(index, path), outcome)?;
        }
        self.list_alone(lists, members, path, outcome)?;
        if let Some(place) = lists.contains {
            self.contains(place, members, path, outcome)?;
        }
        outcome.score += 1;
        Ok(())
    }

    /// Checks by a schema whose failures are added.
    fn merged(&self, place: Place, value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        let other = self.apart(place, value, path)?;
        self.merge(outcome, other)
    }

    fn list_alone(&self, lists: &Lists, members: &[Value], path: &Path, outcome: &mut Outcome) -> Checked {
        let has_more = !lists.first.is_empty() && lists.first.len() < members.len();
        if has_more && matches!(lists.rest, Some(Rest::Allowed(false))) {
            self.fail(outcome, path, &Problem::AdditionalItems)?;
        }
        if let Some(fewest) = lists.fewest.filter(|fewest| members.len() < *fewest) {
            self.fail(outcome, path, &Problem::FewItems(fewest))?;
        }
        if let Some(most) = lists.most.filter(|most| members.len() > *most) {
            self.fail(outcome, path, &Problem::ManyItems(most))?;
        }
        if lists.unique { self.unique(members, path, outcome) } else { Ok(()) }
    }

    fn unique(&self, members: &[Value], path: &Path, outcome: &mut Outcome) -> Checked {
        let mut known = HashMap::new();
        for (place, member) in members.iter().enumerate() {
            let text = compact_with_doubles(self.context, member)?;
            self.context.work(MEMBER_WORK + 2 * text.len() as u64)?;
            if let Some(earlier) = known.insert(text, place) {
                self.fail(outcome, path, &Problem::Repeated(earlier, place))?;
            }
        }
        Ok(())
    }

    fn contains(&self, place: Place, members: &[Value], path: &Path, outcome: &mut Outcome) -> Checked {
        let mut best = None;
        for (index, member) in members.iter().enumerate() {
            let other = self.apart(place, member, &Path::Item(index, path))?;
            if other.is_valid() {
                return Ok(());
            }
            Outcome::keep_better(&mut best, other);
        }
        self.fail(outcome, path, &Problem::Contains)?;
        self.merge(outcome, best.unwrap_or_default())
    }

    pub(super) fn object(
        &self,
        objects: &Objects,
        members: &BTreeMap<Value, Value>,
        path: &Path,
        outcome: &mut Outcome,
    ) -> Checked {
        self.object_alone(objects, members, path, outcome)?;
        if !objects.patterns.is_empty() || objects.rest.is_some() {
            for (key, value) in members {
                let key = key.as_str().unwrap_or_default();
                self.unnamed(objects, key, value, path, outcome)?;
            }
        }
        if let Some(place) = objects.names {
            self.names(place, members, path, outcome)?;
        }
        outcome.score += 1;
        Ok(())
    }

    fn object_alone(
        &self,
        objects: &Objects,
        members: &BTreeMap<Value, Value>,
        path: &Path,
        outcome: &mut Outcome,
    ) -> Checked {
        if let Some(fewest) = objects.fewest.filter(|fewest| members.len() < *fewest) {
            self.fail(outcome, path, &Problem::FewProperties(fewest))?;
        }
        if let Some(most) = objects.most.filter(|most| members.len() > *most) {
            self.fail(outcome, path, &Problem::ManyProperties(most))?;
        }
        for name in &objects.required {
            match self.member(members, name)? {
                Some(_) => outcome.score += 1,
                None => self.fail(outcome, path, &Problem::Required(name))?,
            }
        }
        Ok(())
    }

    /// What patterns say of a member, and what is said of those that have neither a pattern nor a name in the schema.
    fn unnamed(&self, objects: &Objects, key: &str, value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        self.context.work(MEMBER_WORK + key.len() as u64)?;
        let mut matched = false;
        for (pattern, place) in &objects.patterns {
            if pattern.matches(self.context, key)? {
                matched = true;
                self.merged(*place, value, &Path::Member(key, path), outcome)?;
            }
        }
        outcome.score += i64::from(matched);
        match objects.rest {
            _ if matched || objects.properties.contains_key(key) => Ok(()),
            Some(Rest::Allowed(false)) => self.fail(outcome, path, &Problem::AdditionalProperty(key)),
            Some(Rest::Schema(place)) => self.merged(place, value, &Path::Member(key, path), outcome),
            _ => Ok(()),
        }
    }

    fn names(&self, place: Place, members: &BTreeMap<Value, Value>, path: &Path, outcome: &mut Outcome) -> Checked {
        for key in members.keys() {
            let other = self.apart(place, key, path)?;
            if !other.is_valid() {
                let name = key.as_str().unwrap_or_default();
                self.fail(outcome, path, &Problem::PropertyName(name))?;
                self.merge(outcome, other)?;
            }
        }
        Ok(())
    }

    pub(super) fn properties(
        &self,
        objects: &Objects,
        members: &BTreeMap<Value, Value>,
        path: &Path,
        outcome: &mut Outcome,
    ) -> Checked {
        for (name, place) in &objects.properties {
            if let Some(value) = self.member(members, name)? {
                self.schema(*place, value, &Path::Member(name, path), outcome)?;
            }
        }
        Ok(())
    }
}

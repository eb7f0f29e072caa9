//! From measures to tables: one per attribute and one per intersection, each with its groups.
//!
//! Anything that cannot be counted is an error that names its JSON pointer. A gate that judged the rest would let a
//! caller pass by leaving something out.

use std::collections::BTreeMap;

use weir_sdk::Measure;

use crate::stats::{MAX_PEOPLE, Share};

/// The groups of one attribute (`sex`) or of one intersection (`race&sex`), ordered by name.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) attributes: String,
    pub(crate) groups: Vec<Group>,
    /// Of all groups together.
    pub(crate) people: u64,
}

impl Table {
    /// How much of the table's data a group is.
    pub(crate) fn share(&self, group: &Group) -> f64 {
        group.selected.whole as f64 / self.people.max(1) as f64
    }
}

/// One group and what is known about it.
#[derive(Debug, PartialEq)]
pub(crate) struct Group {
    /// Canonical: an intersection's parts stand in the order of their attributes.
    pub(crate) name: String,
    /// Position of the measure that counts it.
    pub(crate) measure: usize,
    pub(crate) selected: Share,
    pub(crate) labels: Option<Labels>,
}

/// The confusion table of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) true_positives: u64,
    pub(crate) false_positives: u64,
    pub(crate) true_negatives: u64,
    pub(crate) false_negatives: u64,
}

impl Labels {
    fn selected(self) -> Share {
        let selected = self.true_positives + self.false_positives;
        Share::new(selected, selected + self.true_negatives + self.false_negatives)
    }
}

/// Sorts the measures into tables. Measures with other names belong to other policies and are skipped.
///
/// # Errors
///
/// Names the measure that is no count of people, repeats another or contradicts it, or the group that lacks one.
pub(crate) fn tables(measures: &[Measure]) -> Result<Vec<Table>, String> {
    let mut tables: BTreeMap<String, BTreeMap<String, Cells>> = BTreeMap::new();
    for (index, measure) in measures.iter().enumerate() {
        let Some(kind) = NAMES.iter().position(|name| *name == measure.name) else {
            continue;
        };
        let (attributes, name) =
            canonical(&measure.group).map_err(|problem| format!("/measures/{index}/group: {problem}"))?;
        let share = count(measure).map_err(|problem| format!("/measures/{index}: {problem}"))?;
        let cells = tables.entry(attributes).or_default().entry(name).or_default();
        if let Some((earlier, _)) = &cells[kind] {
            let (name, group) = (&measure.name, &measure.group);
            return Err(format!(
                "/measures/{index}: `{name}` of group `{group}` was already given at /measures/{earlier}"
            ));
        }
        cells[kind] = Some((index, share));
    }
    if tables.is_empty() {
        let message = "the request has no measure named `selected` (or `tp`, `fp`, `tn`, `fn`)";
        return Err(message.to_owned());
    }
    tables.into_iter().map(|(attributes, groups)| table(attributes, groups)).collect()
}

/// The names of the measures that are read.
const NAMES: [&str; 5] = ["selected", "tp", "fp", "tn", "fn"];

/// What was given for one group, in the order of `NAMES`, each with the position of its measure.
type Cells = [Option<Cell>; NAMES.len()];
type Cell = (usize, Share);

fn table(attributes: String, groups: BTreeMap<String, Cells>) -> Result<Table, String> {
    let groups = groups.into_iter().map(|(name, cells)| group(name, cells));
    let groups: Vec<Group> = groups.collect::<Result<_, String>>()?;
    let labelled = groups.iter().find(|group| group.labels.is_some());
    let bare = groups.iter().find(|group| group.labels.is_none());
    match (labelled, bare) {
        (Some(labelled), Some(bare)) => Err(format!(
            "/measures/{}: group `{}` has no `tp`, `fp`, `tn`, `fn`, but group `{}` has",
            bare.measure, bare.name, labelled.name
        )),
        _ => {
            let people = groups.iter().map(|group| group.selected.whole).sum();
            Ok(Table { attributes, groups, people })
        }
    }
}

fn group(name: String, [selected, labels @ ..]: Cells) -> Result<Group, String> {
    let given = labels.iter().flatten().next().copied();
    let labels = match labels {
        [Some(tp), Some(fp), Some(tn), Some(fn_)] => Some(confusion(&name, [tp, fp, tn, fn_])?),
        _ => None,
    };
    let (measure, selected) = match (selected, given, labels) {
        (_, Some((measure, _)), None) => {
            let all = "needs all of `tp`, `fp`, `tn`, `fn`, or none";
            return Err(format!("/measures/{measure}: group `{name}` {all}"));
        }
        (Some(selected), _, Some(labels)) => agree(&name, selected, labels.selected())?,
        (Some(selected), _, None) => selected,
        (None, Some((measure, _)), Some(labels)) => (measure, labels.selected()),
        (None, None, _) => return Err(format!("group `{name}` has no measure")),
    };
    Ok(Group { name, measure, selected, labels })
}

/// Labels often exist for a part of a group only. That part has no more selected and no more rejected than the whole.
fn agree(name: &str, (measure, selected): Cell, labelled: Share) -> Result<Cell, String> {
    let rejected = |share: Share| share.whole - share.part;
    if labelled.part > selected.part || rejected(labelled) > rejected(selected) {
        return Err(format!(
            "/measures/{measure}: {} of {} are selected in group `{name}`, but `tp` and `fp` say {} of {}",
            selected.part, selected.whole, labelled.part, labelled.whole
        ));
    }
    Ok((measure, selected))
}

/// Checks that the four cells add up to the number of people that each of them states.
fn confusion(name: &str, cells: [Cell; 4]) -> Result<Labels, String> {
    let [tp, fp, tn, fn_] = cells.map(|(_, share)| share.part);
    let people = tp + fp + tn + fn_;
    match cells.iter().find(|(_, share)| share.whole != people) {
        Some((measure, share)) => Err(format!(
            "/measures/{measure}/count: {} people in group `{name}`, but its `tp`, `fp`, `tn`, `fn` add up to {people}",
            share.whole
        )),
        None => Ok(Labels { true_positives: tp, false_positives: fp, true_negatives: tn, false_negatives: fn_ }),
    }
}

/// Reads a measure as so many people of a group.
fn count(measure: &Measure) -> Result<Share, String> {
    let Measure { name, value, count, .. } = measure;
    if *count == 0 {
        return Err("`count` is 0: an empty group has no rate, leave it out".to_owned());
    }
    if *count > MAX_PEOPLE {
        return Err(format!("`count` is {count}, more than {MAX_PEOPLE} are not supported"));
    }
    // Written so that NaN is refused, too.
    if !(*value >= 0.0 && value.fract() == 0.0) {
        return Err(format!("`{name}` is {value}, but counts people: a whole number, 0 or more"));
    }
    if *value > *count as f64 {
        return Err(format!("`{name}` is {value}, more than the {count} people of the group"));
    }
    Ok(Share::new(*value as u64, *count))
}

/// Splits `sex=f&race=b` into its attributes `race&sex` and its canonical name `race=b&sex=f`.
fn canonical(group: &str) -> Result<(String, String), String> {
    let mut parts = Vec::new();
    for part in group.split('&') {
        match part.split_once('=') {
            Some((attribute, value)) if !value.trim().is_empty() => {
                parts.push([attribute.trim(), value.trim()]);
            }
            _ => {
                let grammar = "write `attribute=value`, joined by `&` where they intersect";
                return Err(format!("`{group}` is no group: {grammar}"));
            }
        }
    }
    parts.sort_unstable();
    let attributes: Vec<&str> = parts.iter().map(|[attribute, _]| *attribute).collect();
    let names: Vec<String> = parts.iter().map(|part| part.join("=")).collect();
    Ok((attribute_set(&attributes.join("&"))?, names.join("&")))
}

/// The canonical spelling of an attribute or an intersection of attributes.
///
/// # Errors
///
/// Says which attribute is repeated or is no name.
pub(crate) fn attribute_set(text: &str) -> Result<String, String> {
    let mut attributes: Vec<&str> = text.split('&').map(str::trim).collect();
    attributes.sort_unstable();
    for attribute in &attributes {
        // `age>=40` would silently become the attribute `age>` with the value `40`.
        if attribute.is_empty() || attribute.contains(['=', '<', '>', '!', '*']) {
            return Err(format!("`{attribute}` is no attribute name (`{text}`); name bands like `age=40+`"));
        }
    }
    match attributes.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("attribute `{}` is repeated in `{text}`", pair[0])),
        None => Ok(attributes.join("&")),
    }
}

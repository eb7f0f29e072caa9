//! What a component is given of a request: the record of the interface as it lies in a memory, with places in place of addresses.
//!
//! ```text
//! 0        136        136 + 20 p             8-aligned            + 32 m
//! ├ request ┼ p parts of content ┼ m measures ┼ texts, one after another
//! ```
//!
//! A text or list is where it begins and how long it is, two numbers of 32 bits. So nothing is escaped, and nothing has to be
//! parsed again: it is written once for all components that read the same parts of a request. What is not read is an empty
//! text, an empty list, `{}` for objects, `null` for the payload.

use std::borrow::Cow;

use super::types::{Action, Entity, Measure, Origin, Part, Request};
use crate::json::Value;
use crate::reads::{Reads, Seen};
use crate::system::Case;

/// Places in the record.
const ID: usize = 0;
const CHECKPOINT: usize = 8;
const TENANT: usize = 16;
const SYSTEM: usize = 24;
const TIME: usize = 32;
const SUBJECT: usize = 40;
const ACTION: usize = 64;
const RESOURCE: usize = 80;
const CONTEXT: usize = 104;
const CONTENT: usize = 112;
const MEASURES: usize = 120;
const PAYLOAD: usize = 128;
const REQUEST_BYTES: usize = 136;
/// Places in an entity; those of an action are the first two.
const KIND: usize = 0;
const NAME: usize = 8;
const PROPERTIES: usize = 16;
/// Places in a part.
const ROLE: usize = 0;
const ORIGIN: usize = 8;
const TEXT: usize = 12;
const PART_BYTES: usize = 20;
/// Places in a measure, behind its name.
const GROUP: usize = 8;
const VALUE: usize = 16;
const COUNT: usize = 24;
const MEASURE_BYTES: usize = 32;

/// An object nothing is known of.
const NOTHING: &str = "{}";

/// Writes what a policy with these reads is given.
pub(crate) fn write(reads: &Reads, case: &Case<'_>) -> Vec<u8> {
    let request = case.request;
    let [.., subject, action, resource, context, content, measures, payload] = request.fields();
    let (parts, counted) = (items(reads.seen("content", content)), items(reads.seen("measures", measures)));
    let mut out = Image { bytes: Vec::with_capacity(REQUEST_BYTES + 8 + request.json().len() + 160) };
    out.bytes.resize(REQUEST_BYTES, 0);
    let parts_at = out.room(CONTENT, parts.len(), PART_BYTES);
    let counted_at = out.room(MEASURES, counted.len(), MEASURE_BYTES);

    let settled = [
        (ID, "id", request.id()),
        (CHECKPOINT, "checkpoint", request.checkpoint()),
        (TENANT, "tenant", request.tenant()),
        (SYSTEM, "system", request.system().unwrap_or_default()),
    ];
    settled.iter().filter(|(_, field, _)| reads.has(field)).for_each(|(at, _, text)| out.text(*at, text));
    if reads.has("time") {
        let millis = u64::try_from(request.time().as_millisecond()).unwrap_or(0);
        out.put(TIME, &millis.to_le_bytes());
    }
    out.members(SUBJECT, reads.seen("subject", subject), ["type", "id"]);
    out.members(ACTION, reads.seen("action", action), ["name"]);
    out.members(RESOURCE, reads.seen("resource", resource), ["type", "id"]);
    out.text(CONTEXT, &reads.context(case, context).unwrap_or(Cow::Borrowed(NOTHING)));
    parts.into_iter().zip(0..).for_each(|(part, index)| out.part(parts_at + index * PART_BYTES, part));
    counted
        .into_iter()
        .zip(0..)
        .for_each(|(measure, index)| out.measure(counted_at + index * MEASURE_BYTES, measure));
    out.text(PAYLOAD, &reads.seen("payload", payload).map_or(Cow::Borrowed("null"), Seen::json));
    out.bytes
}

fn items(seen: Option<Seen<'_>>) -> Vec<Value<'_>> {
    seen.into_iter().flat_map(|seen| seen.value().items()).collect()
}

/// An image under construction.
struct Image {
    bytes: Vec<u8>,
}

impl Image {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Notes at `at` where something is, and how much of it.
    fn pair(&mut self, at: usize, (start, length): (usize, usize)) {
        // What is longer than 4 GiB is found nowhere by whoever reads it.
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let pair = u64::from(number(start)) | u64::from(number(length)) << 32;
        self.put(at, &pair.to_le_bytes());
    }

    fn text(&mut self, at: usize, text: &str) {
        self.pair(at, (self.bytes.len(), text.len()));
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Room for a list, noted at `at`; the answer is where it begins.
    fn room(&mut self, at: usize, count: usize, each: usize) -> usize {
        let start = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(start + count * each, 0);
        self.pair(at, (start, count));
        start
    }

    /// The members of an entity or an action: some texts, in this order, and the properties behind them.
    fn members<const N: usize>(&mut self, at: usize, seen: Option<Seen<'_>>, texts: [&str; N]) {
        let properties = at + N * 8;
        self.text(properties, NOTHING);
        for (key, seen) in seen.into_iter().flat_map(Seen::members) {
            match texts.iter().position(|text| *text == key) {
                Some(place) => self.text(at + place * 8, &seen.value().as_text().unwrap_or_default()),
                None => self.text(properties, &seen.json()),
            }
        }
    }

    fn part(&mut self, at: usize, part: Value<'_>) {
        self.put(at + ORIGIN, &[Origin::default() as u8]);
        for (key, value) in part.members() {
            let text = value.as_text().unwrap_or_default();
            match &*key {
                "role" => self.text(at + ROLE, &text),
                "text" => self.text(at + TEXT, &text),
                _ => self.put(at + ORIGIN, &[Origin::named(&text) as u8]),
            }
        }
    }

    fn measure(&mut self, at: usize, measure: Value<'_>) {
        for (key, value) in measure.members() {
            match &*key {
                "value" => self.put(at + VALUE, &value.raw().parse().unwrap_or(0.0_f64).to_le_bytes()),
                "count" => self.put(at + COUNT, &value.raw().parse().unwrap_or(0_u64).to_le_bytes()),
                "group" => self.text(at + GROUP, &value.as_text().unwrap_or_default()),
                _ => self.text(at, &value.as_text().unwrap_or_default()),
            }
        }
    }
}

/// What [`write`] has written, in the types of the interface; none where it has not.
pub(super) fn read(image: &[u8]) -> Option<Request<'_>> {
    let image = Read(image);
    let entity = |at| {
        Some(Entity {
            kind: image.text(at + KIND)?,
            id: image.text(at + NAME)?,
            properties: image.text(at + PROPERTIES)?,
        })
    };
    let part = |at| {
        let origin = Origin::ALL.get(usize::from(image.bytes::<1>(at + ORIGIN)?[0]))?;
        Some(Part { role: image.text(at + ROLE)?, origin: *origin, text: image.text(at + TEXT)? })
    };
    let measure = |at| {
        let (value, count) =
            (f64::from_le_bytes(image.bytes(at + VALUE)?), u64::from_le_bytes(image.bytes(at + COUNT)?));
        Some(Measure { name: image.text(at)?, group: image.text(at + GROUP)?, value, count })
    };
    Some(Request {
        id: image.text(ID)?,
        checkpoint: image.text(CHECKPOINT)?,
        tenant: image.text(TENANT)?,
        system: image.text(SYSTEM)?,
        time_ms: u64::from_le_bytes(image.bytes(TIME)?),
        subject: entity(SUBJECT)?,
        action: Action { name: image.text(ACTION)?, properties: image.text(ACTION + 8)? },
        resource: entity(RESOURCE)?,
        context: image.text(CONTEXT)?,
        content: image.list(CONTENT, PART_BYTES, part)?,
        measures: image.list(MEASURES, MEASURE_BYTES, measure)?,
        payload: image.text(PAYLOAD)?,
    })
}

/// An image that is read.
#[derive(Clone, Copy)]
struct Read<'a>(&'a [u8]);

impl<'a> Read<'a> {
    fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    fn pair(self, at: usize) -> Option<(usize, usize)> {
        let pair = u64::from_le_bytes(self.bytes(at)?);
        Some((pair as u32 as usize, (pair >> 32) as usize))
    }

    fn text(self, at: usize) -> Option<&'a str> {
        let (start, length) = self.pair(at)?;
        std::str::from_utf8(self.0.get(start..)?.get(..length)?).ok()
    }

    fn list<T>(self, at: usize, each: usize, item: impl Fn(usize) -> Option<T>) -> Option<Vec<T>> {
        let (start, count) = self.pair(at)?;
        (0..count).map(|index| item(start + index * each)).collect()
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::component::ComponentType;

    use super::*;
    use crate::set::System;
    use crate::system::RegisteredContext;

    const FULL: &str = r#"{"id":"r","checkpoint":"a.b","system":"s","time":"2026-01-01T00:00:00.5Z",
        "subject":{"id":"b\u00fc","type":"agent","properties":{"n":1.0, "drop":[]}},"action":{"name":"n"},
        "context":{"region":"eu","role":"boss"},"payload":{"n":1.230,"m":2},
        "content":[{"text":"a\u00fc"},{"role":"user","origin":"user","text":"b"}],
        "measures":[{"name":"m","value":0.5,"count":18446744073709551615}]}"#;

    fn given(json: &str, pointers: &[&str], registered: bool, check: impl FnOnce(Request<'_>)) {
        let request = crate::request::Request::parse(json.as_bytes()).unwrap().reproducible();
        let system = System { deployed_in: vec!["DE".into()], role: Some("deployer".into()), ..System::default() };
        let context = RegisteredContext::new(&system);
        let case = Case { request: &request, system: registered.then_some(&context) };
        let pointers: Vec<String> = pointers.iter().map(|p| (*p).to_owned()).collect();
        let reads = if pointers.is_empty() { Reads::default() } else { Reads::parse(&pointers).unwrap() };
        check(read(&write(&reads, &case)).unwrap());
    }

    #[test]
    fn the_places_are_those_of_the_canonical_abi() {
        assert_eq!(<Request<'_> as ComponentType>::SIZE32, REQUEST_BYTES);
        assert_eq!(<Part<'_> as ComponentType>::SIZE32, PART_BYTES);
        assert_eq!(<Measure<'_> as ComponentType>::SIZE32, MEASURE_BYTES);
        let last = (PAYLOAD + 8, TEXT + 8, COUNT + 8, SUBJECT + PROPERTIES + 8, RESOURCE + PROPERTIES + 8);
        assert_eq!(last, (REQUEST_BYTES, PART_BYTES, MEASURE_BYTES, ACTION, CONTEXT));
    }

    #[test]
    fn what_is_missing_is_empty() {
        given(r#"{"checkpoint":"a"}"#, &["/payload", "/subject", "/context"], false, |request| {
            assert_eq!((request.id, request.checkpoint, request.time_ms), ("", "", 0));
            assert_eq!((request.context, request.payload), ("{}", "null"));
            assert!(
                request.content.is_empty() && request.subject.properties == "{}" && request.subject.id.is_empty()
            );
        });
    }

    #[test]
    fn a_request_keeps_its_digits_and_its_texts() {
        given(FULL, &[], false, |request| {
            assert_eq!(
                (request.id, request.checkpoint, request.tenant, request.system),
                ("r", "a.b", "default", "s")
            );
            assert_eq!((request.payload, request.time_ms), (r#"{"n":1.230,"m":2}"#, 1_767_225_600_500));
            let Entity { kind, id, properties } = request.subject;
            assert_eq!((kind, id, properties), ("agent", "bü", r#"{"n":1.0, "drop":[]}"#));
            assert_eq!((request.action.name, request.action.properties, request.resource.kind), ("n", "{}", ""));
            assert_eq!(request.context, r#"{"region":"eu","role":"boss"}"#);
            assert_eq!((request.content[0].role, request.content[0].text, request.content[1].text), ("", "aü", "b"));
            assert!(matches!(request.content[0].origin, Origin::Retrieved));
            assert!(matches!(request.content[1].origin, Origin::User));
            let Measure { name, group, value, count } = request.measures[0];
            assert_eq!((name, group, value, count), ("m", "", 0.5, u64::MAX));
        });
    }

    #[test]
    fn only_what_is_read_is_given() {
        let pointers = ["/subject/properties/n", "/context/role", "/payload/n", "/action/name/deeper"];
        given(FULL, &pointers, true, |request| {
            assert_eq!((request.id, request.checkpoint, request.time_ms), ("", "", 0));
            assert_eq!((request.subject.kind, request.subject.properties), ("", r#"{"n":1.0}"#));
            assert_eq!((request.action.name, request.context), ("", r#"{"role":"deployer"}"#));
            assert_eq!((request.payload, request.content.len(), request.measures.len()), (r#"{"n":1.230}"#, 0, 0));
        });
    }

    #[test]
    fn an_image_that_is_none_is_refused() {
        let request = crate::request::Request::parse(FULL.as_bytes()).unwrap();
        let image = write(&Reads::default(), &Case { request: &request, system: None });
        assert!((0..image.len()).all(|length| read(&image[..length]).is_none()));
        assert!(read(&[0xff; 200]).is_none());
    }
}

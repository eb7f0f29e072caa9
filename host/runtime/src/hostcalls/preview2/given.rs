//! What a component gives a function of WASI, whose types are the component's own word: how large it may become in the host,
//! and what it costs.

use wasmtime::component::Val;
use wasmtime::component::types::{ComponentFunc, Type};

/// Most parts of a function's parameters, lists aside: more than any function of WASI has.
const MOST_PARTS: u32 = 1_000;

/// Why a function cannot be called with what its type says.
pub(super) fn check(function: &ComponentFunc) -> Result<(), &'static str> {
    let mut left = MOST_PARTS;
    function.params().try_for_each(|(_, ty)| part(&ty, false, &mut left))
}

fn part(ty: &Type, in_list: bool, left: &mut u32) -> Result<(), &'static str> {
    *left = left.checked_sub(1).ok_or("takes more than any function of WASI does")?;
    let mut more = |ty: Type| part(&ty, in_list, left);
    match ty {
        // A byte of the guest's would be hundreds of the host's, since it names each of them.
        Type::Flags(_) if in_list => Err("takes lists of flags, which no function of WASI does"),
        Type::List(list) => part(&list.ty(), true, left),
        Type::Record(record) => record.fields().try_for_each(|field| more(field.ty)),
        Type::Tuple(tuple) => tuple.types().try_for_each(more),
        Type::Variant(variant) => variant.cases().filter_map(|case| case.ty).try_for_each(more),
        Type::Option(option) => more(option.ty()),
        Type::Result(result) => result.ok().into_iter().chain(result.err()).try_for_each(more),
        _ => Ok(()),
    }
}

/// What it costs to be given this.
pub(super) fn weight(value: &Val) -> usize {
    match value {
        Val::String(text) => text.len(),
        // Bytes have nothing in them.
        Val::List(items) if matches!(items.first(), Some(Val::U8(_))) => items.len(),
        Val::List(items) => items.len() + items.iter().map(weight).sum::<usize>(),
        Val::Tuple(items) => items.iter().map(weight).sum(),
        Val::Record(fields) => fields.iter().map(|(_, field)| weight(field)).sum(),
        Val::Variant(_, Some(inner)) | Val::Option(Some(inner)) | Val::Result(Ok(Some(inner)) | Err(Some(inner))) => {
            weight(inner)
        }
        _ => 0,
    }
}

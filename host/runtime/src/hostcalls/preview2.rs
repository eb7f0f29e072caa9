//! The stand-in for WASI preview 2: what the toolchains of large languages import, answered from the request alone.
//!
//! ```text
//! clocks   request.time, 1 us later at each reading; sleeping moves it on and returns at once
//! random   seeded by the request's id
//! stdout, stderr   lines for the log; the last of stderr says why a guest that then traps could not judge
//! arguments, environment, stdin, folders   empty
//! files, sockets   can be imported, since such toolchains import them always, but not called: a refused host call, by name
//! ```

mod given;

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Linker, ResourceDynamic, ResourceType, Val};
use wasmtime::{StoreContextMut, Trap};

use super::wasi::{STDERR, STDOUT};
use super::{HostSide, admit, pay, refused};

/// Interfaces that can be imported, by package; of others there is nothing.
const INTERFACES: [(&str, &[&str]); 6] = [
    (
        "cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("clocks", &["monotonic-clock", "wall-clock"]),
    ("filesystem", &["preopens", "types"]),
    ("io", &["error", "poll", "streams"]),
    ("random", &["insecure", "insecure-seed", "random"]),
    (
        "sockets",
        &["instance-network", "ip-name-lookup", "network", "tcp", "tcp-create-socket", "udp", "udp-create-socket"],
    ),
];
/// Packages of which every function is answered.
const ANSWERED: [&str; 3] = ["wasi:cli/", "wasi:clocks/", "wasi:random/"];
/// Versions of them that mean the same.
const VERSION: &str = "0.2.";
/// Most bytes one call may ask for, of random numbers or for printing: what guests' own libraries take at once.
const AT_ONCE: u64 = 64 << 10;

/// Whether an import, as `namespace:package/interface@version`, is one of these.
pub(crate) fn has(import: &str) -> bool {
    let known = || {
        let (name, version) = import.strip_prefix("wasi:")?.split_once('@')?;
        let (package, interface) = name.split_once('/')?;
        let (_, interfaces) = INTERFACES.iter().find(|(known, _)| *known == package)?;
        Some(version.starts_with(VERSION) && interfaces.contains(&interface))
    };
    known().unwrap_or(false)
}

type Cx<'a> = StoreContextMut<'a, HostSide>;
type Answer = fn(&mut Cx<'_>, &Asked<'_>) -> wasmtime::Result<Option<Val>>;

/// What a function was given, with what its handles stand for.
struct Asked<'a> {
    given: &'a [Val],
    handles: Vec<u32>,
}

/// Defines what a component imports of WASI; false where that is nothing.
pub(crate) fn link(linker: &mut Linker<HostSide>, component: &Component) -> wasmtime::Result<bool> {
    let engine = component.engine().clone();
    let mut found = false;
    for (import, of) in component.component_type().imports(&engine).filter(|(import, _)| has(import)) {
        let ComponentItem::ComponentInstance(interface) = of.ty else { continue };
        found = true;
        let mut instance = linker.instance(import)?;
        let short = import.split('@').next().unwrap_or(import);
        for (name, of) in interface.exports(&engine) {
            match of.ty {
                ComponentItem::Resource(_) => {
                    instance.resource(name, ResourceType::host_dynamic(kind(name)), |_, _| Ok(()))?;
                }
                ComponentItem::ComponentFunc(function) => {
                    let name_of = format!("{short}.{name}");
                    let answer = answer(&name_of);
                    let known = match answer {
                        None if ANSWERED.iter().any(|package| name_of.starts_with(package)) => {
                            Err("is not of WASI 0.2")
                        }
                        _ => given::check(&function),
                    };
                    known.map_err(|why| wasmtime::Error::msg(format!("`{name_of}` {why}")))?;
                    instance.func_new(name, move |cx, _: ComponentFunc, given, said| {
                        call(cx, &name_of, answer, given, said)
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Resources of one name are of one type, whichever interface names them.
fn kind(resource: &str) -> u32 {
    // FNV-1a.
    resource.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn call(mut cx: Cx<'_>, name: &str, answer: Option<Answer>, given: &[Val], said: &mut [Val]) -> wasmtime::Result<()> {
    let weight = given.iter().map(given::weight).sum();
    if name.starts_with("wasi:io/") {
        pay(&mut cx, weight)?
    } else {
        admit(&mut cx, weight)?
    }
    let Some(answer) = answer else {
        let why = match name.starts_with("wasi:filesystem/") || name.starts_with("wasi:sockets/") {
            true => "a policy has no files, no sockets and no network",
            false => "there is no such function for a policy",
        };
        return Err(refused(&format!("`{name}`: {why}")));
    };
    let handles = handles(&mut cx, given)?;
    if let (Some(value), Some(place)) = (answer(&mut cx, &Asked { given, handles })?, said.first_mut()) {
        *place = value;
    }
    Ok(())
}

/// What the handles among some values stand for. All of them are taken: none may be left with the host after a call.
fn handles(cx: &mut Cx<'_>, given: &[Val]) -> wasmtime::Result<Vec<u32>> {
    let mut found = Vec::new();
    for value in given {
        match value {
            Val::Resource(handle) => {
                found.push(ResourceDynamic::try_from_resource_any(*handle, &mut *cx)?.rep());
            }
            // A list of handles has nothing else in it.
            Val::List(items) if matches!(items.first(), Some(Val::Resource(_))) => found.extend(handles(cx, items)?),
            _ => {}
        }
    }
    Ok(found)
}

/// What answers a function; none where nothing does.
fn answer(name: &str) -> Option<Answer> {
    command_line(name).or_else(|| streams(name)).or_else(|| clocks(name)).or_else(|| random(name))
}

/// Nothing was given to it, and there is no folder and no terminal.
fn command_line(name: &str) -> Option<Answer> {
    Some(match name {
        "wasi:cli/environment.get-environment"
        | "wasi:cli/environment.get-arguments"
        | "wasi:filesystem/preopens.get-directories" => |_, _| Ok(Some(Val::List(Vec::new()))),
        "wasi:cli/environment.initial-cwd"
        | "wasi:cli/terminal-stdin.get-terminal-stdin"
        | "wasi:cli/terminal-stdout.get-terminal-stdout"
        | "wasi:cli/terminal-stderr.get-terminal-stderr"
        | "wasi:filesystem/types.filesystem-error-code" => |_, _| Ok(Some(Val::Option(None))),
        // Ending itself is no answer: what it said last is the reason.
        "wasi:cli/exit.exit" | "wasi:cli/exit.exit-with-code" => |_, _| Err(Trap::UnreachableCodeReached.into()),
        "wasi:cli/stdin.get-stdin" => |cx, _| resource(cx, "input-stream", 0),
        "wasi:cli/stdout.get-stdout" => |cx, _| resource(cx, "output-stream", STDOUT as u32),
        "wasi:cli/stderr.get-stderr" => |cx, _| resource(cx, "output-stream", STDERR as u32),
        _ => return None,
    })
}

fn streams(name: &str) -> Option<Answer> {
    Some(match name.strip_prefix("wasi:io/")? {
        "streams.[method]input-stream.read"
        | "streams.[method]input-stream.blocking-read"
        | "streams.[method]input-stream.skip"
        | "streams.[method]input-stream.blocking-skip" => {
            |_, _| Ok(Some(Val::Result(Err(Some(Box::new(Val::Variant("closed".to_owned(), None)))))))
        }
        "streams.[method]input-stream.subscribe" | "streams.[method]output-stream.subscribe" => {
            |cx, _| resource(cx, "pollable", 0)
        }
        "streams.[method]output-stream.check-write" => |_, _| Ok(Some(ok(Some(Val::U64(AT_ONCE))))),
        "streams.[method]output-stream.write" | "streams.[method]output-stream.blocking-write-and-flush" => print,
        "streams.[method]output-stream.flush" | "streams.[method]output-stream.blocking-flush" => {
            |_, _| Ok(Some(ok(None)))
        }
        "error.[method]error.to-debug-string" => |_, _| Ok(Some(Val::String("closed".to_owned()))),
        // Whatever is waited for has come: the clock moved on when somebody began to wait.
        "poll.[method]pollable.ready" => |_, _| Ok(Some(Val::Bool(true))),
        "poll.[method]pollable.block" => |_, _| Ok(None),
        "poll.poll" => |_, asked| Ok(Some(Val::List((0..asked.handles.len() as u32).map(Val::U32).collect()))),
        _ => return None,
    })
}

fn clocks(name: &str) -> Option<Answer> {
    Some(match name.strip_prefix("wasi:clocks/")? {
        "monotonic-clock.now" => |cx, _| Ok(Some(Val::U64(now(cx, 0)))),
        "monotonic-clock.resolution" => |_, _| Ok(Some(Val::U64(1_000))),
        "monotonic-clock.subscribe-duration" => |cx, asked| {
            now(cx, number(asked));
            resource(cx, "pollable", 0)
        },
        "monotonic-clock.subscribe-instant" => |cx, asked| {
            let at = now(cx, 0);
            now(cx, number(asked).saturating_sub(at));
            resource(cx, "pollable", 0)
        },
        "wall-clock.now" => |cx, _| {
            let nanos = now(cx, 0);
            Ok(Some(datetime(nanos / 1_000_000_000, (nanos % 1_000_000_000) as u32)))
        },
        "wall-clock.resolution" => |_, _| Ok(Some(datetime(0, 1_000))),
        _ => return None,
    })
}

fn random(name: &str) -> Option<Answer> {
    Some(match name.strip_prefix("wasi:random/")? {
        "random.get-random-u64" | "insecure.get-insecure-random-u64" => {
            |cx, _| Ok(Some(Val::U64(cx.data_mut().world.random())))
        }
        "random.get-random-bytes" | "insecure.get-insecure-random-bytes" => random_bytes,
        "insecure-seed.insecure-seed" => |cx, _| {
            let world = &mut cx.data_mut().world;
            Ok(Some(Val::Tuple(vec![Val::U64(world.random()), Val::U64(world.random())])))
        },
        _ => return None,
    })
}

fn ok(value: Option<Val>) -> Val {
    Val::Result(Ok(value.map(Box::new)))
}

fn datetime(seconds: u64, nanoseconds: u32) -> Val {
    let fields = [("seconds", Val::U64(seconds)), ("nanoseconds", Val::U32(nanoseconds))];
    Val::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn resource(cx: &mut Cx<'_>, name: &str, number: u32) -> wasmtime::Result<Option<Val>> {
    let own = ResourceDynamic::new_own(number, kind(name));
    Ok(Some(Val::Resource(own.try_into_resource_any(cx)?)))
}

/// Moves the clock on; nanoseconds since 1970.
fn now(cx: &mut Cx<'_>, advance: u64) -> u64 {
    let nanos = cx.data_mut().world.now(i64::try_from(advance).unwrap_or(i64::MAX));
    u64::try_from(nanos).unwrap_or(0)
}

fn number(asked: &Asked<'_>) -> u64 {
    match asked.given.first() {
        Some(Val::U64(number)) => *number,
        _ => 0,
    }
}

fn print(cx: &mut Cx<'_>, asked: &Asked<'_>) -> wasmtime::Result<Option<Val>> {
    if let ([stream], [_, Val::List(bytes)]) = (&asked.handles[..], asked.given) {
        if bytes.len() as u64 > AT_ONCE {
            return Err(refused(&format!("{} bytes printed at once, the most is {AT_ONCE}", bytes.len())));
        }
        let byte = |value: &Val| if let Val::U8(byte) = value { Some(*byte) } else { None };
        let bytes: Vec<u8> = bytes.iter().filter_map(byte).collect();
        cx.data_mut().print(*stream as i32, &bytes);
    }
    Ok(Some(ok(None)))
}

fn random_bytes(cx: &mut Cx<'_>, asked: &Asked<'_>) -> wasmtime::Result<Option<Val>> {
    let wanted = number(asked);
    if wanted > AT_ONCE {
        return Err(refused(&format!("{wanted} random bytes at once, the most is {AT_ONCE}")));
    }
    admit(cx, wanted as usize)?;
    let world = &mut cx.data_mut().world;
    let numbers = std::iter::repeat_with(|| world.random().to_le_bytes());
    Ok(Some(Val::List(numbers.flatten().take(wanted as usize).map(Val::U8).collect())))
}

#[cfg(test)]
mod tests {
    use super::has;

    #[test]
    fn only_what_is_there_can_be_imported() {
        for import in ["wasi:random/random@0.2.0", "wasi:io/streams@0.2.12", "wasi:sockets/tcp@0.2.3"] {
            assert!(has(import), "{import}");
        }
        for import in [
            "wasi:random/nothing@0.2.0",
            "wasi:random/random",
            "wasi:random/random@0.3.0",
            "wasi:random/random@1.0.2.0",
            "wasi:http/types@0.2.0",
            "wasi:random@0.2.0",
            "other:random/random@0.2.0",
        ] {
            assert!(!has(import), "{import}");
        }
    }
}

//! Compiling in a child that the kernel bounds: both ends of the conversation.
//!
//! ```text
//! host  ─ stdin:  magic, limits, name of the engine, Wasm ─►  child: limits itself, then reads, compiles
//!       ◄ stdout: processor time, peak memory, machine code ─
//!       ◄ stderr: why not, and an exit code
//! ```
//!
//! The child is the host's own program, so it can be trusted to bound itself before it looks at a byte of the module:
//! `RLIMIT_CPU` and `RLIMIT_DATA`, first to go when memory runs out, one thread, and the lowest priority while its host judges.
//! It has no environment, no other files, and dies with the thread that waits for it. The clock is the host's.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal};
use rustix::time::{ClockId, clock_gettime};

use crate::engine;
use crate::inspect::LARGEST_SNAPSHOT;
use crate::text::one_line;

/// The subcommand a program must have to be a compiler.
const SUBCOMMAND: &str = "compile-worker";
const MAGIC: &[u8; 8] = b"weir-cw1";
/// Largest answer: machine code is about three times its Wasm.
const LARGEST_CODE: u64 = 256 << 20;
/// Longest explanation that is read.
const LONGEST_WHY: u64 = 4 << 10;

/// The module cannot be compiled.
const REFUSED: u8 = 1;
/// The host and the child do not understand each other, or the child cannot bound itself.
const UNFIT: u8 = 4;

/// What compiling one module may cost a child; what is larger than 8 MiB, as components can be, may take as many times as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Time on a processor, in whole seconds; default 20 s. The largest module allowed takes about 15 s.
    pub cpu: Duration,
    /// Bytes of data memory; default 1 GiB.
    pub memory_bytes: u64,
    /// Time on the clock; default 120 s, since a child runs only where nobody else wants to.
    pub wall: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        CompileLimits { cpu: Duration::from_secs(20), memory_bytes: 1 << 30, wall: Duration::from_secs(120) }
    }
}

impl CompileLimits {
    /// What so many bytes of Wasm may cost.
    pub(crate) fn of(self, bytes: usize) -> CompileLimits {
        const PART: usize = 8 << 20;
        let parts = bytes.div_ceil(PART).max(1) as u32;
        CompileLimits { cpu: self.cpu * parts, wall: self.wall * parts, ..self }
    }
}

/// What a compiler gives.
pub(crate) struct Code {
    /// Machine code, as the engine loads it.
    pub(crate) bytes: Vec<u8>,
    /// Processor time it took.
    pub(crate) cpu: Duration,
    /// Most memory the child had; 0 for this process, which has more in it than a compiler.
    pub(crate) peak_bytes: u64,
}

/// Why there is no machine code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CompileError {
    /// The module's fault: trying again changes nothing.
    Module(String),
    /// The machine's: trying again may help.
    Host(String),
}

impl CompileError {
    /// Whoever wanted the module wants another one by now, or is about to end.
    pub(crate) fn overtaken() -> CompileError {
        CompileError::Host("it is not wanted any more".to_owned())
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::Module(why) => write!(f, "cannot be compiled: {why}"),
            CompileError::Host(why) => write!(f, "could not be compiled now: {why}"),
        }
    }
}

/// How a module is to be compiled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) limits: CompileLimits,
    /// Name of the engine the code is for.
    pub(crate) engine: u64,
    /// Only where nobody else wants the processor: somebody is being judged meanwhile.
    pub(crate) gently: bool,
}

/// Compiles one module in a child.
pub(crate) fn ask(
    program: &Path,
    order: Order,
    wasm: &[u8],
    overtaken: &dyn Fn() -> bool,
) -> Result<Code, CompileError> {
    let unavailable =
        |error: io::Error| CompileError::Host(format!("cannot run the compiler `{}`: {error}", program.display()));
    let mut child = Command::new(program)
        .arg(SUBCOMMAND)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A Ctrl-C at the terminal is for the host, which ends its children itself.
        .process_group(0)
        .spawn()
        .map_err(unavailable)?;
    let said = converse(&mut child, order, wasm, overtaken);
    let status = child.wait().map_err(unavailable)?;
    said.and_then(|said| understand(&said, status, order.limits))
}

/// What a child left behind.
struct Said {
    out: Vec<u8>,
    why: Vec<u8>,
}

/// Feeds the child and reads what it says until it ends; on the clock's limit it is killed.
fn converse(
    child: &mut Child,
    order: Order,
    wasm: &[u8],
    overtaken: &dyn Fn() -> bool,
) -> Result<Said, CompileError> {
    let (mut stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        // A child that has ended reads no more; its exit says why.
        scope.spawn(move || {
            stdin.take().map(|mut stdin| stdin.write_all(&header(order)).and_then(|()| stdin.write_all(wasm)))
        });
        let why = scope.spawn(move || read_all(stderr, LONGEST_WHY));
        let (ended, end) = mpsc::channel();
        let out = scope.spawn(move || {
            let out = read_all(stdout, LARGEST_CODE);
            // The host may have given up waiting.
            let _ = ended.send(());
            out
        });
        let waited = wait(&end, order.limits.wall, overtaken);
        // Whoever has closed stdout is about to end; nobody else has anything to say any more.
        if waited.is_err() || !ends_soon(child) {
            let _ = child.kill();
        }
        let joined = |said: std::thread::ScopedJoinHandle<'_, Vec<u8>>| said.join().unwrap_or_default();
        let said = Said { out: joined(out), why: joined(why) };
        waited.map(|()| said)
    })
}

/// Whether a child ends by itself within a second: the code it ends with says more than that it was killed.
fn ends_soon(child: &mut Child) -> bool {
    const MOMENTS: u32 = 1_000;
    let (_never, moment) = mpsc::channel::<()>();
    (0..MOMENTS).any(|_| {
        let ended = matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        ended || moment.recv_timeout(Duration::from_millis(1)).is_ok()
    })
}

/// Waits for the end of a child, as long as it has time and somebody wants its answer.
fn wait(end: &mpsc::Receiver<()>, wall: Duration, overtaken: &dyn Fn() -> bool) -> Result<(), CompileError> {
    /// Between two looks at whether it is still wanted.
    const TURN: Duration = Duration::from_millis(50);
    let started = Instant::now();
    loop {
        let left = wall.saturating_sub(started.elapsed());
        if end.recv_timeout(left.min(TURN)) != Err(mpsc::RecvTimeoutError::Timeout) {
            return Ok(());
        }
        if left <= TURN {
            return Err(CompileError::Host(format!("it took longer than {wall:?}")));
        }
        if overtaken() {
            return Err(CompileError::overtaken());
        }
    }
}

fn read_all(from: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // An answer that broke off is found by its status and by what it says.
        let _ = from.take(most).read_to_end(&mut bytes);
    }
    bytes
}

fn header(order: Order) -> Vec<u8> {
    let Order { limits, engine, gently } = order;
    let numbers = [limits.cpu.as_secs().max(1), limits.memory_bytes, engine, u64::from(gently)];
    MAGIC.iter().copied().chain(numbers.into_iter().flat_map(u64::to_le_bytes)).collect()
}

fn understand(said: &Said, status: ExitStatus, limits: CompileLimits) -> Result<Code, CompileError> {
    let why = String::from_utf8_lossy(&said.why);
    let why = one_line(why.trim(), 1024);
    match (status.code().map(|code| code as u8), status.signal().and_then(Signal::from_named_raw)) {
        (Some(0), _) => Ok(code(&said.out).ok_or_else(|| CompileError::Host("the answer broke off".to_owned()))?),
        (Some(REFUSED), _) if why.is_empty() => {
            Err(CompileError::Host("the program is no compiler of weir".to_owned()))
        }
        (Some(REFUSED), _) => Err(CompileError::Module(why.into_owned())),
        (Some(UNFIT), _) => Err(CompileError::Host(why.into_owned())),
        (_, Some(Signal::XCPU)) => {
            Err(CompileError::Module(format!("it takes more than {:?} of processor time", limits.cpu)))
        }
        (_, Some(Signal::ABORT)) if why.contains("memory allocation") => {
            Err(CompileError::Module(format!("it takes more than {} MiB of memory", limits.memory_bytes >> 20)))
        }
        (_, Some(Signal::KILL | Signal::TERM | Signal::INT | Signal::HUP)) => {
            Err(CompileError::Host("the compiler was killed".to_owned()))
        }
        _ => Err(CompileError::Module(format!("the compiler failed ({status}): {why}"))),
    }
}

fn code(out: &[u8]) -> Option<Code> {
    let (cpu, rest) = out.split_first_chunk::<8>()?;
    let (peak, bytes) = rest.split_first_chunk::<8>()?;
    Some(Code {
        bytes: bytes.to_vec(),
        cpu: Duration::from_micros(u64::from_le_bytes(*cpu)),
        peak_bytes: u64::from_le_bytes(*peak),
    })
}

/// The child's side: what the subcommand `compile-worker` of a program does for [`Compiler::child`].
///
/// Reads a module from stdin, writes machine code to stdout, and ends the way the host expects. Call it before the
/// program starts threads or opens files.
///
/// [`Compiler::child`]: crate::Compiler::child
pub fn compile_worker() -> ExitCode {
    match work(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            // Without a host there is nobody to tell.
            let _ = writeln!(io::stderr(), "{why}");
            ExitCode::from(code)
        }
    }
}

fn work(input: &mut impl Read, output: &mut impl Write) -> Result<(), (u8, String)> {
    let unfit = |why: String| (UNFIT, why);
    let mut header = [[0; 8]; 5];
    for part in &mut header {
        input
            .read_exact(part)
            .map_err(|_| unfit("this command is for the host: it reads a module from stdin".to_owned()))?;
    }
    let [magic, cpu, memory, wanted, gently] = header;
    if magic != *MAGIC {
        return Err(unfit("the host speaks another version".to_owned()));
    }
    bound(u64::from_le_bytes(cpu), u64::from_le_bytes(memory), u64::from_le_bytes(gently) != 0)
        .map_err(|error| unfit(format!("no limits: {error}")))?;
    let engine = engine::for_worker(u64::from_le_bytes(wanted)).map_err(|error| unfit(error.to_string()))?;
    let engine = engine.ok_or_else(|| unfit("the compiler is another version of weir than the host".to_owned()))?;
    let mut wasm = Vec::new();
    input.take(LARGEST_SNAPSHOT).read_to_end(&mut wasm).map_err(|error| unfit(format!("no module: {error}")))?;
    let code = engine::precompile(&engine, &wasm).map_err(|error| (REFUSED, format!("{error:#}")))?;
    let answer = output
        .write_all(&cpu_micros().to_le_bytes())
        .and_then(|()| output.write_all(&peak_bytes().to_le_bytes()))
        .and_then(|()| output.write_all(&code))
        .and_then(|()| output.flush());
    answer.map_err(|error| unfit(format!("the host is gone: {error}")))
}

/// The kernel's bounds on this process, for good.
fn bound(cpu_seconds: u64, memory_bytes: u64, gently: bool) -> io::Result<()> {
    let limit = |resource, most: u64, and: u64| {
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most + and) })
    };
    // A second more until the kernel kills instead of telling.
    limit(Resource::Cpu, cpu_seconds, 1)?;
    limit(Resource::Data, memory_bytes, 0)?;
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    if gently {
        rustix::process::nice(19)?;
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // When memory runs out the kernel looks for somebody to end; where it cannot be told whom, nothing is lost.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

fn cpu_micros() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}

/// Most memory this process ever had, as the kernel counts it; 0 where it does not say.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

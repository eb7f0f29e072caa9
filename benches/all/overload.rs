//! More requests than a server can judge, as they come over sockets: who is served, how late, and what refusing costs.
//!
//! The server is a process of its own on one core, so that its capacity is its own and its processor time can be read; the
//! clients have another core. Requests are sent when they are due, whether or not earlier ones are answered (open loop), and
//! times count from when they were due.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use weir::{Recorder, Runtime};
use weir_server::{KeyFile, Role, Server, Settings};

use crate::evaluation::folder;
use crate::hosts::{CALL, GUEST, ONE_POLICY, open};
use crate::measure::{Effort, at, median, sorted};
use crate::report::Figure;

/// The word by which this program becomes the server.
pub(crate) const SERVER: &str = "overload-server";
const NOISY: &str = "noisy";
const QUIET: [&str; 4] = ["quiet-1", "quiet-2", "quiet-3", "quiet-4"];
/// Each quiet tenant asks for so much of the capacity: half of what is its share.
const QUIET_SHARE: f64 = 0.1;
/// Everybody together asks for so many times the capacity.
const OVERLOAD: f64 = 10.0;
/// Connections of one tenant: more than can wait at once.
const CONNECTIONS: usize = 64;
/// What a policy does for some milliseconds: as an interpreter of another language does.
const LONG: u32 = 2_000_000;

/// Runs the server of this bench until its standard input ends: `long` or `short` policies, keys in a file.
pub(crate) fn serve(kind: &str, keys: &str) -> ExitCode {
    pin(0);
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    executor.expect("a process can have a thread").block_on(async {
        let address = || "127.0.0.1:0".parse().expect("an address");
        let settings =
            Settings { listen: address(), admin: Some(address()), keys: Some(keys.into()), ..Settings::default() };
        let settings =
            Settings { timeout: Duration::from_secs(1), header_timeout: Duration::from_secs(60), ..settings };
        let server = Server::bind(settings).expect("there are free ports");
        let ports = [Some(server.address()), server.admin_address()]
            .map(|address| address.expect("both are there").to_string());
        let _ = writeln!(std::io::stdout(), "{}", ports.join(" "));
        let ended = tokio::task::spawn_blocking(|| drop(std::io::stdin().lines().next()));
        server.run(Arc::new(host(kind)), async { drop(ended.await) }).await;
    });
    ExitCode::SUCCESS
}

fn host(kind: &str) -> Runtime {
    if kind == "short" {
        return open(ONE_POLICY, &[("guest.wasm", GUEST)], Recorder::discard());
    }
    let work = format!(
        r#"(module (memory (export "memory") 1) (data (i32.const 0) "{{\22effect\22:\22allow\22}}")
             (func (export "weir_abi_1"))
             (func (export "weir_alloc") (param i32) (result i32) (i32.const 4096))
             (func (export "weir_evaluate") (param i32 i32) (result i64) (local $i i32)
               (loop $next (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {LONG}))))
               (i64.const 18)))"#
    );
    let wasm = wat::parse_str(work).expect("the bench's own text parses");
    let set = format!("{ONE_POLICY}limits = {{ fuel = 200_000_000, deadline = \"5 s\" }}\n");
    open(&set, &[("guest.wasm", &wasm)], Recorder::discard())
}

/// Keeps this thread and those it starts on one core, where there are two.
fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // Where it cannot be, figures are noisier.
    let _ = sched_setaffinity(None, &cores);
}

/// The server's process; it ends with this.
struct Served {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    keys: Vec<(&'static str, String)>,
    _folder: tempfile::TempDir,
}

impl Served {
    fn start(kind: &str) -> Served {
        let folder = folder();
        let path = folder.path().join("keys.toml");
        let mut file = KeyFile::default();
        let mut key = |tenant| {
            let key = file.add(tenant, Role::Admin, jiff::Timestamp::UNIX_EPOCH, None);
            (tenant, key.expect("there are random numbers").secret)
        };
        let keys: Vec<_> = QUIET.into_iter().chain([NOISY]).map(&mut key).collect();
        write_keys(&path, &file);
        let mut child = Command::new("/proc/self/exe")
            .args([SERVER, kind])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started again");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was asked for");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it answers");
        let ports: Vec<SocketAddr> = line.split_whitespace().map(|port| port.parse().expect("an address")).collect();
        Served { child, address: ports[0], admin: ports[1], keys, _folder: folder }
    }

    fn request(&self, tenant: &str) -> Vec<u8> {
        let (_, key) = self.keys.iter().find(|(known, _)| *known == tenant).expect("each has a key");
        let body = CALL.replace("\"tenant\":\"acme/claims\",", "");
        format!(
            "POST /v1/evaluate HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// Processor time it has used.
    fn time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it lives");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        // The kernel tells in hundredths of a second, whatever its clock is.
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory in KiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    async fn most_waiting(&self) -> f64 {
        let key = &self.keys[0].1;
        let request = format!("GET /v1/status HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer {key}\r\n\r\n");
        let mut stream = TcpStream::connect(self.admin).await.expect("it listens");
        let (_, body) = ask(&mut stream, request.as_bytes()).await;
        let status: Value = serde_json::from_slice(&body).expect("its status is JSON");
        status["schedule"]["most_waiting"].as_f64().expect("it counts who waits")
    }
}

fn write_keys(path: &Path, file: &KeyFile) {
    let written = std::fs::write(path, file.text());
    let ours = written.and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)));
    ours.expect("a new folder takes files");
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It may have ended already.
        let _ = self.child.wait();
    }
}

/// One request and its answer: status and body.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> (u16, Vec<u8>) {
    stream.write_all(request).await.expect("the server reads");
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).await.expect("the server answers");
        assert!(read > 0, "the server keeps connections");
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&bytes[..end]).expect("a head is ASCII");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if bytes.len() >= end + 4 + length.expect("answers have a length") {
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            return (status, bytes.split_off(end + 4));
        }
    }
}

/// What became of a tenant's requests.
#[derive(Default)]
struct Came {
    /// Milliseconds of those that were judged, from when they were due.
    served: Vec<f64>,
    refused: usize,
}

/// A tenant that sends so many requests a second.
struct Asker {
    due: Mutex<VecDeque<Instant>>,
    more: Notify,
    came: Mutex<Came>,
}

impl Asker {
    async fn connection(self: Arc<Self>, address: SocketAddr, request: Arc<[u8]>) {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a connection");
        loop {
            let more = self.more.notified();
            let due = self.due.lock().expect("nobody panics").pop_front();
            let Some(due) = due else {
                more.await;
                continue;
            };
            let (status, _) = ask(&mut stream, &request).await;
            let mut came = self.came.lock().expect("nobody panics");
            match status {
                200 => came.served.push(due.elapsed().as_secs_f64() * 1e3),
                503 => came.refused += 1,
                status => panic!("status {status}"),
            }
        }
    }
}

/// Sends requests of tenants at these rates, as independent callers do (Poisson), for so long.
async fn open_loop(served: &Served, rates: &[(&'static str, f64)], time: Duration) -> Vec<Came> {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut gap = |rate: f64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let uniform = (random >> 11) as f64 / (1u64 << 53) as f64;
        Duration::from_secs_f64(-(1.0 - uniform).ln() / rate)
    };
    let mut askers = Vec::new();
    let mut connections = Vec::new();
    for (tenant, _) in rates {
        let asker = Arc::new(Asker { due: Mutex::default(), more: Notify::new(), came: Mutex::default() });
        let request: Arc<[u8]> = served.request(tenant).into();
        let connect = |_| tokio::spawn(Arc::clone(&asker).connection(served.address, Arc::clone(&request)));
        connections.extend((0..CONNECTIONS).map(connect));
        askers.push(asker);
    }
    let began = Instant::now();
    let mut next: Vec<Instant> = rates.iter().map(|(_, rate)| began + gap(*rate)).collect();
    while began.elapsed() < time {
        let now = Instant::now();
        for ((next, asker), (_, rate)) in next.iter_mut().zip(&askers).zip(rates) {
            while *next <= now {
                asker.due.lock().expect("nobody panics").push_back(*next);
                asker.more.notify_one();
                *next += gap(*rate);
            }
        }
        // Timers are too coarse for it, and this core has nothing else to do.
        tokio::task::yield_now().await;
    }
    connections.iter().for_each(tokio::task::JoinHandle::abort);
    askers.iter().map(|asker| std::mem::take(&mut *asker.came.lock().expect("nobody panics"))).collect()
}

/// Decisions a second, and processor microseconds of each, when there is always one to be made.
async fn capacity(served: &Served, connections: usize, time: Duration) -> (f64, f64) {
    let request: Arc<[u8]> = served.request(QUIET[0]).into();
    let (before, began) = (served.time(), Instant::now());
    let ask_on = |_| {
        let (request, address) = (Arc::clone(&request), served.address);
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("the server listens");
            stream.set_nodelay(true).expect("a connection");
            let mut count = 0u32;
            while began.elapsed() < time {
                count += u32::from(ask(&mut stream, &request).await.0 == 200);
            }
            count
        })
    };
    let asking: Vec<_> = (0..connections).map(ask_on).collect();
    // As awake as when requests are sent when they are due: a core that sleeps in between makes the other one slower.
    while began.elapsed() < time {
        tokio::task::yield_now().await;
    }
    let mut count = 0;
    for asking in asking {
        count += asking.await.expect("it answers");
    }
    let (took, cpu) = (began.elapsed(), served.time() - before);
    (f64::from(count) / took.as_secs_f64(), cpu.as_secs_f64() * 1e6 / f64::from(count))
}

fn executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread can wait")
}

/// A phase's length: seconds where it is measured, a moment where it is only tried.
fn phase(effort: Effort, seconds: u64) -> Duration {
    if effort.rounds > 1 { Duration::from_secs(seconds) } else { Duration::from_millis(200) }
}

/// Ten times the capacity, most of it from one of five tenants.
pub(crate) fn one_noisy_tenant(effort: Effort) -> Vec<Figure> {
    on_the_other_core(move || executor().block_on(overloaded(effort)))
}

/// What one round of it has shown.
struct Round {
    capacity: f64,
    decision: f64,
    goodput: f64,
    refusal: f64,
    refused_per_second: f64,
    quiet_served: usize,
    quiet_refused: usize,
    late_alone: f64,
    late: f64,
}

async fn round(served: &Served, effort: Effort) -> Round {
    let time = phase(effort, 6);
    let (before, decision) = capacity(served, 2, phase(effort, 2)).await;
    let quiet = QUIET.map(|tenant| (tenant, QUIET_SHARE * before));
    let noisy = (NOISY, (OVERLOAD - QUIET_SHARE * QUIET.len() as f64) * before);
    let alone = open_loop(served, &quiet, time).await;
    let used = served.time();
    let came = open_loop(served, &[&quiet[..], &[noisy]].concat(), time).await;
    let used = (served.time() - used).as_secs_f64() * 1e6;
    // The machine changes its speed: what it could do is what it could before and after.
    let (after, decision_after) = capacity(served, 2, phase(effort, 2)).await;
    let (capacity, decision) = ((before + after) / 2.0, (decision + decision_after) / 2.0);
    let late = |came: &[Came]| {
        let times = sorted(came.iter().flat_map(|came| came.served.iter().copied()));
        if times.is_empty() { f64::NAN } else { at(&times, 0.99) }
    };
    let count = |came: &[Came]| came.iter().map(|came| came.served.len()).sum::<usize>();
    let refused = |came: &[Came]| came.iter().map(|came| came.refused).sum::<usize>();
    let others = &came[..QUIET.len()];
    Round {
        capacity,
        decision,
        goodput: count(&came) as f64 / time.as_secs_f64() / capacity,
        refusal: (used - count(&came) as f64 * decision) / refused(&came).max(1) as f64,
        refused_per_second: refused(&came) as f64 / time.as_secs_f64(),
        quiet_served: count(others),
        quiet_refused: refused(others),
        late_alone: late(&alone),
        late: late(others),
    }
}

async fn overloaded(effort: Effort) -> Vec<Figure> {
    let served = Served::start("long");
    capacity(&served, 2, phase(effort, 1)).await;
    let mut rounds = Vec::new();
    let mut memory = 0.0;
    for _ in 0..if effort.rounds > 1 { 5 } else { 1 } {
        rounds.push(round(&served, effort).await);
        // After the first one nothing has to grow any more.
        memory = if rounds.len() == 1 { served.memory() } else { memory };
    }
    let (grown, most_waiting) = (served.memory() - memory, served.most_waiting().await);
    assert!(effort.rounds == 1 || most_waiting > 0.0, "nothing had to wait: the scheduler was not tried");
    let of = |part: fn(&Round) -> f64| median(rounds.iter().map(part));
    let quiet_served: usize = rounds.iter().map(|round| round.quiet_served).sum();
    let quiet_refused: usize = rounds.iter().map(|round| round.quiet_refused).sum();
    let against =
        "the same server's capacity in a closed loop; ten times that is sent, 96 % of it by one of five tenants";
    let alone = "the same tenants without the noisy one";
    vec![
        Figure::new("overload_goodput", of(|round| round.goodput), "ratio", against)
            .goal(">= 0.95")
            .beside("capacity_per_second", of(|round| round.capacity))
            .beside("most_waiting", most_waiting)
            .beside("memory_grown_kib", grown),
        Figure::new(
            "overload_quiet_served",
            quiet_served as f64 / (quiet_served + quiet_refused).max(1) as f64,
            "ratio",
            "all that the quiet tenants have sent",
        )
        .goal(">= 0.999")
        .beside("refused", quiet_refused as f64),
        Figure::new("overload_quiet_p99", of(|round| round.late / round.late_alone), "ratio", alone)
            .goal("<= 2")
            .beside("p99_ms", of(|round| round.late))
            .beside("p99_ms_alone", of(|round| round.late_alone)),
        Figure::new("refusal_cpu_us", of(|round| round.refusal), "us", "nothing: processor time of one")
            .beside("decision_cpu_us", of(|round| round.decision))
            .beside("refused_per_second", of(|round| round.refused_per_second)),
    ]
}

/// How late answers are when a server does four fifths of what it can.
pub(crate) fn at_four_fifths(effort: Effort) -> Vec<Figure> {
    on_the_other_core(move || {
        executor().block_on(async {
            let served = Served::start("short");
            capacity(&served, 16, phase(effort, 1)).await;
            let (capacity, _) = capacity(&served, 16, phase(effort, 3)).await;
            let came = open_loop(&served, &[(QUIET[0], 0.8 * capacity)], phase(effort, 8)).await;
            let times = sorted(came.into_iter().flat_map(|came| came.served));
            let against = "nothing: milliseconds from when a request was due, at 0.8 of the capacity, the small policy, on one core";
            let at = |share| if times.is_empty() { f64::NAN } else { at(&times, share) };
            vec![
                Figure::new("http_p99_at_80", at(0.99), "ms", against)
                    .beside("p50_ms", at(0.5))
                    .beside("p999_ms", at(0.999))
                    .beside("capacity_per_second", capacity),
            ]
        })
    })
}

/// Runs it in a thread that leaves the server's core alone.
fn on_the_other_core<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let work = || {
            pin(1);
            work()
        };
        scope.spawn(work).join().expect("the bench does not panic")
    })
}

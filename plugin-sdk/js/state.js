// Budgets that outlive an evaluation; a policy that has some lists `"state"` in the `grants` of its manifest.
//
// The host counts for each policy and tenant what was taken of a key within a window of time, by the time of requests. What is
// taken is given back unless the ruling is allow, whoever else decided it.

// Only a component whose world imports the state has it; a test has the stand-in of testing.js.
export const host = { state: await import("weir:policy/state@1.0.0").catch(() => undefined) };

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const LONGEST = 366 * UNITS.d;

/** Any time of this length. The host counts in sixteenths of it, always towards the limit. */
export const sliding = (ms) => known({ ms, kind: "sliding" });

/** From one multiple of this length since 1970, UTC, to the next: 86,400,000 are calendar days. */
export const tumbling = (ms) => known({ ms, kind: "tumbling" });

/** Milliseconds of `90s`, `10m`, `12h` or `30d`, as configurations write them: up to 366 days. */
export function millis(text) {
  const [, number, unit] = /^(\d+)([smhd])$/.exec(text) ?? [];
  const ms = Number(number) * UNITS[unit];
  if (!(ms >= 1 && ms <= LONGEST)) {
    throw new RangeError(`\`${text}\` is no time such as 90s, 10m, 12h or 30d, up to 366 days`);
  }
  return ms;
}

/** Takes an amount where it fits below the limit: one atomic step, whoever else asks. An amount of 0 only looks. */
export function take(key, amount, limit, window) {
  [amount, limit] = [whole("amount", amount), whole("limit", limit)];
  return granted().take(text("key", key), amount, limit, known(window));
}

/** As `take`, for an estimate: `settle` replaces it by what it came to. */
export function hold(key, name, amount, limit, window) {
  [amount, limit] = [whole("amount", amount), whole("limit", limit)];
  return granted().hold(text("key", key), text("name", name), amount, limit, known(window));
}

/**
 * Replaces the oldest estimate of this name by what it came to, in the window it was taken from. Where there is none the amount
 * counts from now on. It is a fact, so no limit refuses it, and it stands whatever the ruling.
 */
export function settle(key, name, amount, window) {
  return granted().settle(text("key", key), text("name", name), whole("amount", amount), known(window));
}

function granted() {
  if (host.state === undefined) throw new Error('`grants` in manifest.json lack "state"');
  return host.state;
}

// What crosses into the host is checked here, where an error still has a text: there it would be a trap.

function known(window) {
  if (window?.kind !== "sliding" && window?.kind !== "tumbling") {
    throw new TypeError("a window is made by `sliding` or `tumbling`");
  }
  if (!Number.isSafeInteger(window.ms) || window.ms < 1 || window.ms > LONGEST) {
    throw new RangeError(`a window has 1 ms to 366 days, not ${window.ms}`);
  }
  return window;
}

function text(name, value) {
  if (typeof value !== "string") throw new TypeError(`\`${name}\` is ${value}, not a text`);
  return value.toWellFormed();
}

function whole(name, value) {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`\`${name}\` is ${value}, not a whole number`);
  return value;
}

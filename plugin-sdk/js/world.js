// What a policy sees of the world while it judges: the clock is the time of the request, random numbers follow from its id, and
// the console is the host's log. QuickJS has no console, and asks a host for clock and seed that is not there.

const LEVELS = { error: 0, warn: 1, info: 2, log: 2, debug: 3 };

let now = 0;
let id = "";
let random;
let judging = false; // otherwise clock and random numbers are those outside; there is no log while the component is built

// Installed for good, so that what a policy has kept of them is not those of the engine.
const RealDate = Date;
const clock = new Proxy(RealDate, {
  construct: (date, given, made) => Reflect.construct(date, given.length > 0 || !judging ? given : [now], made),
  apply: () => new clock().toString(),
  get: (date, name, receiver) => (name === "now" ? time : Reflect.get(date, name, receiver)),
});
const time = () => (judging ? now : RealDate.now());
RealDate.prototype.constructor = clock;
globalThis.Date = clock;

const chance = Math.random;
Math.random = () => (judging ? (random ??= numbers(id))() : chance());

globalThis.performance ??= { now: () => 0 };
const passed = performance.now.bind(performance);
const stopped = { value: () => (judging ? 0 : passed()) };
// QuickJS lets nobody define it.
if (!Reflect.defineProperty(performance, "now", stopped)) globalThis.performance = Object.create(performance, { now: stopped });

/** Calls a function in the world of a request. */
export function within(request, call) {
  now = request.timeMs;
  id = request.id;
  random = undefined;
  judging = true;
  try {
    return call();
  } finally {
    judging = false;
  }
}

/** Numbers from 0 to 1 that follow from a text: SplitMix32, seeded by FNV-1a. */
function numbers(text) {
  let state = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

function shown(value) {
  if (typeof value === "string") return value;
  try {
    return value instanceof Error ? String(value) : (JSON.stringify(value) ?? String(value));
  } catch {
    return String(value); // a circle, or a BigInt
  }
}

const line = (level) => (...values) => {
  if (judging) log?.write(level, values.map(shown).join(" ").toWellFormed());
};
globalThis.console ??= Object.fromEntries(Object.entries(LEVELS).map(([name, level]) => [name, line(level)]));

// Only a component whose world imports the log has it. Asked for last: what is above is there before anybody waits.
const log = await import("weir:policy/log@1.0.0").catch(() => undefined);

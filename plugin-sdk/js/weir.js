// Makes a Weir policy of a function from a configuration and a request to a verdict.
//
//     export const judge = policy((config, request, verdict) => { … }, { words: [] });
//
// An error means "cannot judge", which counts as deny unless the operator wrote something else. The clock is the time of the
// request, random numbers follow from its id, and what the console is told goes to the host's log.

import { within } from "./world.js";

const SDK = ["weir.js", "world.js", "state.js", "testing.js", "component.js"];
const SEVERITIES = ["info", "low", "medium", "high", "critical"];

/**
 * Makes what the component exports as `judge`.
 *
 * `settings` are all settings with their defaults, and any other is an error, or one of another type; or they are a function
 * from what the operator wrote to what `judge` is given, which may check it. It runs before every evaluation.
 */
export function policy(judge, settings = (given) => given) {
  if (typeof judge !== "function") throw new TypeError("`policy` is given no function that judges");
  let config;
  let ready = false;
  const made = {
    configure: (text) => {
      ready = false;
      explained(() => within({ id: "", timeMs: 0 }, () => (config = configured(settings, JSON.parse(text)))));
      ready = true;
    },
    evaluate: (given) =>
      explained(() => {
        if (!ready) throw new Error("the policy is not configured");
        const verdict = new Verdict();
        const said = within(given, () => judge(config, new Request(given), verdict));
        if (typeof said?.then === "function") throw new TypeError("`judge` is async, but nobody can wait for it");
        // A verdict that is returned would be lost, and what is lost would allow.
        if (said !== undefined) throw new TypeError("`judge` returns nothing: call `verdict.deny()` and the others");
        return verdict.record();
      }),
  };
  policies.add(made);
  return made;
}

const policies = new WeakSet();

/** What a component may export: anything else would trap when it is called. */
export function made(judge) {
  if (!policies.has(judge)) throw new TypeError("`judge` is not what `policy(…)` has made");
  return judge;
}

function configured(settings, given) {
  if (typeof settings === "function") return settings(given);
  if (typeof given !== "object" || Array.isArray(given)) throw new TypeError("the configuration is not an object");
  const unknown = Object.keys(given ?? {}).find((name) => !Object.hasOwn(settings, name));
  if (unknown !== undefined) throw new TypeError(`unknown setting \`${unknown}\``);
  for (const [name, value] of Object.entries(given ?? {})) {
    const [is, wanted] = [kind(value), kind(settings[name])];
    // A default that is nothing says nothing of what may be there.
    if (is !== wanted && wanted !== "null") throw new TypeError(`the setting \`${name}\` is of type ${is}, not ${wanted}`);
  }
  return { ...settings, ...given };
}

/** The type of a value, as JSON has types. */
function kind(value) {
  if (value === null || value === undefined) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/** Throws text in place of errors: it is what the host is told, and anything else would end in a trap without a word. */
function explained(call) {
  try {
    return call();
  } catch (error) {
    let said = "thrown: what has no text"; // one that throws while it is looked at
    try {
      said = explanation(error).toWellFormed();
    } catch {}
    throw said;
  }
}

function explanation(error) {
  if (!(error instanceof Error)) return typeof error === "string" ? error : `thrown: ${JSON.stringify(error)}`;
  const said = error.name === "Error" ? error.message : `${error.name}: ${error.message}`;
  // The innermost line of the policy itself.
  const places = [...(error.stack ?? "").matchAll(/([^/\\\s()]+):(\d+):\d+\)?$/gm)];
  const place = places.find(([, file]) => !SDK.includes(file));
  return place ? `${said} (${place[1]}:${place[2]})` : said;
}

/** What a policy is asked. What the manifest's `reads` leave out is empty. */
class Request {
  #context;
  #payload;

  constructor(given) {
    this.id = given.id;
    this.checkpoint = given.checkpoint;
    this.tenant = given.tenant;
    this.system = given.system;
    this.timeMs = given.timeMs;
    this.subject = new Entity(given.subject);
    this.action = new Action(given.action);
    this.resource = new Entity(given.resource);
    this.contextText = given.context;
    this.content = given.content.map((part, index) => new Part(part, `/content/${index}/text`));
    this.measures = given.measures;
    this.payloadText = given.payload;
  }

  get time() {
    return new Date(this.timeMs);
  }

  get context() {
    return (this.#context ??= JSON.parse(this.contextText));
  }

  get payload() {
    return (this.#payload ??= JSON.parse(this.payloadText));
  }
}

/** What is done to the resource. */
class Action {
  #properties;

  constructor(given) {
    this.name = given.name;
    this.propertiesText = given.properties;
  }

  get properties() {
    return (this.#properties ??= JSON.parse(this.propertiesText));
  }
}

/** A subject or a resource. */
class Entity {
  #properties;

  constructor(given) {
    this.type = given.kind;
    this.id = given.id;
    this.propertiesText = given.properties;
  }

  get properties() {
    return (this.#properties ??= JSON.parse(this.propertiesText));
  }
}

/** One text of a conversation or document. */
class Part {
  constructor(given, at) {
    this.role = given.role;
    this.origin = given.origin;
    this.text = given.text;
    this.at = at;
  }

  /** Where a word or a regular expression stands in the text. */
  find(pattern) {
    return spans(this.at, this.text, pattern);
  }
}

/** Where a word or a regular expression stands in the text at a JSON pointer, in bytes of its UTF-8. */
export function spans(at, text, pattern) {
  const found = typeof pattern === "string" ? words(at, text, pattern) : matches(at, text, pattern);
  let index = 0;
  let end = 0; // the same place in bytes
  let word;
  let length;
  for (const span of found) {
    if (span.text !== word) length = bytes((word = span.text));
    const start = end + bytes(text.slice(index, span.start));
    index = span.end;
    end = start + length;
    span.start = start;
    span.end = end;
  }
  return found;
}

function words(at, text, word) {
  const found = [];
  if (word === "") return found;
  for (let start = text.indexOf(word); start >= 0; start = text.indexOf(word, start + word.length)) {
    found.push({ at, start, end: start + word.length, text: word });
  }
  return found;
}

function matches(at, text, pattern) {
  const found = [];
  const all = pattern.global ? pattern : global(pattern);
  const { lastIndex } = all;
  const width = all.unicode || all.unicodeSets ? (index) => (text.codePointAt(index) > 0xffff ? 2 : 1) : () => 1;
  all.lastIndex = 0;
  for (let match = all.exec(text); match !== null; match = all.exec(text)) {
    const [word] = match;
    if (word === "") all.lastIndex += width(all.lastIndex);
    else found.push({ at, start: match.index, end: match.index + word.length, text: word });
  }
  all.lastIndex = lastIndex;
  return found;
}

const globals = new Map();

/**
 * The same regular expression with the flag `g`. Made once, since that can cost more than to look through a text, and kept by
 * what it says, since a literal is a new one each time.
 */
function global({ source, flags }) {
  const name = `${flags}/${source}`;
  if (!globals.has(name)) globals.set(name, new RegExp(source, `${flags}g`));
  return globals.get(name);
}

/** The length of a text in UTF-8. QuickJS has no TextEncoder, and asking for each character takes it ten times as long. */
export function bytes(text) {
  return unescape(encodeURIComponent(text.toWellFormed())).length;
}

/** What a policy answers: allow, unless something else is said. */
class Verdict {
  #effect = "allow";
  #findings = [];
  #edits = [];
  #scores = new Map();
  #obligations = [];

  get effect() {
    return this.#effect;
  }

  /** The step may not happen. */
  deny() {
    this.#effect = "deny";
  }

  /** People must look first. It never loosens what was said before. */
  review() {
    if (this.#effect === "allow") this.#effect = "review";
  }

  /** Adds a coded reason; its place may be a span, and have `measured`, `threshold` and `because`. */
  find(code, severity, message, place = {}) {
    if (!SEVERITIES.includes(severity)) {
      throw new RangeError(`the severity \`${severity}\` is none of ${SEVERITIES.join(", ")}`);
    }
    this.#findings.push({
      code: text("code", code),
      severity,
      message: text("message", message),
      at: place.at === undefined ? undefined : text("at", place.at),
      start: place.start === undefined ? undefined : offset("start", place.start),
      end: place.end === undefined ? undefined : offset("end", place.end),
      measured: place.measured === undefined ? undefined : quantity("measured", place.measured),
      threshold: place.threshold === undefined ? undefined : quantity("threshold", place.threshold),
      because: place.because === undefined ? [] : reasons(place.because),
    });
  }

  /** Replaces a span. */
  edit({ at, start, end }, replacement) {
    this.#edits.push({
      at: text("at", at),
      start: offset("start", start),
      end: offset("end", end),
      replacement: text("replacement", replacement),
    });
  }

  /** Sets a named risk from 0 to 1, where higher is worse; any other measurement belongs into a finding. */
  score(name, risk) {
    if (!(risk >= 0 && risk <= 1)) {
      throw new RangeError(`the score \`${name}\` is ${risk}, but a score is a risk from 0 to 1`);
    }
    this.#scores.set(text("name", name), risk);
  }

  /** Adds a duty of the caller. */
  obligation(name, because) {
    this.#obligations.push({ name: text("name", name), because: because === undefined ? [] : reasons(because) });
  }

  /** The verdict as the interface has it. */
  record() {
    return {
      effect: this.#effect,
      findings: this.#findings,
      edits: this.#edits,
      scores: Array.from(this.#scores, ([name, value]) => ({ name, value })),
      obligations: this.#obligations,
    };
  }
}

// What crosses into the host is checked here, where an error still has a text: there it would be a trap.

function text(name, value) {
  if (typeof value !== "string") throw new TypeError(`\`${name}\` is ${value}, not a text`);
  return value.toWellFormed(); // a text that was cut within a pair has no UTF-8
}

function offset(name, value) {
  if (value >>> 0 !== value) throw new RangeError(`\`${name}\` is ${value}, not an offset`);
  return value;
}

function quantity(name, value) {
  return text(name, typeof value === "number" ? String(value) : value);
}

function reasons(because) {
  return because.map((reason) => text("because", reason));
}

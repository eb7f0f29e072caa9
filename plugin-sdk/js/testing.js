// Tries a policy as the host does, without Wasm: `node --test` is enough.

import { readFileSync } from "node:fs";

import { host } from "./state.js";

/**
 * The verdict on a request, both in their JSON forms. Throws the text that the host would be told where the policy refuses its
 * configuration or cannot judge. The policy is given what `reads` in its manifest.json point to and nothing else, as by a host.
 */
export function tried(judge, config, request, reads = manifest().reads) {
  const asked = record(given(request, reads));
  const said = ((call) => {
    try {
      judge.configure(JSON.stringify(config));
      return judge.evaluate(asked);
    } catch (why) {
      throw new Error(why);
    }
  })();
  const scores = Object.fromEntries(said.scores.map(({ name, value }) => [name, value]));
  // Drops what is undefined, as the host does.
  return JSON.parse(JSON.stringify({ ...said, scores }));
}

/** The one beside the policy; without one it reads everything. */
function manifest() {
  try {
    return JSON.parse(readFileSync(new URL("../manifest.json", import.meta.url), "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return {};
    throw error;
  }
}

function given(request, reads = [""]) {
  const segments = (pointer) => pointer.split("/").slice(1).map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
  return cut({ tenant: "default", ...request }, reads.map(segments));
}

/** What of a value the pointers lead to, by way of objects. */
function cut(value, pointers) {
  if (pointers.some((pointer) => pointer.length === 0)) return value;
  if (value === null || typeof value !== "object" || Array.isArray(value)) return undefined;
  const kept = {};
  for (const [name, inner] of Object.entries(value)) {
    const deeper = pointers.filter(([first]) => first === name).map(([, ...rest]) => rest);
    if (deeper.length > 0) kept[name] = cut(inner, deeper);
  }
  return kept;
}

/** A request as the interface has it; what is missing is empty. */
function record({ time, subject, action, resource, context, content, measures, payload, ...texts }) {
  const entity = ({ type: kind = "", id = "", properties = {} } = {}) => {
    return { kind, id, properties: JSON.stringify(properties) };
  };
  const { name = "", properties = {} } = action ?? {};
  return {
    id: "",
    checkpoint: "",
    tenant: "",
    system: "",
    ...texts,
    timeMs: time === undefined ? 0 : Date.parse(time),
    subject: entity(subject),
    action: { name, properties: JSON.stringify(properties) },
    resource: entity(resource),
    context: JSON.stringify(context ?? {}),
    content: (content ?? []).map((part) => ({ role: "", origin: "retrieved", ...part })),
    measures: (measures ?? []).map((measure) => ({ name: "", group: "", value: 0, count: 0, ...measure })),
    payload: JSON.stringify(payload ?? null),
  };
}

let counters = new Map();

/** Begins with budgets that nobody has used. They are counted in windows that never end. */
export function forget() {
  counters = new Map();
}

function counter(key, { ms, kind }) {
  const name = JSON.stringify([key, ms, kind]);
  if (!counters.has(name)) counters.set(name, { used: 0, holds: [] });
  return counters.get(name);
}

host.state ??= {
  take(key, amount, limit, window) {
    const count = counter(key, window);
    const granted = count.used + amount <= limit;
    if (granted) count.used += amount;
    return { granted, used: count.used, resetsInMs: window.ms };
  },
  hold(key, name, amount, limit, window) {
    const taken = this.take(key, amount, limit, window);
    if (taken.granted) counter(key, window).holds.push({ name, amount });
    return taken;
  },
  settle(key, name, amount, window) {
    const count = counter(key, window);
    const held = count.holds.findIndex((hold) => hold.name === name);
    const estimate = held < 0 ? 0 : count.holds.splice(held, 1)[0].amount;
    count.used = Math.max(0, count.used - estimate) + amount;
    return { granted: true, used: count.used, resetsInMs: window.ms };
  },
};

// Live figures of one Weir server, from its own events.
"use strict";

const SECONDS = 120;
const element = (id) => document.getElementById(id);
const totals = [];
let before = null;

// The key is kept in this page's memory alone.
let key = "";

async function watch() {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch("v1/events", { headers });
  if (answer.status === 401 || answer.status === 403 || answer.status === 429) {
    askForKey(key ? (await answer.json()).detail : "");
    return;
  }
  if (!answer.ok) throw new Error((await answer.json()).detail);
  element("door").hidden = true;
  element("figures").hidden = false;
  state("watching", false);
  await read(answer.body.pipeThrough(new TextDecoderStream()).getReader());
  throw new Error("the server ended");
}

async function read(reader) {
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const [name, data] = event.split("\n");
      happen(name.slice("event: ".length), JSON.parse(data.slice("data: ".length)));
    }
  }
}

function happen(name, data) {
  if (name === "figures") return figures(data);
  const told = {
    published: () => `generation ${data.number} came into force`,
    rolled_back: () => `generation ${data.number} brought back the policies of generation ${data.restores}`,
    refused: () => `a set was refused: ${reasons(data)}`,
    watch: () => (data.degraded ? `changes are only found by looking: ${data.degraded}` : "changes are heard of again"),
    missed: () => `${data.events} events came too fast to be told`,
  }[name];
  change(told ? told() : JSON.stringify(data), name === "refused");
}

function reasons(report) {
  const set = report.set.map((error) => `${error.file}:${error.line}: ${error.message}`);
  const load = report.load.map((error) => `policy ${error.policy}: ${error.message}`);
  return [...set, ...load].join("\n");
}

function figures(now) {
  const rate = (name) => (before ? Math.max(0, now[name] - before[name]) : 0);
  const shed = (of) => of.schedule.refused_overload + of.schedule.refused_late;
  for (const name of ["allowed", "reviews", "denied"]) show(name, rate(name));
  show("shed", before ? shed(now) - shed(before) : 0);
  show("generation", now.sets.generation);
  show("waiting", now.schedule.waiting);
  const waited = before ? now.schedule.waited - before.schedule.waited : 0;
  const micros = before ? now.schedule.waited_micros - before.schedule.waited_micros : 0;
  show("waited", waited ? `${Math.round(micros / waited)} µs` : "0 µs");
  show("ready", now.instances.ready);
  show("failures", Object.values(now.failures).reduce((sum, count) => sum + count, 0));
  show("unwritten", now.record_failures);
  totals.push(rate("allowed") + rate("reviews") + rate("denied"));
  if (totals.length > SECONDS) totals.shift();
  curve();
  before = now;
}

function curve() {
  const most = Math.max(1, ...totals);
  const first = SECONDS - totals.length;
  const points = totals.map((total, at) => `${first + at},${39 - (38 * total) / most}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", `M${points.join("L")}`);
  element("curve").replaceChildren(path);
}

function change(text, bad) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  line.append(time, text);
  if (bad) line.className = "deny";
  const list = element("changes");
  list.querySelector(".none")?.remove();
  list.prepend(line);
  while (list.children.length > 50) list.lastChild.remove();
}

function show(id, value) {
  element(id).textContent = typeof value === "number" ? value.toLocaleString("en") : value;
}

function state(text, lost) {
  element("state").textContent = text;
  element("state").className = lost ? "lost" : "";
}

function askForKey(why) {
  state("a key is needed", false);
  element("refused").textContent = why;
  element("figures").hidden = true;
  element("door").hidden = false;
  element("key").focus();
}

async function go() {
  try {
    await watch();
  } catch (error) {
    before = null;
    state(`not connected: ${error.message}; trying again`, true);
    setTimeout(go, 2000);
  }
}

element("door").addEventListener("submit", (event) => {
  event.preventDefault();
  key = element("key").value.trim();
  element("key").value = "";
  go();
});
go();

import assert from "node:assert/strict";
import { test } from "node:test";

import { hold, millis, settle, sliding, take } from "./state.js";
import { forget, tried } from "./testing.js";
import { bytes, made, policy, spans } from "./weir.js";

const answer = (judge, request = {}) => tried(policy(judge), {}, request);

test("places are bytes of the UTF-8", () => {
  const text = 'für 日本 🦓 "zebra"\u0000 zebra';
  for (const pattern of ["zebra", /zebra/, /zebra/gu, /"?z\w+/u, "🦓", "本", "ü", "nothing", ""]) {
    for (const { start, end, text: found } of spans("/at", text, pattern)) {
      assert.equal(Buffer.from(text).subarray(start, end).toString(), found);
    }
  }
  assert.deepEqual(spans("/at", text, "zebra").map(({ start, end }) => [start, end]), [[18, 23], [26, 31]]);
  assert.deepEqual(spans("/at", "aaaa", /b*/), []);
  assert.deepEqual(spans("/at", "🦓🦓b", /b*/gu).map(({ start }) => start), [8], "what matches nothing moves on, by whole characters");
  assert.deepEqual(spans("/at", "bb b", /b/y).map(({ start }) => start), [0, 1]);
  assert.equal(bytes("aü日🦓"), 10);
});

test("a pattern finds the same however often it was used", () => {
  const pattern = /a/g;
  pattern.test("aa");
  assert.equal(spans("/at", "aa", pattern).length, 2);
  assert.equal(pattern.lastIndex, 1, "nothing was done with it");
  assert.equal(spans("/at", "aAa", /a/).length, 2);
  assert.equal(spans("/at", "aAa", /a/i).length, 3);
});

test("a verdict allows, and what was said is never loosened", () => {
  assert.deepEqual(answer(() => {}), { effect: "allow", findings: [], edits: [], scores: {}, obligations: [] });
  assert.equal(answer((_, __, verdict) => verdict.review()).effect, "review");
  const strict = answer((_, __, verdict) => {
    verdict.deny();
    verdict.review();
  });
  assert.equal(strict.effect, "deny");
});

test("a verdict has all parts", () => {
  const said = answer((_, __, verdict) => {
    verdict.find("c", "low", "m", { at: "/payload", measured: 0.5, threshold: "wire", because: ["house:P-2"] });
    verdict.score("injection", 0.25);
    verdict.obligation("disclose_ai", ["eu-aia-art50"]);
  });
  assert.deepEqual(said.findings, [
    { code: "c", severity: "low", message: "m", at: "/payload", measured: "0.5", threshold: "wire", because: ["house:P-2"] },
  ]);
  assert.deepEqual(said.scores, { injection: 0.25 });
  assert.deepEqual(said.obligations, [{ name: "disclose_ai", because: ["eu-aia-art50"] }]);
});

test("what the host could not take is an error with its place", () => {
  for (const [wrong, told] of [
    [(verdict) => verdict.find("c", "hgh", "m"), /the severity `hgh` is none of info, .* \(weir\.test\.js:\d+\)/],
    [(verdict) => verdict.find("c", "low", 7), /TypeError: `message` is 7, not a text/],
    [(verdict) => verdict.find("c", "low", "m", { at: "/a", start: -1 }), /`start` is -1/],
    [(verdict) => verdict.edit({ at: "/a", start: 0, end: 1.5 }, "x"), /`end` is 1.5/],
    [(verdict) => verdict.edit({}, "x"), /`at` is undefined/],
    [(verdict) => verdict.score("injection", NaN), /the score `injection` is NaN/],
    [() => null.x, /TypeError/],
    [() => { throw new Error("no model"); }, /^Error: no model/],
    [() => { throw "a text"; }, /^Error: a text$/],
    [() => { throw { code: 7 }; }, /thrown: {"code":7}/],
    [() => { throw { get name() { throw 7; } }; }, /^Error: thrown: {}$|what has no text/],
    [() => { throw Object.defineProperty(new Error("m"), "name", { get: () => null.x }); }, /^Error: thrown: what has no text$/],
    [() => { throw 7n; }, /^Error: thrown: what has no text$/],
    [async () => {}, /`judge` is async/],
    [(verdict) => verdict, /`judge` returns nothing: call `verdict.deny\(\)`/],
    [() => "deny", /`judge` returns nothing/],
    [() => null, /`judge` returns nothing/],
  ]) {
    assert.throws(() => answer((_, __, verdict) => wrong(verdict)), told);
  }
});

test("half of a pair is no text, so it is replaced", () => {
  assert.equal(answer((_, __, verdict) => verdict.find("c", "low", "🦓".slice(0, 1))).findings[0].message, "\ufffd");
});

test("settings are those with a default, or what a function makes of them", () => {
  const judge = (config, _, verdict) => verdict.find("c", "low", JSON.stringify(config));
  const told = (settings, config) => tried(policy(judge, settings), config, {}).findings[0].message;
  assert.equal(told({ a: 1, b: 2 }, { b: 3 }), '{"a":1,"b":3}');
  assert.equal(told({ a: 1 }, null), '{"a":1}');
  assert.equal(told(({ words }) => words.length, { words: ["x"] }), "1");
  assert.throws(() => told({ a: 1 }, { aa: 1 }), /unknown setting `aa`/);
  assert.throws(() => told({ a: 1 }, [1]), /not an object/);
  const defaults = { most: 100, word: "", on: true, words: [], rule: {}, any: null };
  const given = { most: 1.5, word: "w", on: false, words: ["x"], rule: { a: 1 }, any: [1] };
  assert.deepEqual(JSON.parse(told(defaults, given)), given);
  for (const [config, wrong] of [
    [{ most: "100" }, "`most` is of type string, not number"],
    [{ word: 7 }, "`word` is of type number, not string"],
    [{ on: 1 }, "`on` is of type number, not boolean"],
    [{ words: "x" }, "`words` is of type string, not array"],
    [{ words: {} }, "`words` is of type object, not array"],
    [{ rule: [] }, "`rule` is of type array, not object"],
    [{ most: null }, "`most` is of type null, not number"],
  ]) {
    assert.throws(() => told(defaults, config), ({ message }) => message.startsWith(`TypeError: the setting ${wrong}`));
  }
  assert.throws(() => policy(judge).evaluate({}), /not configured/);
});

test("only what `policy` has made can be exported", () => {
  const judge = policy(() => {});
  assert.equal(made(judge), judge);
  for (const wrong of [undefined, () => {}, { ...judge }]) assert.throws(() => made(wrong), /not what `policy\(…\)` has made/);
  assert.throws(() => policy({ most: 1 }), /no function that judges/);
});

test("a request has its JSON read and as it was written", () => {
  const subject = { type: "agent", id: "a" };
  const asked = { payload: { n: 1.5 }, subject, context: { region: "eu" }, content: [{ text: "t" }] };
  answer((_, request) => {
    assert.deepEqual([request.payload.n, request.payloadText, request.context.region], [1.5, '{"n":1.5}', "eu"]);
    assert.deepEqual([request.subject.type, request.subject.properties, request.action.name], ["agent", {}, ""]);
    assert.deepEqual([request.content[0].origin, request.content[0].at], ["retrieved", "/content/0/text"]);
  }, asked);
});

test("what `reads` do not point to is not there", () => {
  const seen = (reads) => {
    let said;
    const judge = policy((_, { time, tenant, payload, context, content }) => {
      said = [+time, tenant, payload, context, content.length];
    });
    const payload = { a: { b: 1, c: 2 }, "x/y": 3, z: 4 };
    const request = { time: "1970-01-01T00:00:01Z", payload, context: { region: "eu" }, content: [{ text: "t" }] };
    tried(judge, {}, request, reads);
    return said;
  };
  const payload = { a: { b: 1, c: 2 }, "x/y": 3, z: 4 };
  assert.deepEqual(seen(), [1000, "default", payload, { region: "eu" }, 1]);
  assert.deepEqual(seen([""]), seen());
  assert.deepEqual(seen(["/content"]), [0, "", null, {}, 1]);
  assert.deepEqual(seen(["/time", "/payload/a/b", "/payload/x~1y"]), [1000, "", { a: { b: 1 }, "x/y": 3 }, {}, 0]);
  assert.deepEqual(seen(["/tenant", "/payload/z/deeper"]), [0, "default", {}, {}, 0]);
});

test("clock and random numbers follow from the request", () => {
  const seen = (id) => {
    let said;
    answer(() => {
      const dates = [Date.now(), new Date().toISOString(), new Date(0).getTime(), new Date() instanceof Date];
      said = [...dates, Math.random(), Math.random()];
    }, { id, time: "2026-01-01T00:00:00Z" });
    return said;
  };
  const [now, iso, zero, is, first, second] = seen("r-1");
  assert.deepEqual([now, iso, zero, is], [1_767_225_600_000, "2026-01-01T00:00:00.000Z", 0, true]);
  assert.ok(first !== second && first >= 0 && first < 1);
  assert.deepEqual(seen("r-1").slice(4), [first, second]);
  assert.notEqual(seen("r-2")[4], first);
  assert.ok(Date.now() > now, "outside there is the world's");
});

test("what was settled is seen at once", () => {
  forget();
  const hour = sliding(millis("1h"));
  assert.equal(hold("k", "before", 20, 100, hour).used, 20);
  assert.equal(hold("k", "own", 5, 100, hour).used, 25);
  assert.equal(settle("k", "own", 4, hour).used, 24);
  assert.equal(settle("k", "before", 30, hour).used, 34);
  assert.equal(settle("k", "own", 6, hour).used, 40);
  assert.deepEqual(take("k", 61, 100, hour), { granted: false, used: 40, resetsInMs: 3_600_000 });
  assert.equal(take("k", 60, 100, hour).used, 100);
  assert.equal(take("k", 1, 100, hour).granted, false);
});

test("what a policy has kept of the clock is the clock of the request, too", () => {
  const Kept = Date;
  class Later extends Date {}
  const [random, passed] = [Math.random, performance.now.bind(performance)];
  let said;
  const time = "2026-01-01T00:00:00Z";
  answer(() => {
    const dates = [Kept.now(), +new Kept(), +new Later(), +new (new Kept().constructor)(), Date.parse(Kept())];
    said = [...dates, random(), random(), passed()];
  }, { id: "r", time });
  const twice = said;
  answer(() => (said = [random(), random()]) && undefined, { id: "r", time });
  assert.deepEqual(twice, [...Array(5).fill(1_767_225_600_000), ...said, 0]);
});

test("budgets", () => {
  forget();
  const hour = sliding(millis("1h"));
  assert.deepEqual(take("k", 7, 10, hour), { granted: true, used: 7, resetsInMs: 3_600_000 });
  assert.equal(take("k", 4, 10, hour).granted, false);
  assert.equal(hold("h", "call-1", 80, 100, hour).granted, true);
  assert.equal(hold("h", "call-2", 30, 100, hour).granted, false);
  assert.equal(settle("h", "call-1", 20, hour).used, 20);
  assert.equal(settle("h", "call-1", 5, hour).used, 25);
  assert.throws(() => take("k", 1.5, 10, hour), /`amount` is 1.5/);
  for (const ms of [0, -1, "60", 1.5, 366 * 86_400_000 + 1, undefined]) {
    assert.throws(() => take("k", 1, 10, { ms, kind: "sliding" }), /a window has 1 ms to 366 days, not /);
    assert.throws(() => sliding(ms), RangeError);
  }
  assert.throws(() => take("k", 1, 10, { ms: -1 }), /a window is made by `sliding` or `tumbling`/);
  assert.throws(() => take("k", 1, 10, 60_000), /a window is made by/);
  for (const bad of ["", "m", "0m", "-1m", "1.5h", "367d", "1w"]) assert.throws(() => millis(bad), RangeError, bad);
});

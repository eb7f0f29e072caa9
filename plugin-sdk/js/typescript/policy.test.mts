// The policy as a plain function; cases.toml tries the component.

import assert from "node:assert/strict";
import { test } from "node:test";

import { judge } from "./policy.mts";
import { tried } from "./sdk/testing.js";

test("a word is masked where it stands, in bytes", () => {
  const verdict = tried(judge, { words: ["zebra"] }, { content: [{ text: "für ein zebra" }] });
  assert.equal(verdict.effect, "allow");
  assert.deepEqual(verdict.edits, [{ at: "/content/0/text", start: 9, end: 14, replacement: "***" }]);
});

test("a setting that is not known is refused", () => {
  assert.throws(() => tried(judge, { wrds: ["zebra"] }, {}), /unknown setting `wrds`/);
});

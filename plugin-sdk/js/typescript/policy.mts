// Finds the words of its configuration in the texts of a request, and masks them or refuses the request.

import { policy, type Part, type Verdict } from "./sdk/weir.js";

interface Config {
  words: string[];
  action: "mask" | "deny";
}

const defaults: Config = { words: [], action: "mask" };

export const judge = policy((config, request, verdict) => {
  for (const part of request.content) {
    for (const word of config.words) look(config, part, word, verdict);
  }
}, defaults);

function look(config: Config, part: Part, word: string, verdict: Verdict): void {
  for (const span of part.find(word)) {
    verdict.find("words.found", "high", "a forbidden word", span);
    if (config.action === "deny") verdict.deny();
    else verdict.edit(span, "***");
  }
}

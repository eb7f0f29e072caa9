// Finds the words of its configuration in the texts of a request, and masks them or refuses the request.

import { Json, Text, Verdict, policy } from "./sdk/weir";

export { weir_abi_1, weir_alloc, weir_configure, weir_evaluate } from "./sdk/weir";

let words: Array<Text> = [];
let denies = false;

policy(
  (config: Json) => {
    const list = config.get("words").items();
    for (let i = 0; i < list.length; i++) words.push(list[i].text());
    denies = config.get("action").text().is("deny");
  },
  (request: Json, verdict: Verdict) => {
    const content = request.get("content").items();
    for (let i = 0; i < content.length; i++) {
      const text = content[i].get("text").text();
      for (let w = 0; w < words.length; w++) look(text, words[w], `/content/${i}/text`, verdict);
    }
  },
);

function look(text: Text, word: Text, at: string, verdict: Verdict): void {
  for (let start = text.find(word, 0); start >= 0; start = text.find(word, start + word.length)) {
    const end = start + word.length;
    verdict.find("words.found", "high", "a forbidden word", at, start, end);
    if (denies) verdict.deny();
    else verdict.edit(at, start, end, "***");
  }
}

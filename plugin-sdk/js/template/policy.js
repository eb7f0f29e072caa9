// Finds the words of its configuration in the texts of a request, and masks them or refuses the request.

import { policy } from "./sdk/weir.js";

export const judge = policy(
  (config, request, verdict) => {
    for (const part of request.content) {
      for (const word of config.words) {
        for (const span of part.find(word)) {
          verdict.find("words.found", "high", "a forbidden word", span);
          if (config.action === "deny") verdict.deny();
          else verdict.edit(span, "***");
        }
      }
    }
  },
  { words: [], action: "mask" },
);

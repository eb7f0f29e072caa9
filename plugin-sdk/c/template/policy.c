/* Finds the words of its configuration in the texts of a request, and masks them or refuses the request. */

#include "weir.h"

static weir_string *words;
static size_t word_count;
static bool denies;

void weir_configured(weir_json config) {
  weir_json list = weir_get(config, "words"), word;
  size_t at = 0;
  while (list.length && weir_next(list, &at, 0, &word)) word_count++;
  words = weir_take(word_count * sizeof *words);
  at = word_count = 0;
  while (list.length && weir_next(list, &at, 0, &word)) words[word_count++] = weir_text(word);
  weir_string action = weir_text(weir_get(config, "action"));
  denies = action.length == 4 && weir_same(action.data, 4, "deny");
}

static bool stands_at(weir_string text, size_t at, weir_string word) {
  for (size_t i = 0; i < word.length; i++)
    if (text.data[at + i] != word.data[i]) return false;
  return true;
}

static void look(weir_string text, const char *at) {
  for (size_t w = 0; w < word_count; w++) {
    weir_string word = words[w];
    for (size_t i = 0; word.length && i + word.length <= text.length;) {
      if (!stands_at(text, i, word)) {
        i++;
        continue;
      }
      size_t end = i + word.length;
      weir_finding("words.found", "high", "a forbidden word", at, i, end);
      if (denies) weir_deny();
      else weir_edit(at, i, end, "***");
      i = end;
    }
  }
}

void weir_judge(weir_json request) {
  weir_json content = weir_get(request, "content"), part;
  size_t at = 0, index = 0;
  while (content.length && weir_next(content, &at, 0, &part)) {
    look(weir_text(weir_get(part, "text")), weir_content_at(index++));
  }
}

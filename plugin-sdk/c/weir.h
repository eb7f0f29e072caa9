/* Weir policies in C: one header, no library, no allocation to free.
 *
 * A policy defines two functions and includes this file once:
 *
 *     #include "weir.h"
 *     void weir_configured(weir_json config) { ... }     // once, before the first request; weir_fail("...") refuses it
 *     void weir_judge(weir_json request) { ... }         // weir_deny(), weir_finding(...), weir_edit(...); allow by default
 *
 * JSON is read where it lies: a weir_json is a piece of the request's text, and weir_text decodes one that is a string.
 * Everything lives until the next request. Memory is that of the sandbox: where it ends, the policy fails, which denies.
 */
#ifndef WEIR_H
#define WEIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_EXPORT(name) __attribute__((export_name(name)))
#define WEIR_PAGE 65536

/* A piece of JSON, as written; of length 0 where there is nothing. */
typedef struct {
  const char *data;
  size_t length;
} weir_json;

/* A text, decoded: UTF-8, not ended by a zero. */
typedef struct {
  const char *data;
  size_t length;
} weir_string;

void weir_configured(weir_json config);
void weir_judge(weir_json request);

/* ---- Memory: taken from the end of what is used, given back all at once. ---- */

extern unsigned char __heap_base;
static uintptr_t weir_used, weir_kept;

static void *weir_take(size_t length) {
  if (!weir_used) weir_used = (uintptr_t)&__heap_base;
  uintptr_t start = (weir_used + 7) & ~(uintptr_t)7, end = start + length;
  uintptr_t have = __builtin_wasm_memory_size(0) * WEIR_PAGE;
  if (end < start) __builtin_trap();
  if (end > have && __builtin_wasm_memory_grow(0, (end - have + WEIR_PAGE - 1) / WEIR_PAGE) == (size_t)-1) __builtin_trap();
  weir_used = end;
  return (void *)start;
}

static void weir_copy(void *to, const void *from, size_t length) { __builtin_memcpy(to, from, length); }

static bool weir_same(const char *one, size_t length, const char *other) {
  for (size_t i = 0; i < length; i++)
    if (other[i] == 0 || one[i] != other[i]) return false;
  return other[length] == 0;
}

/* ---- Reading JSON. The host has checked a request; a configuration is checked by its schema. ---- */

static size_t weir_blank(weir_json json, size_t at) {
  while (at < json.length && (json.data[at] == ' ' || json.data[at] == '\n' || json.data[at] == '\r' || json.data[at] == '\t')) at++;
  return at;
}

/* The place behind the value that begins at `at`. */
static size_t weir_behind(weir_json json, size_t at) {
  size_t depth = 0;
  while (at < json.length) {
    char c = json.data[at];
    if (c == '"') {
      for (at++; at < json.length && json.data[at] != '"'; at++)
        if (json.data[at] == '\\') at++;
      at++;
    } else if (c == '{' || c == '[') {
      depth++, at++;
    } else if (c == '}' || c == ']') {
      if (!depth) return at;
      depth--, at++;
    } else if (depth) {
      at++;
    } else {
      while (at < json.length && json.data[at] != ',' && json.data[at] != '}' && json.data[at] != ']' && json.data[at] > ' ') at++;
    }
    if (!depth) return at;
  }
  return at;
}

/* Goes through an array or an object: `at` begins at 0, and the answer is false at the end. */
static bool weir_next(weir_json json, size_t *at, weir_json *key, weir_json *value) {
  size_t here = *at ? *at : weir_blank(json, 0) + 1;
  here = weir_blank(json, here);
  if (here < json.length && json.data[here] == ',') here = weir_blank(json, here + 1);
  if (here >= json.length || json.data[here] == '}' || json.data[here] == ']') return false;
  if (key) {
    size_t end = weir_behind(json, here);
    *key = (weir_json){json.data + here, end - here};
    here = weir_blank(json, weir_blank(json, end) + 1);
  }
  size_t end = weir_behind(json, here);
  *value = (weir_json){json.data + here, end - here};
  *at = end;
  return true;
}

static bool weir_is(weir_json json, char first) { return json.length && json.data[weir_blank(json, 0)] == first; }

/* A member of an object; of length 0 where there is none. */
static weir_json weir_get(weir_json object, const char *name) {
  weir_json key, value;
  size_t at = 0;
  if (weir_is(object, '{'))
    while (weir_next(object, &at, &key, &value))
      if (key.length >= 2 && weir_same(key.data + 1, key.length - 2, name)) return value;
  return (weir_json){0, 0};
}

static unsigned weir_hex(const char *digits) {
  unsigned value = 0;
  for (int i = 0; i < 4; i++) {
    char c = digits[i];
    value = value * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  }
  return value;
}

/* A JSON string, decoded; empty where it is none. */
static weir_string weir_text(weir_json json) {
  if (!weir_is(json, '"')) return (weir_string){"", 0};
  char *out = weir_take(json.length), *to = out;
  for (size_t i = 1; i + 1 < json.length; i++) {
    char c = json.data[i];
    if (c != '\\') {
      *to++ = c;
      continue;
    }
    c = json.data[++i];
    if (c != 'u') {
      *to++ = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
      continue;
    }
    unsigned code = weir_hex(json.data + i + 1);
    i += 4;
    if (code >= 0xd800 && code < 0xdc00) {
      code = 0x10000 + ((code - 0xd800) << 10) + (weir_hex(json.data + i + 3) - 0xdc00);
      i += 6;
    }
    if (code < 0x80) *to++ = (char)code;
    else if (code < 0x800) *to++ = (char)(0xc0 | code >> 6), *to++ = (char)(0x80 | (code & 63));
    else if (code < 0x10000) *to++ = (char)(0xe0 | code >> 12), *to++ = (char)(0x80 | (code >> 6 & 63)), *to++ = (char)(0x80 | (code & 63));
    else *to++ = (char)(0xf0 | code >> 18), *to++ = (char)(0x80 | (code >> 12 & 63)), *to++ = (char)(0x80 | (code >> 6 & 63)), *to++ = (char)(0x80 | (code & 63));
  }
  return (weir_string){out, (size_t)(to - out)};
}

/* ---- The verdict. ---- */

typedef struct {
  char *data;
  size_t length, room;
} weir_buffer;

static weir_buffer weir_findings, weir_edits;
static int weir_effect;
static const char *weir_error;

static void weir_add(weir_buffer *buffer, const char *data, size_t length) {
  if (buffer->length + length > buffer->room) {
    size_t room = (buffer->length + length) * 2;
    char *data = weir_take(room);
    weir_copy(data, buffer->data, buffer->length);
    buffer->data = data, buffer->room = room;
  }
  weir_copy(buffer->data + buffer->length, data, length);
  buffer->length += length;
}

static void weir_add_word(weir_buffer *buffer, const char *word) {
  size_t length = 0;
  while (word[length]) length++;
  weir_add(buffer, word, length);
}

static void weir_add_text(weir_buffer *buffer, const char *text) {
  static const char digits[] = "0123456789abcdef";
  weir_add(buffer, "\"", 1);
  for (; *text; text++) {
    char escaped[] = {'\\', 'u', '0', '0', digits[(unsigned char)*text >> 4], digits[*text & 15]};
    if (*text == '"' || *text == '\\') weir_add(buffer, "\\", 1), weir_add(buffer, text, 1);
    else if ((unsigned char)*text < 32) weir_add(buffer, escaped, 6);
    else weir_add(buffer, text, 1);
  }
  weir_add(buffer, "\"", 1);
}

static void weir_add_number(weir_buffer *buffer, size_t number) {
  char digits[20];
  int at = 20;
  do digits[--at] = (char)('0' + number % 10);
  while (number /= 10);
  weir_add(buffer, digits + at, (size_t)(20 - at));
}

/* The step may not happen; people must look first. Never loosens what was said before. */
static inline void weir_deny(void) { weir_effect = 2; }
static inline void weir_review(void) { weir_effect = weir_effect > 1 ? weir_effect : 1; }

/* The policy cannot judge, or does not take its configuration; the text says why. */
static inline void weir_fail(const char *why) { weir_error = why; }

/* A coded reason: severity is info, low, medium, high or critical; `at` a JSON pointer, start and end bytes of the text there. */
static void weir_finding(const char *code, const char *severity, const char *message, const char *at, size_t start, size_t end) {
  weir_buffer *out = &weir_findings;
  weir_add_word(out, out->length ? ",{\"code\":" : "{\"code\":");
  weir_add_text(out, code);
  weir_add_word(out, ",\"severity\":"), weir_add_text(out, severity);
  weir_add_word(out, ",\"message\":"), weir_add_text(out, message);
  weir_add_word(out, ",\"at\":"), weir_add_text(out, at);
  weir_add_word(out, ",\"start\":"), weir_add_number(out, start);
  weir_add_word(out, ",\"end\":"), weir_add_number(out, end);
  weir_add_word(out, "}");
}

/* A replacement of a span of the text at a JSON pointer. */
static void weir_edit(const char *at, size_t start, size_t end, const char *replacement) {
  weir_buffer *out = &weir_edits;
  weir_add_word(out, out->length ? ",{\"at\":" : "{\"at\":");
  weir_add_text(out, at);
  weir_add_word(out, ",\"start\":"), weir_add_number(out, start);
  weir_add_word(out, ",\"end\":"), weir_add_number(out, end);
  weir_add_word(out, ",\"replacement\":"), weir_add_text(out, replacement);
  weir_add_word(out, "}");
}

/* "/content/3/text", until the next request. */
static const char *weir_content_at(size_t index) {
  weir_buffer at = {0};
  weir_add_word(&at, "/content/");
  weir_add_number(&at, index);
  weir_add(&at, "/text", 6);
  return at.data;
}

/* ---- What the host calls. ---- */

static int64_t weir_answer(weir_buffer out) { return (int64_t)(uintptr_t)out.data << 32 | (int64_t)out.length; }

WEIR_EXPORT("weir_abi_1") void weir_abi_1(void) {}

WEIR_EXPORT("weir_alloc") int32_t weir_alloc(int32_t length) {
  /* What earlier requests used is free again; the configuration stays. */
  if (weir_kept) weir_used = weir_kept;
  return (int32_t)(uintptr_t)weir_take((size_t)(uint32_t)length);
}

WEIR_EXPORT("weir_configure") int64_t weir_configure(int32_t pointer, int32_t length) {
  weir_configured((weir_json){(const char *)(uintptr_t)(uint32_t)pointer, (size_t)(uint32_t)length});
  weir_kept = weir_used;
  if (!weir_error) return 0;
  weir_buffer out = {0};
  weir_add_word(&out, weir_error);
  return weir_answer(out);
}

WEIR_EXPORT("weir_evaluate") int64_t weir_evaluate(int32_t pointer, int32_t length) {
  static const char *const effects[] = {"allow", "review", "deny"};
  weir_findings = weir_edits = (weir_buffer){0};
  weir_effect = 0;
  weir_judge((weir_json){(const char *)(uintptr_t)(uint32_t)pointer, (size_t)(uint32_t)length});
  weir_buffer out = {0};
  if (weir_error) {
    weir_add_word(&out, "{\"error\":"), weir_add_text(&out, weir_error), weir_add_word(&out, "}");
    return weir_answer(out);
  }
  weir_add_word(&out, "{\"effect\":"), weir_add_text(&out, effects[weir_effect]);
  if (weir_findings.length) weir_add_word(&out, ",\"findings\":["), weir_add(&out, weir_findings.data, weir_findings.length), weir_add_word(&out, "]");
  if (weir_edits.length) weir_add_word(&out, ",\"edits\":["), weir_add(&out, weir_edits.data, weir_edits.length), weir_add_word(&out, "]");
  weir_add_word(&out, "}");
  return weir_answer(out);
}

#endif

// Weir policies in AssemblyScript. A policy calls `policy` once, and exports what the host calls:
//
//     import { Json, Verdict, policy } from "./sdk/weir";
//     export { weir_abi_1, weir_alloc, weir_configure, weir_evaluate } from "./sdk/weir";
//     policy((config: Json) => { ... }, (request: Json, verdict: Verdict) => { ... });
//
// Texts are bytes of UTF-8, as offsets of findings and edits count them. JSON is read where it lies: the host has checked a
// request, and a configuration is checked by its schema. A trap is a failure of the policy, which denies.

/** A text: bytes of UTF-8. */
export class Text {
  constructor(public bytes: StaticArray<u8>) {}

  static of(text: string): Text {
    const buffer = String.UTF8.encode(text);
    const bytes = new StaticArray<u8>(buffer.byteLength);
    memory.copy(changetype<usize>(bytes), changetype<usize>(buffer), buffer.byteLength);
    return new Text(bytes);
  }

  get length(): i32 {
    return this.bytes.length;
  }

  /** Whether it is this text. */
  is(text: string): bool {
    return this.toString() == text;
  }

  /** The first byte of another text in it, from a byte on; -1 where it is not there. */
  find(word: Text, from: i32): i32 {
    const last = this.length - word.length;
    for (let at = from; at <= last; at++) {
      if (memory.compare(changetype<usize>(this.bytes) + at, changetype<usize>(word.bytes), word.length) == 0) return at;
    }
    return -1;
  }

  toString(): string {
    return String.UTF8.decodeUnsafe(changetype<usize>(this.bytes), this.length);
  }
}

/** A piece of JSON as it is written; of length 0 where there is nothing. */
export class Json {
  constructor(private start: usize, private length: usize) {}

  get exists(): bool {
    return this.length > 0;
  }

  private at(place: usize): u8 {
    return place < this.length ? load<u8>(this.start + place) : 0;
  }

  private blank(place: usize): usize {
    while (this.at(place) == 0x20 || this.at(place) == 0x0a || this.at(place) == 0x0d || this.at(place) == 0x09) place++;
    return place;
  }

  /** The place behind the value that begins here. */
  private behind(place: usize): usize {
    let depth = 0;
    while (place < this.length) {
      const c = this.at(place);
      if (c == 0x22) {
        for (place++; place < this.length && this.at(place) != 0x22; place++) if (this.at(place) == 0x5c) place++;
        place++;
      } else if (c == 0x7b || c == 0x5b) {
        depth++;
        place++;
      } else if (c == 0x7d || c == 0x5d) {
        if (depth == 0) return place;
        depth--;
        place++;
      } else if (depth > 0) {
        place++;
      } else {
        while (place < this.length && this.at(place) != 0x2c && this.at(place) != 0x7d && this.at(place) != 0x5d && this.at(place) > 0x20) place++;
      }
      if (depth == 0) return place;
    }
    return place;
  }

  private piece(from: usize, to: usize): Json {
    return new Json(this.start + from, to - from);
  }

  /** A member of an object. */
  get(name: string): Json {
    let at = this.blank(0);
    if (this.at(at) != 0x7b) return new Json(0, 0);
    at = this.blank(at + 1);
    while (at < this.length && this.at(at) != 0x7d) {
      const key = this.piece(at, this.behind(at));
      at = this.blank(this.blank(at + key.length) + 1);
      const end = this.behind(at);
      if (key.text().is(name)) return this.piece(at, end);
      at = this.blank(end);
      if (this.at(at) == 0x2c) at = this.blank(at + 1);
    }
    return new Json(0, 0);
  }

  /** The items of an array. */
  items(): Array<Json> {
    const items = new Array<Json>();
    let at = this.blank(0);
    if (this.at(at) != 0x5b) return items;
    at = this.blank(at + 1);
    while (at < this.length && this.at(at) != 0x5d) {
      const end = this.behind(at);
      items.push(this.piece(at, end));
      at = this.blank(end);
      if (this.at(at) == 0x2c) at = this.blank(at + 1);
    }
    return items;
  }

  /** A string, decoded; empty where it is none. */
  text(): Text {
    if (this.at(0) != 0x22) return new Text(new StaticArray<u8>(0));
    const room = new StaticArray<u8>(this.length as i32);
    let to = 0;
    for (let at: usize = 1; at + 1 < this.length; at++) {
      let c = this.at(at);
      if (c != 0x5c) {
        room[to++] = c;
        continue;
      }
      c = this.at(++at);
      if (c != 0x75) {
        room[to++] = c == 0x6e ? 0x0a : c == 0x74 ? 0x09 : c == 0x72 ? 0x0d : c == 0x62 ? 0x08 : c == 0x66 ? 0x0c : c;
        continue;
      }
      let code = this.hex(at + 1);
      at += 4;
      if (code >= 0xd800 && code < 0xdc00) {
        code = 0x10000 + ((code - 0xd800) << 10) + (this.hex(at + 3) - 0xdc00);
        at += 6;
      }
      if (code < 0x80) {
        room[to++] = code as u8;
      } else if (code < 0x800) {
        room[to++] = (0xc0 | (code >> 6)) as u8;
        room[to++] = (0x80 | (code & 63)) as u8;
      } else if (code < 0x10000) {
        room[to++] = (0xe0 | (code >> 12)) as u8;
        room[to++] = (0x80 | ((code >> 6) & 63)) as u8;
        room[to++] = (0x80 | (code & 63)) as u8;
      } else {
        room[to++] = (0xf0 | (code >> 18)) as u8;
        room[to++] = (0x80 | ((code >> 12) & 63)) as u8;
        room[to++] = (0x80 | ((code >> 6) & 63)) as u8;
        room[to++] = (0x80 | (code & 63)) as u8;
      }
    }
    const bytes = new StaticArray<u8>(to);
    memory.copy(changetype<usize>(bytes), changetype<usize>(room), to);
    return new Text(bytes);
  }

  private hex(place: usize): u32 {
    let value: u32 = 0;
    for (let digit: usize = 0; digit < 4; digit++) {
      const c = this.at(place + digit) as u32;
      value = value * 16 + (c <= 0x39 ? c - 0x30 : (c | 32) - 0x61 + 10);
    }
    return value;
  }
}

/** What a policy answers: allow, unless something else is said. */
export class Verdict {
  private effect: string = "allow";
  private findings: Array<string> = [];
  private edits: Array<string> = [];

  /** The step may not happen. */
  deny(): void {
    this.effect = "deny";
  }

  /** People must look first. Never loosens what was said before. */
  review(): void {
    if (this.effect == "allow") this.effect = "review";
  }

  /** A coded reason; severity is info, low, medium, high or critical, `at` a JSON pointer, start and end bytes of the text there. */
  find(code: string, severity: string, message: string, at: string, start: i32, end: i32): void {
    this.findings.push(`{"code":${quoted(code)},"severity":${quoted(severity)},"message":${quoted(message)},"at":${quoted(at)},"start":${start},"end":${end}}`);
  }

  /** A replacement of a span of the text at a JSON pointer. */
  edit(at: string, start: i32, end: i32, replacement: string): void {
    this.edits.push(`{"at":${quoted(at)},"start":${start},"end":${end},"replacement":${quoted(replacement)}}`);
  }

  toString(): string {
    const findings = this.findings.length ? `,"findings":[${this.findings.join(",")}]` : "";
    const edits = this.edits.length ? `,"edits":[${this.edits.join(",")}]` : "";
    return `{"effect":"${this.effect}"${findings}${edits}}`;
  }
}

function quoted(text: string): string {
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c == 0x22 || c == 0x5c) out += "\\" + text.charAt(i);
    else if (c < 0x20) out += "\\u00" + (c < 16 ? "0" : "1") + "0123456789abcdef".charAt(c & 15);
    else out += text.charAt(i);
  }
  return out + '"';
}

// Kept by these, so that what the host has been told stays where it is.
let input: StaticArray<u8> = new StaticArray<u8>(0);
let output: StaticArray<u8> = new StaticArray<u8>(0);
let configured: (config: Json) => void = (config: Json) => {};
let judge: (request: Json, verdict: Verdict) => void = (request: Json, verdict: Verdict) => {};

/** Makes the module's policy of two functions: the first is called once with the configuration. */
export function policy(configure: (config: Json) => void, evaluate: (request: Json, verdict: Verdict) => void): void {
  configured = configure;
  judge = evaluate;
}

export function weir_abi_1(): void {}

export function weir_alloc(length: i32): usize {
  input = new StaticArray<u8>(length + 1);
  return changetype<usize>(input);
}

export function weir_configure(pointer: usize, length: i32): i64 {
  configured(new Json(pointer, length));
  return 0;
}

export function weir_evaluate(pointer: usize, length: i32): i64 {
  const verdict = new Verdict();
  judge(new Json(pointer, length), verdict);
  output = Text.of(verdict.toString()).bytes;
  return ((changetype<usize>(output) as i64) << 32) | (output.length as i64);
}

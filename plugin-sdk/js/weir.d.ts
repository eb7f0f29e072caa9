/** What the component exports as `judge`. */
export interface Policy {
  configure(config: string): void;
  evaluate(request: unknown): unknown;
}

/**
 * Makes a policy of a function from a configuration and a request to a verdict. An error it throws means "cannot judge".
 *
 * `settings` are all settings with their defaults, and any other is an error, or one of another type; or they are a function from
 * what the operator wrote to what `judge` is given, which may check it. It runs before every evaluation.
 */
export function policy<Given, Config>(judge: Judge<Config>, settings: (given: Given) => Config): Policy;
export function policy<Config extends object>(judge: Judge<Config>, settings: Config): Policy;
export function policy(judge: Judge<any>): Policy;

export type Judge<Config> = (config: Config, request: Request, verdict: Verdict) => void;

/** What a policy is asked. What the manifest's `reads` leave out is empty. */
export interface Request {
  readonly id: string;
  readonly checkpoint: string;
  readonly tenant: string;
  readonly system: string;
  /** The only clock there is; `Date.now()` says the same. */
  readonly time: Date;
  readonly timeMs: number;
  readonly subject: Entity;
  readonly action: Action;
  readonly resource: Entity;
  readonly context: any;
  /** As the caller wrote it, so that numbers keep their digits. */
  readonly contextText: string;
  readonly content: readonly Part[];
  readonly measures: readonly Measure[];
  readonly payload: any;
  /** As the caller wrote it, so that numbers keep their digits. */
  readonly payloadText: string;
}

/** A subject or a resource. */
export interface Entity {
  readonly type: string;
  readonly id: string;
  readonly properties: any;
  /** As the caller wrote it, so that numbers keep their digits. */
  readonly propertiesText: string;
}

/** What is done to the resource. */
export interface Action {
  readonly name: string;
  readonly properties: any;
  /** As the caller wrote it, so that numbers keep their digits. */
  readonly propertiesText: string;
}

/** One text of a conversation or document. */
export interface Part {
  readonly role: string;
  /** Where the text really comes from, which its wording cannot show. */
  readonly origin: Origin;
  readonly text: string;
  /** Its JSON pointer. */
  readonly at: string;
  /** Where a word or a regular expression stands in the text. What matches nothing is left out. */
  find(pattern: string | RegExp): Span[];
}

/** One number about one group, and how many cases it rests on. A count is exact up to 2^53. */
export interface Measure {
  readonly name: string;
  readonly group: string;
  readonly value: number;
  readonly count: number;
}

/** A place in the text at a JSON pointer. `start` and `end` are bytes of its UTF-8, which indices of a string are not. */
export interface Span {
  at: string;
  start: number;
  end: number;
  /** What stands there. */
  text: string;
}

/** Where a finding is, and what it rests on: a span, or as little as is known. */
export interface Place {
  at?: string;
  start?: number;
  end?: number;
  measured?: number | string;
  threshold?: number | string;
  because?: readonly string[];
}

/** What a policy answers: allow, unless something else is said. */
export interface Verdict {
  readonly effect: Effect;
  /** The step may not happen. */
  deny(): void;
  /** People must look first. It never loosens what was said before. */
  review(): void;
  /** Adds a coded reason. */
  find(code: string, severity: Severity, message: string, place?: Place): void;
  /** Replaces a span. */
  edit(span: Pick<Span, "at" | "start" | "end">, replacement: string): void;
  /** Sets a named risk from 0 to 1, where higher is worse; any other measurement belongs into a finding. */
  score(name: string, risk: number): void;
  /** Adds a duty of the caller. */
  obligation(name: string, because?: readonly string[]): void;
}

export type Effect = "allow" | "review" | "deny";
export type Origin = "system" | "user" | "model" | "tool" | "retrieved";
export type Severity = "info" | "low" | "medium" | "high" | "critical";

/** Where a word or a regular expression stands in the text at a JSON pointer, such as one in the payload. */
export function spans(at: string, text: string, pattern: string | RegExp): Span[];

/** The length of a text in UTF-8. */
export function bytes(text: string): number;

/**
 * Asks a Weir server for decisions. One file, no dependencies: Node 18 or later, Deno, Bun, browsers.
 *
 *     const weir = new Weir("http://127.0.0.1:7171", { key: "weir_…" });
 *     const decision = await weir.evaluate({ checkpoint: "tool.call", payload: { amount: 120 } });
 *     if (decision.effect === "allow") { … }
 *
 * Whatever goes wrong is a decision that denies: no answer in time, no server, a problem instead of a decision. Its
 * `decided_by` is then `["client"]`, and `problem` says why.
 */

// Types of openapi.json: begin, made from it

export interface Action {
  name?: string;
  properties?: Record<string, unknown>;
}

export interface Content {
  origin?: "system" | "user" | "model" | "tool" | "retrieved";
  role?: string;
  text: string;
}

export interface Answer {
  checkpoint: string;
  decided_by: string[];
  edits: Edit[];
  effect: Effect;
  findings: Finding[];
  generation: Generation;
  obligations: Obligation[];
  policies: PolicyReport[];
  record?: string | null;
  request: string;
  review?: unknown;
  scores: Record<string, number>;
  shadow?: PolicyReport[];
  system?: string | null;
  tenant: string;
  v: 1;
}

export interface Edit {
  at: string;
  end: number;
  policies: string[];
  replacement: string;
  start: number;
}

export type Effect = "allow" | "review" | "deny";

export interface Entity {
  id?: string;
  properties?: Record<string, unknown>;
  type?: string;
}

export interface Finding {
  at?: string;
  because?: string[];
  code: string;
  end?: number;
  measured?: unknown;
  message: string;
  policy: string;
  severity: Severity;
  start?: number;
  threshold?: unknown;
}

export interface Generation {
  digest: string;
  number: number;
}

export interface Measure {
  count?: number;
  group?: string;
  name?: string;
  value?: number;
}

export interface Obligation {
  because?: string[];
  name: string;
  policies?: string[];
}

export interface PolicyReport {
  name: string;
}

export interface Problem {
  code: string;
  detail: string;
  pointer?: string;
  report?: Record<string, unknown>;
  retry_after_ms?: number;
  status: number;
}

export interface Request {
  action?: Action;
  checkpoint: string;
  content?: Content[];
  context?: Record<string, unknown>;
  id?: string;
  measures?: Measure[];
  payload?: unknown;
  resource?: Entity;
  subject?: Entity;
  system?: string;
  tenant?: string;
  time?: string;
}

export type Severity = "info" | "low" | "medium" | "high" | "critical";

// Types of openapi.json: end

/** What a server decided, or a denial of this client's own; `decided_by` is then `["client"]`. */
export type Decision = Partial<Answer> &
  Pick<Answer, "effect" | "decided_by" | "findings" | "edits" | "scores" | "obligations"> & {
    /** Why there is no decision of the server. */
    problem?: string;
  };

export interface Options {
  /** A key made by `weir key new`. */
  key?: string;
  /** Milliseconds until an answer is given up; default 250. The server is told it, and has a bound of its own. */
  timeoutMs?: number;
}

export class Weir {
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #timeoutMs: number;

  constructor(url: string, { key, timeoutMs = 250 }: Options = {}) {
    this.#url = url.replace(/\/+$/, "");
    this.#timeoutMs = timeoutMs;
    this.#headers = {
      "content-type": "application/json",
      "weir-timeout-ms": String(Math.max(1, Math.trunc(timeoutMs))),
    };
    if (key !== undefined) this.#headers["authorization"] = `Bearer ${key}`;
  }

  /** Asks for one decision. Never rejects: what cannot be asked is denied. */
  async evaluate(request: Request): Promise<Decision> {
    try {
      const [status, answer] = await this.#post("/v1/evaluate", request);
      return status === 200 ? decision(answer) : denied(problem(status, answer));
    } catch (error) {
      return denied(String(error));
    }
  }

  /** Asks for many decisions at once, in the order of the requests. */
  async evaluateBatch(requests: Request[]): Promise<Decision[]> {
    try {
      const [status, answer] = await this.#post("/v1/evaluate/batch", { requests });
      const answers = (answer as { answers?: { decision?: unknown; problem?: unknown }[] } | null)?.answers;
      if (status !== 200 || answers?.length !== requests.length) {
        return requests.map(() => denied(problem(status, answer)));
      }
      return answers.map((one) => (one.decision ? decision(one.decision) : denied(problem(200, one.problem))));
    } catch (error) {
      return requests.map(() => denied(String(error)));
    }
  }

  async #post(path: string, value: unknown): Promise<[number, unknown]> {
    const answer = await fetch(this.#url + path, {
      method: "POST",
      headers: this.#headers,
      body: JSON.stringify(value),
      redirect: "error",
      signal: AbortSignal.timeout(this.#timeoutMs),
    });
    return [answer.status, await answer.json()];
  }
}

function denied(why: string): Decision {
  return { effect: "deny", decided_by: ["client"], findings: [], edits: [], scores: {}, obligations: [], problem: why };
}

function problem(status: number, answer: unknown): string {
  const { code, detail } = (answer ?? {}) as { code?: string; detail?: string };
  return code === undefined ? `status ${status} without a decision` : `${code}: ${detail}`;
}

function decision(answer: unknown): Decision {
  const { effect, decided_by } = (answer ?? {}) as Partial<Decision>;
  const known = (effect === "allow" || effect === "review" || effect === "deny") && Array.isArray(decided_by);
  return known ? (answer as Decision) : denied("an answer that is no decision");
}

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

export type Effect = "allow" | "review" | "deny";

export interface Request {
  checkpoint: string;
  id?: string;
  tenant?: string;
  system?: string;
  subject?: Entity;
  action?: { name?: string; properties?: Record<string, unknown> };
  resource?: Entity;
  context?: Record<string, unknown>;
  content?: { text: string; role?: string; origin?: "system" | "user" | "model" | "tool" | "retrieved" }[];
  measures?: { name?: string; group?: string; value?: number; count?: number }[];
  payload?: unknown;
}

export interface Entity {
  type?: string;
  id?: string;
  properties?: Record<string, unknown>;
}

export interface Finding {
  policy: string;
  code: string;
  severity: "info" | "low" | "medium" | "high" | "critical";
  message: string;
  at?: string;
  start?: number;
  end?: number;
}

export interface Edit {
  at: string;
  start: number;
  end: number;
  replacement: string;
  policies: string[];
}

export interface Decision {
  effect: Effect;
  /** Names of policies, `unbound`, `overload`, `record`, or `client` where the server did not decide. */
  decided_by: string[];
  request?: string;
  record?: string | null;
  generation?: { number: number; digest: string };
  findings: Finding[];
  edits: Edit[];
  scores: Record<string, number>;
  obligations: { name: string }[];
  /** Why there is no decision of the server. */
  problem?: string;
}

export interface Options {
  /** A key made by `weir key new`. */
  key?: string;
  /** Milliseconds until an answer is given up; default 250. The server is told it, up to its own bound. */
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
      "weir-timeout-ms": String(Math.max(1, Math.min(5000, Math.trunc(timeoutMs)))),
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
  const { effect } = (answer ?? {}) as Partial<Decision>;
  const known = effect === "allow" || effect === "review" || effect === "deny";
  return known ? (answer as Decision) : denied("an answer without an effect");
}

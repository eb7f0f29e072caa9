import type { Effect, Policy, Severity } from "./weir.js";

/**
 * The verdict on a request, both in their JSON forms. Throws the text that the host would be told where the policy refuses its
 * configuration or cannot judge.
 */
export function tried(judge: Policy, config: unknown, request: Record<string, unknown>): Tried;

export interface Tried {
  effect: Effect;
  findings: Finding[];
  edits: { at: string; start: number; end: number; replacement: string }[];
  scores: Record<string, number>;
  obligations: { name: string; because: string[] }[];
}

export interface Finding {
  code: string;
  severity: Severity;
  message: string;
  at?: string;
  start?: number;
  end?: number;
  measured?: string;
  threshold?: string;
  because: string[];
}

/** Begins with budgets that nobody has used. They are counted in windows that never end. */
export function forget(): void;

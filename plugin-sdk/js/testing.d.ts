import type { Effect, Policy, Severity } from "./weir.js";

/**
 * The verdict on a request, both in their JSON forms. Throws the text that the host would be told where the policy refuses its
 * configuration or cannot judge. The policy is given what `reads` point to and nothing else, as by a host: those of its
 * manifest.json where none are named here.
 */
export function tried(
  judge: Policy,
  config: unknown,
  request: Record<string, unknown>,
  reads?: readonly string[],
): Tried;

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

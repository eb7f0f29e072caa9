/** Over what time a limit holds: 1 ms to 366 days. */
export interface Window {
  readonly ms: number;
  readonly kind: "sliding" | "tumbling";
}

/** Any time of this length. The host counts in sixteenths of it, always towards the limit. */
export function sliding(ms: number): Window;

/** From one multiple of this length since 1970, UTC, to the next: 86,400,000 are calendar days. */
export function tumbling(ms: number): Window;

/** Milliseconds of `90s`, `10m`, `12h` or `30d`, as configurations write them: up to 366 days. */
export function millis(text: string): number;

/** What the host answers. */
export interface Taken {
  /** Whether the amount fitted below the limit and is taken. */
  granted: boolean;
  /** What counts in the window now, with what was granted. */
  used: number;
  /** Granted: until all of it counts no more. Not granted: until the amount would fit if nobody took anything meanwhile. */
  resetsInMs: number;
}

/** Takes an amount where it fits below the limit: one atomic step, whoever else asks. An amount of 0 only looks. */
export function take(key: string, amount: number, limit: number, window: Window): Taken;

/** As `take`, for an estimate: `settle` replaces it by what it came to. */
export function hold(key: string, name: string, amount: number, limit: number, window: Window): Taken;

/**
 * Replaces the oldest estimate of this name by what it came to, in the window it was taken from. Where there is none the amount
 * counts from now on. It is a fact, so no limit refuses it, and it stands whatever the ruling.
 */
export function settle(key: string, name: string, amount: number, window: Window): Taken;

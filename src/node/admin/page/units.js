// Numbers, sizes, lengths of time and moments, as people read them; the exact value is for the tooltip.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let ahead = 0;

/** Sets what time it is, by an HTTP date of the node: its clock counts, not the reader's. */
export function setClock(date) {
  const theirs = Date.parse(date ?? "");
  if (Number.isNaN(theirs)) return;
  const difference = theirs - Date.now();
  // The header has whole seconds: less than that is no difference.
  ahead = Math.abs(difference) < 2 * SECOND ? 0 : difference;
}

export const now = () => Date.now() + ahead;

export const number = (value) => (value ?? 0).toLocaleString("en-US");

/** `1.2 MB`: powers of a thousand. */
export function size(bytes) {
  let value = bytes ?? 0;
  if (value < 1000) return `${value} B`;
  for (const unit of ["kB", "MB", "GB", "TB", "PB"]) {
    value /= 1000;
    if (value < 999.5 || unit === "PB") return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${unit}`;
  }
  return "";
}

export const sizeExactly = (bytes) => `${number(bytes)} bytes`;

/** `3 min 4 s`: the two units that matter. */
export function duration(milliseconds) {
  const all = Math.max(0, milliseconds ?? 0);
  if (all < SECOND) return `${Math.round(all)} ms`;
  if (all < 10 * SECOND) return `${(Math.floor(all / 100) / 10).toFixed(1)} s`;
  if (all < MINUTE) return `${Math.floor(all / SECOND)} s`;
  const [big, small] = all < HOUR ? [MINUTE, SECOND] : all < DAY ? [HOUR, MINUTE] : [DAY, HOUR];
  const names = new Map([
    [SECOND, "s"],
    [MINUTE, "min"],
    [HOUR, "h"],
    [DAY, "d"],
  ]);
  const rest = Math.floor((all % big) / small);
  return `${Math.floor(all / big)} ${names.get(big)}${rest ? ` ${rest} ${names.get(small)}` : ""}`;
}

/** `0.4 ms`: what networks take. */
export function microseconds(value) {
  if (value < 1000) return `${value} µs`;
  const milliseconds = value / 1000;
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}

/** How long ago a moment was, in whole seconds, so that it does not flicker. */
export function ago(moment) {
  const passed = now() - Date.parse(moment);
  if (Number.isNaN(passed)) return "";
  return passed < 2 * SECOND ? "just now" : `${duration(Math.floor(passed / SECOND) * SECOND).replace(".0 s", " s")} ago`;
}

/** Since when, without the *ago*. */
export const since = (moment) => {
  const text = ago(moment);
  return text === "just now" ? "a moment" : text.replace(/ ago$/, "");
};

// Asks the node. Paths are relative to the page, so that it also works behind a proxy that puts it somewhere else.

import { setClock } from "./units.js";

const PATIENCE = 5000;
const PAGE = 500;
/** More of a list is not fetched: 20 pages. The reader is told. */
const MOST = 20 * PAGE;

/** The node has answered, and not with what was asked for. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail || `the node answered with HTTP status ${status}`);
    this.status = status;
  }
}

/** One value. Fails with a Problem when the node says no, and with another error when it says nothing. */
export async function ask(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  const response = await fetch(query ? `${path}?${query}` : path, {
    cache: "no-store",
    headers: { accept: "application/json" },
    redirect: "error",
    signal: AbortSignal.timeout(PATIENCE),
  });
  setClock(response.headers.get("date"));
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Problem(response.status, typeof problem.detail === "string" ? problem.detail : "");
}

/** A whole list, page by page: its items, and whether there are more than were fetched. */
export async function list(path) {
  const items = [];
  let next;
  do {
    const page = await ask(path, next === undefined ? { limit: PAGE } : { limit: PAGE, after: next });
    items.push(...page.items);
    next = page.next;
  } while (next !== undefined && next !== null && items.length < MOST);
  return { items, more: next !== undefined && next !== null };
}

/** The newest of a list: its first page. */
export async function newest(path) {
  const page = await ask(path, { limit: PAGE });
  return { items: page.items, more: page.next !== undefined && page.next !== null };
}

// Tables that can be searched, sorted and paged. Rows and columns go in with the reader's settings; elements come out. Only one page
// is ever made, however long the list is.
//
// A column is { id, title, text(row), show?(row), value?(row), number?, hint? }: `text` is searched and shown, `show` gives an element
// instead, `value` is what it is sorted by.

import { el } from "./dom.js";
import { button, notice } from "./parts.js";
import { setting } from "./place.js";
import { number } from "./units.js";

const PER_PAGE = 50;
const comparing = new Intl.Collator("en", { numeric: true });

/** Rows in which every word of the search is somewhere. */
function found(rows, words, searched) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return rows;
  return rows.filter((row) => {
    const text = searched(row).toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
}

function sorted(rows, columns, by) {
  const name = by.replace(/^-/, "");
  const column = columns.find(({ id }) => id === name);
  if (!column) return rows;
  const value = column.value ?? column.text;
  const keyed = rows.map((row, at) => ({ row, at, key: value(row) ?? "" }));
  const sign = by.startsWith("-") ? -1 : 1;
  const compare = (one, other) =>
    typeof one.key === "number" && typeof other.key === "number" ? one.key - other.key : comparing.compare(one.key, other.key);
  // Rows that are equal stay in the order they came in.
  keyed.sort((one, other) => sign * compare(one, other) || one.at - other.at);
  return keyed.map(({ row }) => row);
}

function heading(column, by) {
  const name = by.replace(/^-/, "");
  const down = by.startsWith("-");
  const is = column.id === name;
  // Numbers are mostly sorted to see the largest.
  const next = is ? (down ? column.id : `-${column.id}`) : column.number ? `-${column.id}` : column.id;
  const sign = is ? (down ? "▼" : "▲") : "";
  return el(
    "th",
    {
      scope: "col",
      role: "columnheader",
      class: column.number ? "number" : null,
      title: column.hint,
      "aria-sort": is ? (down ? "descending" : "ascending") : null,
    },
    button("sort", next, [column.title, el("span", { class: "sign", "aria-hidden": "true" }, sign)]),
  );
}

function bodyRow(row, columns, options) {
  const cells = columns.map((column) => {
    const content = column.show ? column.show(row) : column.text(row);
    return el(
      "td",
      { role: "cell", "data-label": column.title, class: column.number ? "number" : null },
      el("div", {}, content),
    );
  });
  const more = options.open ? { "data-do": "open", "data-with": options.open(row), class: "opens" } : {};
  return el("tr", { role: "row", "data-key": options.key(row), ...more, ...options.row?.(row) }, cells);
}

/** The box to search in, and beside it what else the view offers. */
export function tools(label, ...more) {
  return el(
    "div",
    { class: "tools", "data-key": "tools" },
    el(
      "label",
      { class: "search" },
      el("span", { class: "unseen" }, label),
      el("input", {
        type: "search",
        "data-setting": "q",
        placeholder: `${label}  ( / )`,
        autocomplete: "off",
        spellcheck: "false",
      }),
    ),
    more,
  );
}

/** For narrow screens, where tables have no head. */
function sortChoice(columns, by) {
  const options = columns.flatMap(({ id, title }) => [
    [id, `${title} ▲`],
    [`-${id}`, `${title} ▼`],
  ]);
  return el(
    "label",
    { class: "sort-choice" },
    "Sort by ",
    el(
      "select",
      { "data-setting": "sort" },
      options.map(([value, text]) => el("option", { value, selected: value === by }, text)),
    ),
  );
}

function pager(page, pages, shown, all, more) {
  const range = shown.length ? `${number(page * PER_PAGE + 1)}–${number(page * PER_PAGE + shown.length)} of ` : "";
  const turning = pages > 1 && [
    button("page", page - 1, "Previous", { disabled: page === 0 }),
    button("page", page + 1, "Next", { disabled: page === pages - 1 }),
  ];
  return el(
    "div",
    { class: "pager", "data-key": "pager" },
    el("span", { class: "count" }, `${range}${number(all)}${more ? " (and more that were not fetched)" : ""}`),
    turning,
  );
}

/**
 * The table as elements. `options`: `key(row)`, `label`, `empty`, `sort` (by what, unless the reader says), `open(row)` (what a click
 * opens), `search(row)` (what is searched beside the columns), `row(row)` (attributes), `more` (whether the list was cut).
 */
export function table(rows, columns, options) {
  const by = setting("sort") || options.sort || "";
  const searched = (row) => `${columns.map(({ text }) => text(row) ?? "").join(" ")} ${options.search?.(row) ?? ""}`;
  const fitting = sorted(found(rows, setting("q"), searched), columns, by);
  const pages = Math.max(1, Math.ceil(fitting.length / PER_PAGE));
  const page = Math.min(Math.max(0, Number.parseInt(setting("page"), 10) || 0), pages - 1);
  const shown = fitting.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
  const empty = rows.length ? "Nothing fits the search." : options.empty;
  return el(
    "div",
    { class: "listing", "data-key": `listing ${options.label}` },
    shown.length > 0 && sortChoice(columns, by),
    shown.length > 0 &&
      el(
        "div",
        { class: "scrolls", role: "region", "aria-label": options.label, tabindex: "0" },
        el(
          "table",
          { role: "table", "aria-label": options.label },
          el(
            "thead",
            { role: "rowgroup" },
            el(
              "tr",
              { role: "row" },
              columns.map((column) => heading(column, by)),
            ),
          ),
          el(
            "tbody",
            { role: "rowgroup" },
            shown.map((row) => bodyRow(row, columns, options)),
          ),
        ),
      ),
    shown.length === 0 && notice("note", empty),
    pager(page, pages, shown, fitting.length, options.more),
  );
}

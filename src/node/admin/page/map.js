// Who talks to whom: a picture, and the same as a table.

import { list } from "./api.js";
import { el, svg } from "./dom.js";
import { drawn, flowsOf } from "./flows.js";
import { layout } from "./layout.js";
import { both, button, code, host, mark, notice, numbers, sum, when } from "./parts.js";
import { set, setting } from "./place.js";
import { table, tools } from "./table.js";
import { ago, number, size } from "./units.js";

/** As wide as a text of a box may be. */
const FITTING = 166;
const pen = document.createElement("canvas").getContext("2d");

/** The part of a text that fits into a box. */
function cut(text, font) {
  pen.font = `${font} ${getComputedStyle(document.body).fontFamily}`;
  let shown = text.slice(0, 60);
  if (pen.measureText(text).width <= FITTING) return text;
  while (shown && pen.measureText(`${shown}…`).width > FITTING) shown = shown.slice(0, -1);
  return `${shown}…`;
}

/** A line, or one beside it. */
const path = ({ x1, y1, x2, y2 }, beside = 0) => {
  const bend = (x2 - x1) * 0.45;
  const [from, to] = [(y1 + beside).toFixed(1), (y2 + beside).toFixed(1)];
  return `M${x1} ${from}C${x1 + bend} ${from} ${x2 - bend} ${to} ${x2} ${to}`;
};

function lineTitle(line, names) {
  const counts = `${number(line.connections)} connections, ${number(line.open)} open, ${number(line.refused)} refused`;
  return `${names.get(line.from)} → ${names.get(line.to)}: ${counts}, ${size(line.bytes)}${line.isPlain ? ", in plaintext" : ""}`;
}

function drawnLine(line, names, faded) {
  const allRefused = line.refused > 0 && line.refused === line.connections;
  return svg(
    "g",
    { class: `line${line.isPlain ? " plain" : ""}${faded ? " faded" : ""}`, "data-key": line.id },
    svg("title", {}, lineTitle(line, names)),
    !allRefused && svg("path", { d: path(line), class: "carried", "stroke-width": line.thickness.toFixed(1) }),
    line.refused > 0 && svg("path", { d: path(line, allRefused ? 0 : line.thickness / 2 + 2.5), class: "refused" }),
    // The first piece of the way says whose it is; twice would be too much.
    line.refused > 0 &&
      line.from.startsWith("c") &&
      svg(
        "text",
        { x: line.x1 + 24, y: (line.y1 - line.thickness / 2 - 5).toFixed(1), class: "refused-count" },
        `✕ ${number(line.refused)}`,
      ),
  );
}

function box(it, chosen, faded) {
  if (it.isLane) return null;
  const kind = it.id.startsWith("=") ? "service" : it.isStranger ? "stranger" : "workload";
  const isChosen = chosen === it.id;
  return svg(
    "g",
    {
      class: `box ${kind}${isChosen ? " chosen" : ""}${faded ? " faded" : ""}`,
      "data-key": it.id,
      "data-do": "choose-party",
      "data-with": it.id,
      role: "button",
      tabindex: "0",
      "aria-pressed": String(isChosen),
      "aria-label": `${it.full ?? it.name}${it.below ? `, ${it.below}` : ""}`,
    },
    svg("title", {}, [it.full ?? it.name, it.below, it.identity].filter(Boolean).join("\n")),
    svg("rect", { x: it.x, y: it.y.toFixed(1), width: it.width, height: it.height, rx: kind === "service" ? 22 : 7 }),
    svg("text", { x: it.x + 16, y: (it.y + 19).toFixed(1), class: "name" }, cut(it.name, "600 13.5px")),
    svg("text", { x: it.x + 16, y: (it.y + 35).toFixed(1), class: "below" }, cut(it.below, "12px")),
  );
}

/** Whether a flow has to do with a party of the map. */
const isOf = (flow, party) => [`c${flow.source.id}`, flow.service?.id, flow.target && `s${flow.target.id}`].includes(party);

function picture(flows, wide) {
  const { boxes, lines, width, height, headings } = layout(flows, wide);
  const chosen = setting("of");
  const chosenFlows = new Set(flows.filter((flow) => isOf(flow, chosen)).map((flow) => flow.id));
  const fades = (line) => chosenFlows.size > 0 && !line.flows.some((id) => chosenFlows.has(id));
  const names = new Map(boxes.map((it) => [it.id, it.full ?? (it.name || "directly")]));
  const touched = new Set(lines.filter((line) => !fades(line)).flatMap((line) => [line.from, line.to]));
  return svg(
    "svg",
    {
      class: "map",
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "group",
      "aria-label": "Who talks to whom; the table below says the same",
    },
    ["Callers", "Services", "Called"].map((text, at) => svg("text", { x: headings[at] + 2, y: 16, class: "heading" }, text)),
    // What matters is drawn last, over the rest.
    [...lines]
      .sort((one, other) => Number(!fades(one)) - Number(!fades(other)) || one.refused - other.refused)
      .map((line) => drawnLine(line, names, fades(line))),
    boxes.map((it) => box(it, chosen, !touched.has(it.id))),
  );
}

const legend = () =>
  el(
    "ul",
    { class: "legend", "aria-label": "Legend" },
    [
      ["carried", "mutual TLS"],
      ["plain", "plaintext"],
      ["refused", "refused"],
    ].map(([kind, text]) =>
      el(
        "li",
        {},
        svg("svg", { width: 30, height: 10, "aria-hidden": "true", class: `sample ${kind}` }, svg("path", { d: "M1 5h28" })),
        ` ${text}`,
      ),
    ),
    el("li", {}, "thicker: more bytes"),
  );

const partyCell = (party) =>
  el("span", { class: "end", title: party.identity }, el("strong", {}, party.name), el("small", {}, party.below));

const columns = [
  {
    id: "from",
    title: "From",
    text: ({ source }) => `${source.name} ${source.below}`,
    show: ({ source }) => partyCell(source),
  },
  {
    id: "service",
    title: "Service",
    text: ({ service }) => service?.full ?? "",
    show: ({ service }) => (service ? host(service.full) : el("span", { class: "muted" }, "directly")),
  },
  {
    id: "to",
    title: "To",
    text: ({ target }) => (target ? `${target.name} ${target.below}` : ""),
    show: ({ target }) => (target ? partyCell(target) : el("span", { class: "muted" }, "nobody")),
  },
  {
    id: "travels",
    title: "Travels",
    text: ({ isPlain }) => (isPlain ? "plaintext" : "mutual TLS"),
    show: ({ isPlain }) => (isPlain ? mark("note", "plaintext") : mark("good", "mutual TLS")),
  },
  numbers("open", "Open", "connections that are open"),
  numbers("connections", "All", "all there were since this pair was first seen"),
  numbers("refused", "Refused", "those that were never made"),
  numbers("broken", "Broken", "those that broke or were cut"),
  {
    id: "bytes",
    title: "Moved",
    hint: "to the server and to the client",
    number: true,
    text: () => "",
    value: (flow) => sum(flow.bytes),
    show: (flow) => both(flow.bytes),
  },
  { id: "reason", title: "Last failure", text: (flow) => flow.lastReason ?? "", show: (flow) => code(flow.lastReason) },
  {
    id: "seen",
    title: "Last seen",
    text: (flow) => ago(flow.lastSeen),
    value: (flow) => -Date.parse(flow.lastSeen),
    show: (flow) => when(flow.lastSeen),
  },
];

export async function load() {
  const { items, more } = await list("v1/traffic");
  return { flows: flowsOf(items), more };
}

function fitting(flows) {
  const words = setting("q").toLowerCase().split(/\s+/).filter(Boolean);
  const text = (flow) =>
    columns
      .map((column) => column.text(flow))
      .join(" ")
      .toLowerCase();
  return words.length === 0 ? flows : flows.filter((flow) => words.every((word) => text(flow).includes(word)));
}

export function render({ flows, more }, panel) {
  const found = fitting(flows);
  const some = drawn(found);
  const chosen = some.some((flow) => isOf(flow, setting("of"))) ? setting("of") : "";
  const rows = chosen ? flows.filter((flow) => isOf(flow, chosen)) : flows;
  return [
    tools("Search traffic", legend(), chosen && button("choose-party", "", "Show all")),
    some.length > 0 &&
      el(
        "div",
        { class: "scrolls picture", role: "region", "aria-label": "Map of the traffic", tabindex: "0", "data-key": "picture" },
        picture(some, Math.floor(panel.clientWidth) - 34),
      ),
    some.length < found.length &&
      notice("note", `The ${some.length} largest of ${number(found.length)} are drawn; the table has all.`),
    table(rows, columns, {
      label: "Traffic",
      empty: "Nobody has talked to anybody yet.",
      sort: "-bytes",
      more,
      key: (flow) => flow.id,
      row: (flow) => (flow.refused > 0 ? { class: "troubled" } : {}),
    }),
  ];
}

export const actions = {
  "choose-party": (id) => set({ of: id === setting("of") ? "" : id, page: "" }),
};

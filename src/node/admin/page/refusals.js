// Connections that were never made, newest first, each with its reason.

import { newest } from "./api.js";
import { el } from "./dom.js";
import { button, code, when } from "./parts.js";
import { columns as common } from "./connections.js";
import { table, tools } from "./table.js";
import { ago } from "./units.js";

const ended = (it) => it.outcome?.ended ?? it.began;

const columns = [
  {
    id: "when",
    title: "When",
    text: (it) => ago(ended(it)),
    value: (it) => -Date.parse(ended(it)),
    show: (it) => when(ended(it)),
  },
  common.direction,
  common.source,
  common.destination,
  common.service,
  {
    id: "reason",
    title: "Reason",
    text: (it) => it.outcome?.reason ?? "",
    show: (it) => el("span", { class: "bad" }, code(it.outcome?.reason)),
  },
  {
    id: "error",
    title: "In words",
    text: (it) => it.outcome?.error ?? "",
    show: (it) => el("span", { class: "words" }, it.outcome?.error ?? ""),
  },
  {
    id: "id",
    title: "Why",
    text: (it) => it.id,
    show: (it) => button("open", it.id, "Why?", { "aria-label": `Why was connection ${it.id} refused?`, title: it.id }),
  },
];

export const load = () => newest("v1/refusals");

export const render = ({ items, more }) => [
  tools("Search refusals"),
  table(items, columns, {
    label: "Refusals",
    empty: "Nothing was refused lately.",
    more,
    key: (it) => it.id,
    open: (it) => it.id,
    search: (it) => `${it.pod.namespace}/${it.pod.name} ${it.policy ?? ""}`,
  }),
];

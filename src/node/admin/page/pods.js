// The pods of this node: whether they are served, and what their connections came to.

import { list } from "./api.js";
import { both, identity, mark, numbers, sum, when } from "./parts.js";
import { table, tools } from "./table.js";
import { el } from "./dom.js";
import { ago } from "./units.js";

const state = (pod) => (pod.state === "up" ? "served" : "not served");

function shownState(pod) {
  const kind = pod.state === "up" ? (pod.reason ? "warn" : "good") : "bad";
  return [mark(kind, state(pod), pod.since), pod.reason && el("small", { class: kind }, pod.reason)];
}

const columns = [
  {
    id: "pod",
    title: "Pod",
    text: (pod) => `${pod.namespace}/${pod.name}`,
    show: (pod) =>
      el("span", { class: "end", title: `uid ${pod.uid}` }, el("strong", {}, pod.name), el("small", {}, pod.namespace)),
  },
  { id: "state", title: "State", text: (pod) => `${state(pod)} ${pod.reason ?? ""}`, show: shownState },
  {
    id: "since",
    title: "Since",
    text: (pod) => ago(pod.since),
    value: (pod) => -Date.parse(pod.since),
    show: (pod) => when(pod.since),
  },
  { id: "identity", title: "Identity", text: (pod) => pod.identity ?? "", show: (pod) => identity(pod.identity) },
  numbers("open", "Open", "connections that are open"),
  numbers("connections", "All", "connections since it is served"),
  numbers("refused", "Refused", "those that were never made"),
  numbers("broken", "Broken", "those that broke or were cut"),
  {
    id: "bytes",
    title: "Moved",
    hint: "to the server and to the client",
    number: true,
    text: () => "",
    value: (pod) => sum(pod.bytes),
    show: (pod) => both(pod.bytes),
  },
];

export const load = () => list("v1/pods");

export const render = ({ items, more }) => [
  tools("Search pods"),
  table(items, columns, {
    label: "Pods of this node",
    empty: "This node serves no pods.",
    sort: "pod",
    more,
    key: (pod) => pod.uid,
    search: (pod) => `${pod.uid} ${pod.serviceAccount}`,
  }),
];

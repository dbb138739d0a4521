// Small things every view is made of: marks, sizes, moments, names, notices. Each gives an element with the exact value as tooltip.

import { el } from "./dom.js";
import { ago, duration, number, size, sizeExactly } from "./units.js";

/** A word with a colour and a sign: the sign is for those who do not see the colour. */
export function mark(kind, text, title) {
  const sign = { good: "●", warn: "▲", bad: "✕", note: "○" }[kind];
  return el("span", { class: `mark ${kind}`, title }, el("span", { "aria-hidden": "true" }, sign), ` ${text}`);
}

export const bytes = (value) => el("span", { title: sizeExactly(value) }, size(value));

export const both = (value) =>
  el(
    "span",
    { class: "both", title: `to the server: ${sizeExactly(value.toServer)}; to the client: ${sizeExactly(value.toClient)}` },
    `↑ ${size(value.toServer)}`,
    " ",
    `↓ ${size(value.toClient)}`,
  );

export const sum = (value) => (value?.toServer ?? 0) + (value?.toClient ?? 0);

export const count = (value) => el("span", { title: number(value) }, number(value));

/** A column of counts; what did not go well stands out. */
export const numbers = (id, title, hint) => ({
  id,
  title,
  hint,
  number: true,
  text: (row) => number(row[id]),
  value: (row) => row[id],
  show: (row) =>
    row[id] > 0 && (id === "refused" || id === "broken") ? el("span", { class: "bad" }, count(row[id])) : count(row[id]),
});

export const when = (moment) => (moment ? el("time", { datetime: moment, title: moment }, ago(moment)) : null);

export const span = (milliseconds) => el("span", { title: `${number(milliseconds)} ms` }, duration(milliseconds));

/** How an end of a connection is called: by its pod, else by its service, else by its address. */
export const nameOf = (end) => end.workload ?? end.service ?? (end.address || "unknown");

const described = (end) =>
  [
    ["address", end.address],
    ["workload", end.workload],
    ["owner", end.owner],
    ["namespace", end.namespace],
    ["cluster", end.cluster],
    ["identity", end.identity],
    ["service", end.service],
  ].filter(([, value]) => value);

/** An end in two lines: its name, and the namespace or the address. */
export function end(value) {
  const title = described(value)
    .map(([name, text]) => `${name}: ${text}`)
    .join("\n");
  const below = value.workload
    ? [value.namespace, value.address].filter(Boolean).join(" · ")
    : value.service
      ? value.address
      : "";
  return el("span", { class: "end", title }, el("strong", {}, nameOf(value)), below && el("small", {}, below));
}

/** All that can be searched for of an end. */
export const wordsOf = (end) =>
  described(end)
    .map(([, text]) => text)
    .join(" ");

export const podName = (pod) => `${pod.namespace}/${pod.name}`;

/** May break after what joins words. */
export const code = (text, attributes = {}) =>
  text
    ? el(
        "code",
        attributes,
        text.split(/(?<=[_/])/).flatMap((part, at) => (at ? [el("wbr"), part] : [part])),
      )
    : null;

/** `cart.shop`: the cluster's own suffix says nothing new. */
export const shortHost = (host) => host.replace(/\.svc\.[a-z0-9.-]+$/, "");

export const host = (name) => el("span", { title: name }, shortHost(name));

/** A trust domain and what follows may break after each `/`: identities are long. */
export function identity(text) {
  if (!text) return el("span", { class: "muted" }, "none");
  const parts = text.split(/(?<=\/)(?!\/)/);
  return el(
    "code",
    { class: "identity" },
    parts.flatMap((part, at) => (at ? [el("wbr"), part] : [part])),
  );
}

export const notice = (kind, ...content) => el("p", { class: `notice ${kind}` }, content);

export const button = (does, argument, text, more = {}) =>
  el("button", { type: "button", "data-do": does, "data-with": argument, ...more }, text);

/** Names and values under a heading; what is not known is left out. */
export function fields(title, rows) {
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (known.length === 0) return null;
  return el(
    "section",
    { class: "fields", "data-key": title },
    el("h3", {}, title),
    el(
      "dl",
      {},
      known.map(([name, value, title]) => [el("dt", { title }, name), el("dd", {}, value)]),
    ),
  );
}

export const protocols = { tcp: "plaintext", hbone: "mutual TLS", doubleHbone: "mutual TLS, twice" };

export const protocol = (value) =>
  mark(
    value === "tcp" ? "note" : "good",
    protocols[value] ?? value,
    value === "tcp" ? "as it is, without a tunnel" : "in an HBONE tunnel",
  );

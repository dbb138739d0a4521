// The identities of this node's pods, and how long their certificates last.

import { list } from "./api.js";
import { el, svg } from "./dom.js";
import { identity, mark, podName } from "./parts.js";
import { table, tools } from "./table.js";
import { ago, duration, now } from "./units.js";

const MINUTE = 60_000;
/** A certificate with less than this part of its life left should have been renewed. */
const LATE = 1 / 4;
const BAR = { width: 74, height: 8 };

const leaf = (item) => item.chain[0];

/** What is left of a certificate, as a length of time and as a part of its life. */
function left(certificate) {
  const [from, until] = [Date.parse(certificate.validFrom), Date.parse(certificate.expires)];
  const rest = until - now();
  return { rest, part: until > from ? Math.min(1, Math.max(0, rest / (until - from))) : 0 };
}

const bar = (part, kind) =>
  svg(
    "svg",
    {
      class: `bar-of ${kind}`,
      width: BAR.width,
      height: BAR.height,
      role: "img",
      "aria-label": `${Math.round(part * 100)} % of its life left`,
    },
    svg("rect", { class: "all", width: BAR.width, height: BAR.height, rx: BAR.height / 2 }),
    part > 0 &&
      svg("rect", {
        class: "rest",
        width: Math.max(BAR.height, part * BAR.width).toFixed(1),
        height: BAR.height,
        rx: BAR.height / 2,
      }),
  );

const lifetime = (milliseconds) => duration(milliseconds > MINUTE ? Math.floor(milliseconds / MINUTE) * MINUTE : milliseconds);

function shownExpiry(item) {
  const certificate = leaf(item);
  if (!certificate) return el("span", { class: "muted" }, "no certificate");
  const { rest, part } = left(certificate);
  const kind = rest <= 0 ? "bad" : part < LATE ? "warn" : "good";
  const text = rest <= 0 ? `expired ${ago(certificate.expires)}` : `${lifetime(rest)} left`;
  const title = `valid from ${certificate.validFrom} to ${certificate.expires}`;
  return el("span", { class: `expiry ${kind}`, title }, bar(part, kind), kind === "good" ? text : mark(kind, text, title));
}

const states = { available: ["good", "available"], initializing: ["note", "asked for"], unavailable: ["bad", "none"] };

function shownState(item) {
  const [kind, text] = states[item.state] ?? ["warn", item.state];
  return [
    mark(kind === "good" && item.error ? "warn" : kind, text),
    item.error && el("small", { class: kind === "good" ? "warn" : "bad" }, item.error),
  ];
}

function certificates(item) {
  const line = (kind) => (certificate) =>
    el(
      "li",
      {},
      `${kind}: serial number `,
      el("code", {}, certificate.serialNumber),
      `, ${certificate.validFrom} to ${certificate.expires}`,
    );
  const [first, ...others] = item.chain;
  if (!first && item.roots.length === 0) return null;
  return el(
    "details",
    {},
    el("summary", {}, `${item.chain.length} in the chain, ${item.roots.length} trusted`),
    el("ul", {}, first && line("own")(first), others.map(line("intermediate")), item.roots.map(line("trusted"))),
  );
}

const columns = [
  { id: "identity", title: "Identity", text: (item) => item.identity, show: (item) => identity(item.identity) },
  { id: "state", title: "Certificate", text: (item) => `${item.state} ${item.error ?? ""}`, show: shownState },
  {
    id: "expires",
    title: "Lasts",
    text: (item) => leaf(item)?.expires ?? "",
    value: (item) => (leaf(item) ? left(leaf(item)).rest : -Infinity),
    show: shownExpiry,
  },
  {
    id: "pods",
    title: "Pods",
    text: (item) => item.pods.map(podName).join(" "),
    value: (item) => item.pods.length,
    show: (item) => item.pods.map((pod, at) => [at ? ", " : "", podName(pod)]),
  },
  {
    id: "chain",
    title: "Certificates",
    text: (item) => item.chain.map((it) => it.serialNumber).join(" "),
    show: certificates,
  },
];

export const load = () => list("v1/identities");

export const render = ({ items, more }) => [
  tools("Search identities"),
  table(items, columns, {
    label: "Identities of this node's pods",
    empty: "No pod here has an identity yet.",
    sort: "expires",
    more,
    key: (item) => item.identity,
  }),
];

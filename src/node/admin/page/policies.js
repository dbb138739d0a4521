// The policies this node knows, their rules in words. The shape is the well-known one of /config_dump.

import { list } from "./api.js";
import { el } from "./dom.js";
import { mark, notice } from "./parts.js";
import { table, tools } from "./table.js";

const attributes = [
  ["principals", "identity"],
  ["serviceAccounts", "service account"],
  ["namespaces", "namespace"],
  ["sourceIps", "source"],
  ["destinationIps", "destination"],
  ["destinationPorts", "port"],
];

/** A value of an attribute: text, number, `{Exact: …}`, or a service account. */
function value(it) {
  if (typeof it !== "object" || it === null) return String(it);
  if ("serviceAccount" in it) return `${it.namespace ?? "*"}/${it.serviceAccount}`;
  const [[kind, text] = ["", ""]] = Object.entries(it);
  return { Exact: `${text}`, Prefix: `${text}*`, Suffix: `*${text}`, Presence: "any" }[kind] ?? JSON.stringify(it);
}

const negated = (key) => `not${key[0].toUpperCase()}${key.slice(1)}`;

function conditions(match) {
  return attributes.flatMap(([key, name]) =>
    [
      [key, "is"],
      [negated(key), "is not"],
    ]
      .filter(([known]) => match[known]?.length)
      .map(([known, verb]) => `${name} ${verb} ${match[known].map(value).join(" or ")}`),
  );
}

/** Within a clause any match is enough; an empty one never is. */
const clause = (matches) => matches.map((match) => conditions(match).join(" and ") || "never").join("; or ");

function ruleInWords(clauses) {
  const wanted = clauses.filter((matches) => matches.length > 0);
  if (wanted.length === 0) return "everybody";
  return wanted.map(clause).join("; and ");
}

function rules(policy) {
  const all = policy.rules ?? [];
  if (all.length === 0) return el("span", { class: "muted" }, "nobody: it has no rules");
  return el(
    "ul",
    { class: "plain" },
    all.map((rule) => el("li", {}, ruleInWords(rule))),
  );
}

const action = (policy) => {
  const [kind, word] = policy.action === "Deny" ? ["bad", "Deny"] : ["good", policy.action];
  return [mark(kind, word), policy.dryRun && el("small", {}, "dry run: decides nothing")];
};

const columns = [
  {
    id: "policy",
    title: "Policy",
    text: (policy) => `${policy.namespace}/${policy.name}`,
    show: (policy) => el("span", { class: "end" }, el("strong", {}, policy.name), el("small", {}, policy.namespace)),
  },
  { id: "action", title: "Action", text: (policy) => `${policy.action}${policy.dryRun ? " dry run" : ""}`, show: action },
  {
    id: "scope",
    title: "Applies to",
    text: (policy) => policy.scope,
    show: (policy) =>
      ({ Global: "the mesh", Namespace: "its namespace", WorkloadSelector: "workloads that refer to it" })[policy.scope] ??
      policy.scope,
  },
  { id: "rules", title: "Whom", text: (policy) => (policy.rules ?? []).map(ruleInWords).join(" "), show: rules },
];

export const load = () => list("v1/policies");

export const render = ({ items, more }) => [
  tools("Search policies"),
  items.length > 0 &&
    notice(
      "note",
      "A Deny that fits decides. Otherwise, where any Allow applies, only those get in whom one allows; where none does, everybody.",
    ),
  table(items, columns, {
    label: "Policies",
    empty: "No policies are known: everybody may talk to everybody.",
    sort: "policy",
    more,
    key: (policy) => `${policy.namespace}/${policy.name}`,
  }),
];

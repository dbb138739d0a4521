// An answer to *why*: what it comes to, and the steps that led there.

import { el } from "./dom.js";

const culprits = {
  nobody: "Nothing is wrong",
  client: "The client",
  server: "The server",
  network: "The network between the nodes",
  firewall: "A firewall, on port 15008",
  policy: "A policy",
  certificate: "A certificate",
  staleConfig: "The mesh state is old",
  config: "The mesh state says so",
  capacity: "A limit was reached",
  waypoint: "A waypoint or gateway",
  nodeMissing: "No mesh program at the other end",
  dns: "Names",
  mesh: "Culvert itself, or its peer",
  unknown: "Not known",
};

const answers = {
  pass: ["✓", "good", "passes"],
  note: ["i", "note", "worth knowing"],
  stop: ["✕", "bad", "stops here"],
  unknown: ["?", "warn", "cannot be told from here"],
};

function step(it) {
  const [sign, kind, word] = answers[it.answer] ?? ["?", "warn", it.answer];
  return el(
    "li",
    { class: `step ${kind}` },
    el("span", { class: "sign", "aria-hidden": "true" }, sign),
    el("div", {}, el("strong", {}, it.what), el("span", { class: "outcome" }, ` ${word}`), el("p", {}, it.found)),
  );
}

function verdict(it) {
  const kind = it.culprit === "nobody" ? "good" : it.culprit === "unknown" ? "warn" : "bad";
  return el(
    "div",
    { class: `verdict ${kind}` },
    el("p", { class: "culprit" }, culprits[it.culprit] ?? it.culprit),
    el("p", {}, it.sentence),
    it.evidence.length > 0 &&
      el(
        "ul",
        {},
        it.evidence.map((line) => el("li", {}, line)),
      ),
    it.remedy && el("p", {}, el("strong", {}, "What to do: "), it.remedy),
  );
}

/** The verdict first: most readers want no more. */
export const answer = (why) =>
  el(
    "div",
    { class: "answer" },
    verdict(why.verdict),
    el("ol", { class: "steps", "aria-label": "Decisions, in order" }, why.steps.map(step)),
  );

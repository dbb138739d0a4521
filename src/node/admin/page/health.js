// The strip under the header: whether the node is ready, and whether what it depends on answers.

import { el, show } from "./dom.js";
import { code, count, mark, when } from "./parts.js";
import { number, since } from "./units.js";

function tile(name, state, ...more) {
  const lines = more.flat().filter(Boolean);
  return el(
    "div",
    { class: "tile", "data-key": name },
    el("h2", {}, name),
    el("p", {}, state),
    lines.map((line) => el("p", { class: "small" }, line)),
  );
}

function readiness(node) {
  const state = node.ready ? mark("good", "Ready", "it serves") : mark("bad", "Not ready", "it does not serve yet");
  const waits = !node.ready && node.pending.length > 0 && `waits for ${node.pending.join(", ")}`;
  return tile("Readiness", state, [waits, ["started ", when(node.started)]]);
}

const words = { unused: ["note", "Not used"], up: ["good", "Answers"], down: ["bad", "Does not answer"] };

function controlPlane(name, service, ...more) {
  const [kind, text] = words[service.state] ?? ["warn", service.state];
  return tile(name, mark(kind, text), [
    service.since && el("span", { title: service.since }, `for ${since(service.since)}`),
    service.error && el("span", { class: "bad" }, service.error),
    service.lastUpdate && ["last update ", when(service.lastUpdate)],
    service.address && code(service.address, { class: "address", title: service.version && `version ${service.version}` }),
    ...more,
  ]);
}

function agent(value) {
  if (!value) return tile("Agent", mark("note", "None", "dedicated mode"), "one pod, by itself");
  const state = value.connected ? mark("good", "Connected") : mark("bad", "Away", "pods come and go unnoticed");
  return tile("Agent", state, [
    value.since && el("span", { title: value.since }, `for ${since(value.since)}`),
    code(value.socket, { class: "address" }),
  ]);
}

function numbers(node) {
  const all = [
    ["pod", "pods", node.pods],
    ["open connection", "open connections", node.open],
    ["tunnel", "tunnels", node.tunnels],
  ];
  const known = [
    ["workload", "workloads", node.workloads],
    ["service", "services", node.services],
    ["policy", "policies", node.policies],
  ];
  const named = ([one, many, value]) =>
    el("span", { class: "whole" }, el("strong", {}, number(value)), ` ${value === 1 ? one : many}`);
  const line = (names) => names.map((name, at) => [at ? " · " : "", named(name)]);
  return tile("Now", line(all), [["knows ", line(known)]]);
}

function log(node) {
  const dropped = node.droppedLogLines;
  const state =
    dropped === 0
      ? mark("good", "Complete", "no line was dropped")
      : mark("warn", "Incomplete", "nobody took the lines in time");
  return tile("Log", state, [
    dropped > 0 && [count(dropped), " lines dropped"],
    code(node.logFilter, { title: "what is logged" }),
  ]);
}

/** Shows what the node says of itself. */
export function showHealth(node) {
  const title = node.name ?? "node";
  const name = document.getElementById("node");
  if (name.textContent !== title) {
    name.textContent = title;
    document.title = `${title} – Culvert`;
  }
  document.getElementById("version").textContent = `version ${node.version}${node.network ? ` · network ${node.network}` : ""}`;
  show(
    document.getElementById("health"),
    readiness(node),
    controlPlane("Mesh state (xDS)", node.xds),
    controlPlane("Certificates (CA)", node.ca),
    agent(node.agent),
    numbers(node),
    log(node),
  );
}

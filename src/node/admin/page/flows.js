// From what the node has counted to what the map shows: one flow for each caller, service and called.

import { sum } from "./parts.js";

const pod = (end) => `${end.namespace ?? ""}/${end.workload ?? end.owner ?? end.address}`;

/** Pods of one owner are one party; strangers are their address, without the port. */
function party(end) {
  const name = end.owner ?? end.workload;
  if (name) return { id: `${end.namespace ?? ""}/${name}`, name, below: end.namespace ?? "", identity: end.identity };
  const address = (end.address || "unknown").replace(/:\d+$/, "");
  return { id: `@${address}`, name: address, below: "outside the mesh", isStranger: true };
}

function service(end) {
  if (!end.service) return null;
  const [name, namespace] = end.service.split(".");
  return { id: `=${end.service}`, name: namespace ? name : end.service, below: namespace ?? "", full: end.service };
}

/** Between two pods of this node everything is counted twice: by who calls, and by who is called. The caller knows more. */
function once(items) {
  const called = new Set(items.filter((it) => it.direction === "outbound").map((it) => `${pod(it.source)} ${pod(it.destination)}`));
  return items.filter((it) => it.direction === "outbound" || !called.has(`${pod(it.source)} ${pod(it.destination)}`));
}

/** The flows, those with most bytes first. */
export function flowsOf(items) {
  const flows = new Map();
  for (const it of once(items)) {
    const [source, through, target] = [party(it.source), service(it.destination), party(it.destination)];
    const isPlain = it.protocol === "tcp";
    const id = `${source.id} ${through?.id ?? ""} ${target.id} ${isPlain ? "plain" : ""}`;
    const flow = flows.get(id) ?? {
      id, source, service: through, target, isPlain, open: 0, connections: 0, refused: 0, broken: 0,
      bytes: { toServer: 0, toClient: 0 }, lastSeen: it.lastSeen,
    };
    for (const name of ["open", "connections", "refused", "broken"]) flow[name] += it[name];
    flow.bytes.toServer += it.bytes.toServer;
    flow.bytes.toClient += it.bytes.toClient;
    if (it.lastReason && (!flow.lastReason || it.lastSeen >= flow.lastSeen)) flow.lastReason = it.lastReason;
    if (it.lastSeen > flow.lastSeen) flow.lastSeen = it.lastSeen;
    flows.set(id, flow);
  }
  return [...flows.values()].sort((one, other) => sum(other.bytes) - sum(one.bytes) || (one.id < other.id ? -1 : 1));
}

/** So many lines can still be told apart. */
const MOST = 60;

/** The flows that are drawn: the largest, and at least half of them those with refusals if there are so many. */
export function drawn(flows) {
  if (flows.length <= MOST) return flows;
  const refused = flows.filter((flow) => flow.refused > 0).slice(0, MOST / 2);
  const rest = flows.filter((flow) => !refused.includes(flow)).slice(0, MOST - refused.length);
  return [...refused, ...rest];
}

// From what the node has counted to what the map shows: one flow for each caller, service and called.

import { sum } from "./parts.js";

/** Pods of one owner are one party; strangers are their address, without the port. Of a service nobody may have been chosen. */
function party(end) {
  const name = end.owner ?? end.workload ?? end.identity?.split("/").pop();
  if (!name && end.service) return null;
  if (name) return { id: `${end.namespace ?? ""}/${name}`, name, below: end.namespace ?? "", identity: end.identity };
  const address = (end.address || "unknown").replace(/:\d+$/, "");
  return { id: `@${address}`, name: address, below: "outside the mesh", isStranger: true };
}

function service(end) {
  if (!end.service) return null;
  const [name, namespace] = end.service.split(".");
  return { id: `=${end.service}`, name: namespace ? name : end.service, below: namespace ?? "", full: end.service };
}

/**
 * What is between pods of this node is counted twice: by who calls, and by who is called. Of each two parties the side that has seen
 * more is shown, because only the other ends that are elsewhere make a difference.
 */
function once(items) {
  const seen = new Map();
  const between = (it) => `${party(it.source)?.id} ${party(it.destination)?.id} ${it.protocol === "tcp"}`;
  for (const it of items) {
    const sides = seen.get(between(it)) ?? { outbound: 0, inbound: 0 };
    sides[it.direction] += it.connections;
    seen.set(between(it), sides);
  }
  return items.filter((it) => {
    const { outbound, inbound } = seen.get(between(it));
    return (it.direction === "inbound") === inbound > outbound;
  });
}

/** The flows, those with most bytes first. */
export function flowsOf(items) {
  const flows = new Map();
  for (const it of once(items)) {
    const [source, through, target] = [party(it.source), service(it.destination), party(it.destination)];
    const isPlain = it.protocol === "tcp";
    const id = `${source.id} ${through?.id ?? ""} ${target?.id ?? ""} ${isPlain ? "plain" : ""}`;
    const flow = flows.get(id) ?? {
      id,
      source,
      service: through,
      target,
      isPlain,
      open: 0,
      connections: 0,
      refused: 0,
      broken: 0,
      bytes: { toServer: 0, toClient: 0 },
      lastSeen: it.lastSeen,
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

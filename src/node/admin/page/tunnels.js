// Tunnels to and from other nodes, and the endpoints that are asked last because they could not be reached.

import { list } from "./api.js";
import { el } from "./dom.js";
import { code, identity, mark, notice, podName, when } from "./parts.js";
import { table, tools } from "./table.js";
import { ago, duration, microseconds, number } from "./units.js";

const states = {
  open: ["good", "open", "it takes streams"],
  bulk: ["note", "bulk", "busy: others are opened for new streams"],
  doubtful: ["warn", "doubtful", "its peer says nothing"],
  leaving: ["note", "leaving", "it takes no new streams"],
};

const columns = [
  {
    id: "pod",
    title: "Pod",
    text: (tunnel) => podName(tunnel.pod),
    show: (tunnel) => el("span", { class: "end" }, el("strong", {}, tunnel.pod.name), el("small", {}, tunnel.pod.namespace)),
  },
  { id: "direction", title: "Direction", text: (tunnel) => tunnel.direction },
  {
    id: "state",
    title: "State",
    text: (tunnel) => tunnel.state,
    show: (tunnel) => mark(...(states[tunnel.state] ?? ["warn", tunnel.state])),
  },
  {
    id: "peer",
    title: "Peer",
    text: (tunnel) => tunnel.peerIdentity,
    show: (tunnel) => el("span", { class: "end" }, identity(tunnel.peerIdentity), el("small", {}, tunnel.peerAddress)),
  },
  {
    id: "since",
    title: "Since",
    text: (tunnel) => ago(tunnel.since),
    value: (tunnel) => -Date.parse(tunnel.since),
    show: (tunnel) => when(tunnel.since),
  },
  {
    id: "streams",
    title: "Streams",
    number: true,
    value: (tunnel) => tunnel.streams,
    hint: "open, and how many the peer takes",
    text: (tunnel) => `${number(tunnel.streams)} of ${number(tunnel.capacity)}`,
  },
  {
    id: "tls",
    title: "TLS",
    text: (tunnel) => tunnel.tls.version,
    show: (tunnel) =>
      el(
        "span",
        { class: "end" },
        tunnel.tls.version,
        el("small", {}, [tunnel.tls.cipher, tunnel.tls.group].filter(Boolean).join(" · ")),
      ),
  },
  {
    id: "rtt",
    title: "Round trip",
    number: true,
    value: (tunnel) => tunnel.network?.rttMicroseconds ?? -1,
    text: (tunnel) => (tunnel.network ? microseconds(tunnel.network.rttMicroseconds) : ""),
  },
  { id: "id", title: "Id", text: (tunnel) => tunnel.id, show: (tunnel) => code(tunnel.id) },
];

/** Not sorted or searched: there are few, and for a short while. */
function setAside(items) {
  if (items.length === 0) return notice("note", "None.");
  return el(
    "ul",
    { class: "plain" },
    items.map((item) =>
      el(
        "li",
        { "data-key": `${podName(item.pod)} ${item.workload} ${item.address}` },
        mark("warn", "asked last"),
        " ",
        code(item.address),
        ` (${item.workload}) by ${podName(item.pod)}, for ${duration(1000 * item.secondsLeft)} more`,
      ),
    ),
  );
}

export async function load() {
  const [tunnels, ejected] = await Promise.all([list("v1/tunnels"), list("v1/ejected")]);
  return { tunnels, ejected };
}

export const render = ({ tunnels, ejected }) => [
  tools("Search tunnels"),
  table(tunnels.items, columns, {
    label: "Tunnels",
    empty: "No tunnel is open.",
    sort: "pod",
    more: tunnels.more,
    key: (tunnel) => tunnel.id,
    search: (tunnel) => `${tunnel.peerAddress} ${tunnel.identity} ${tunnel.tls.cipher}`,
  }),
  el("h2", {}, "Endpoints that could not be reached lately"),
  setAside(ejected.items),
];

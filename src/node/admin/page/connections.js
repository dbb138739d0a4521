// Connections: those that live, or those that ended lately.

import { list, newest } from "./api.js";
import { el } from "./dom.js";
import { button, bytes, code, end, mark, podName, protocol, protocols, shortHost, span, when, wordsOf } from "./parts.js";
import { setting } from "./place.js";
import { table, tools } from "./table.js";
import { ago, duration, microseconds, size } from "./units.js";

const stages = {
  deciding: ["note", "deciding", "where it may go is being found out"],
  connecting: ["warn", "connecting", "somebody is being dialled, or asked for a stream"],
  open: ["good", "open", "bytes can move"],
  ended: ["note", "ended", "it is over"],
};

const outcomes = {
  complete: ["good", "complete", "both ends have said all they had to say"],
  broken: ["bad", "broken", "it was made, and then broke or was cut"],
  refused: ["bad", "refused", "it was never made"],
};

/** How far it has come, or what became of it. */
export function state(connection) {
  const { outcome, stage } = connection;
  const known = outcome ? outcomes[outcome.state] : stages[stage];
  return mark(...(known ?? ["warn", outcome?.state ?? stage]));
}

const stateText = ({ outcome, stage }) => (outcome ? `${outcome.state} ${outcome.reason ?? ""}` : stage);

function shownState(connection) {
  const reason = connection.outcome?.reason;
  return [state(connection), reason && el("small", { title: connection.outcome.error }, code(reason))];
}

const arrows = { outbound: "out", inbound: "in" };

/** What both lists and the refusals have in common. */
export const columns = {
  source: { id: "source", title: "From", text: (it) => wordsOf(it.source), show: (it) => end(it.source) },
  destination: { id: "destination", title: "To", text: (it) => wordsOf(it.destination), show: (it) => end(it.destination) },
  service: {
    id: "service",
    title: "Asked for",
    text: (it) => it.destination.service ?? it.originalDestination,
    show: (it) =>
      el(
        "span",
        { class: "end", title: `${it.destination.service ?? ""} dialled as ${it.originalDestination}`.trim() },
        it.destination.service && shortHost(it.destination.service),
        el("small", {}, it.originalDestination),
      ),
  },
  direction: {
    id: "direction",
    title: "Way",
    hint: "seen from the pod of this node",
    text: (it) => it.direction,
    show: (it) => el("span", { title: `${it.direction}, pod ${podName(it.pod)}` }, arrows[it.direction] ?? it.direction),
  },
  id: {
    id: "id",
    title: "Id",
    text: (it) => it.id,
    show: (it) =>
      button("open", it.id, el("code", {}, it.id), { class: "link", "aria-label": `Details of connection ${it.id}` }),
  },
};

const moved = (id, title, hint) => ({
  id,
  title,
  hint,
  number: true,
  text: (it) => size(it.bytes[id]),
  value: (it) => it.bytes[id],
  show: (it) => bytes(it.bytes[id]),
});

const others = {
  state: { id: "state", title: "State", text: stateText, show: shownState },
  protocol: {
    id: "protocol",
    title: "Travels",
    text: (it) => protocols[it.protocol] ?? it.protocol,
    show: (it) => protocol(it.protocol),
  },
  toServer: moved("toServer", "Sent", "from the client to the server"),
  toClient: moved("toClient", "Received", "from the server to the client"),
  age: {
    id: "age",
    title: "Age",
    number: true,
    text: (it) => duration(it.milliseconds),
    value: (it) => it.milliseconds,
    show: (it) => span(it.milliseconds),
  },
  rtt: {
    id: "rtt",
    title: "Round trip",
    number: true,
    hint: "of the network's side, as the kernel measures it",
    text: (it) => (it.network ? microseconds(it.network.rttMicroseconds) : ""),
    value: (it) => it.network?.rttMicroseconds ?? -1,
  },
  ended: {
    id: "ended",
    title: "Ended",
    text: (it) => ago(it.outcome?.ended),
    value: (it) => -Date.parse(it.outcome?.ended),
    show: (it) => when(it.outcome?.ended),
  },
};

const live = [
  others.state,
  columns.direction,
  columns.source,
  columns.destination,
  columns.service,
  others.protocol,
  others.age,
  others.toServer,
  others.toClient,
  others.rtt,
  columns.id,
];
const over = [
  others.ended,
  others.state,
  columns.direction,
  columns.source,
  columns.destination,
  columns.service,
  others.protocol,
  { ...others.age, title: "Took" },
  others.toServer,
  others.toClient,
  columns.id,
];

const searched = (it) =>
  [podName(it.pod), it.trace, it.nextHop, it.authority, it.tunnel, it.policy, it.outcome?.error, it.outcome?.flag]
    .filter(Boolean)
    .join(" ");

const isOver = () => setting("show") === "ended";

export async function load() {
  const ended = isOver();
  // What is listed goes with what it is a list of: the reader may choose the other one meanwhile.
  return { ended, ...(ended ? await newest("v1/recent") : await list("v1/connections")) };
}

const choice = (value, text) =>
  button("choose", `show=${value}`, text, { "aria-pressed": String(isOver() === (value === "ended")) });

export const render = ({ ended, items, more }) => [
  tools(
    "Search connections",
    el(
      "div",
      { class: "choices", role: "group", "aria-label": "Which connections" },
      choice("", "Live"),
      choice("ended", "Ended lately"),
    ),
  ),
  table(items, ended ? over : live, {
    label: ended ? "Connections that ended lately" : "Live connections",
    more,
    sort: ended ? "ended" : "age",
    empty: ended ? "No connection has ended lately." : "No connection is open.",
    key: (it) => it.id,
    open: (it) => it.id,
    search: searched,
  }),
];

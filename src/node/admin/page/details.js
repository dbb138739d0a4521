// All that is known of one connection, and why it is as it is: a dialog over whichever view it was opened from.

import { Problem, ask } from "./api.js";
import { el, show } from "./dom.js";
import { state } from "./connections.js";
import { bytes, button, code, fields, identity, nameOf, notice, podName, protocol, span, when } from "./parts.js";
import { set, setting } from "./place.js";
import { duration, microseconds, number, size, sizeExactly } from "./units.js";
import { answer } from "./verdict.js";

const dialog = document.getElementById("details");

/** What is shown: the id, the connection as it was last known, what was said about why, and what went wrong asking. */
let shown = { id: "" };

const partOf = (title, end) =>
  fields(title, [
    ["Workload", end.workload],
    ["Owner", end.owner],
    ["Namespace", end.namespace],
    ["Address", code(end.address)],
    ["Identity", end.identity ? identity(end.identity) : el("span", { class: "muted" }, "none proven")],
    ["Service", end.service],
    ["Cluster", end.cluster],
  ]);

function socket(title, it) {
  if (!it) return null;
  const amount = (value) => el("span", { title: sizeExactly(value) }, size(value));
  return fields(title, [
    ["Round trip", `${microseconds(it.rttMicroseconds)} ± ${microseconds(it.rttVariationMicroseconds)}`],
    ["Sent again", `${number(it.retransmits)} segments`, "retransmissions"],
    ["Not acknowledged", amount(it.unacknowledgedBytes), "sent, and not acknowledged"],
    ["Not sent", amount(it.unsentBytes), "given to the kernel, and not sent"],
    ["Not read", amount(it.unreadBytes), "received, and not read by this node"],
    ["Window", amount(it.peerWindowBytes), "what the other side is willing to take"],
    ["Held up", duration(it.peerLimitedMilliseconds), "how long sending has waited for the other side to read"],
    ["Quiet for", duration(it.quietMilliseconds), "since when nothing came from the other side"],
  ]);
}

const way = (it) =>
  fields("Way", [
    ["Pod", podName(it.pod)],
    ["Direction", it.direction],
    ["Dialled", code(it.originalDestination)],
    ["Next hop", code(it.nextHop)],
    ["Travels", protocol(it.protocol)],
    ["CONNECT to", code(it.authority)],
    ["Tunnel", code(it.tunnel)],
    ["Let in by", it.policy],
    ["SOCKS", code(it.socks)],
    ["Probe", it.probe ? "of kubelet's" : null],
  ]);

const course = (it) =>
  fields("Course", [
    ["Began", when(it.began)],
    [it.outcome ? "Took" : "Age", span(it.milliseconds)],
    [it.outcome ? "Ended" : "In this stage", it.outcome ? when(it.outcome.ended) : span(it.stageMilliseconds)],
    ["Sent", bytes(it.bytes.toServer)],
    ["Received", bytes(it.bytes.toClient)],
    ["Closed by", it.outcome?.closedBy],
    ["Reason", code(it.outcome?.reason)],
    ["In words", it.outcome?.error],
    ["Flag", code(it.outcome?.flag)],
    ["Trace", code(it.trace)],
  ]);

const attempts = (it) =>
  it.attempts?.length > 0 &&
  el(
    "section",
    { class: "fields", "data-key": "attempts" },
    el("h3", {}, "Tried before"),
    el(
      "ol",
      {},
      it.attempts.map((one) => el("li", {}, code(one.address), ": ", code(one.reason), ` – ${one.error}`)),
    ),
  );

const headline = (it) =>
  el(
    "p",
    { class: "headline" },
    state(it),
    " ",
    el("strong", {}, nameOf(it.source)),
    " → ",
    el("strong", {}, nameOf(it.destination)),
  );

const everything = (it) =>
  el(
    "div",
    { class: "columns", "data-key": "all" },
    partOf("Client", it.source),
    partOf("Server", it.destination),
    course(it),
    way(it),
    socket("Network side", it.network),
    socket("Application side", it.application),
    attempts(it),
  );

function why() {
  const { why, whyError } = shown;
  const content = why ? answer(why) : whyError ? notice("bad", whyError) : el("p", { class: "muted" }, "Asking …");
  return el("section", { class: "why", "data-key": "why" }, el("h3", {}, "Why"), content, button("ask-again", "", "Ask again"));
}

const hasFailed = (it) => it?.outcome !== undefined && it.outcome.state !== "complete";

function draw() {
  const { id, connection, gone, error } = shown;
  show(
    dialog,
    el(
      "div",
      { class: "bar" },
      el("h2", { id: "details-title" }, "Connection ", el("code", {}, id)),
      button("close", "", "Close", { autofocus: true }),
    ),
    gone &&
      notice(
        "note",
        connection
          ? "It is over, and no longer remembered: this is what was last known."
          : "No such connection is known (any more).",
      ),
    error && notice("bad", error),
    // Of what has failed, the reason is what one is after.
    connection && headline(connection),
    hasFailed(connection) && why(),
    connection && everything(connection),
    !hasFailed(connection) && why(),
  );
}

async function askWhy() {
  const { id } = shown;
  try {
    const why = await ask(`v1/connections/${encodeURIComponent(id)}/why`);
    if (shown.id === id) Object.assign(shown, { why, whyError: undefined, connection: shown.connection ?? why.connection });
  } catch (error) {
    if (shown.id === id) shown.whyError = `It could not be found out: ${error.message}`;
  }
  if (shown.id === id) draw();
}

/** Asks anew, when the dialog is open. Fails like the views when the node does not answer. */
export async function refreshDetails() {
  const { id, gone } = shown;
  if (!id || gone) return;
  try {
    const connection = await ask(`v1/connections/${encodeURIComponent(id)}`);
    if (shown.id === id) Object.assign(shown, { connection, error: undefined });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (shown.id === id) Object.assign(shown, error.status === 404 ? { gone: true } : { error: error.message });
  }
  if (shown.id === id) draw();
}

/** Opens or closes the dialog, as the address says; `known` is what the list at hand has of that connection. */
export function followPlace(known) {
  const id = setting("id");
  if (id === shown.id) return;
  shown = { id, connection: known(id) };
  if (!id) return dialog.close();
  draw();
  if (!dialog.open) dialog.showModal();
  askWhy();
  // Whatever fails here will fail in the next round, and be told.
  refreshDetails().catch(() => {});
}

dialog.addEventListener("close", () => {
  shown = { id: "" };
  if (setting("id")) set({ id: "" });
});
// A click beside the dialog is one on the dialog itself.
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

export const actions = {
  close: () => dialog.close(),
  "ask-again": () => {
    shown.why = shown.whyError = undefined;
    draw();
    askWhy();
  },
};

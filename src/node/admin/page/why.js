// The form: why would a connection that somebody might make fail, or not?

import { Problem, ask, list } from "./api.js";
import { el } from "./dom.js";
import { notice, podName } from "./parts.js";
import { set, setting } from "./place.js";
import { answer } from "./verdict.js";

/** The last question and what was said: it is asked once, not every two seconds. */
let last = { question: "" };

const question = () => JSON.stringify([setting("source"), setting("destination")]);

async function asked() {
  const [source, destination] = [setting("source"), setting("destination")];
  if (!source || !destination) return {};
  try {
    return { why: await ask("v1/why", { source, destination }) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { error: error.message };
  }
}

/** Who there is to ask about: pods of this node, and whom they talk to. */
async function suggestions() {
  const [pods, traffic] = await Promise.all([list("v1/pods"), list("v1/traffic")]);
  const called = traffic.items.map(({ destination }) => destination.service ?? destination.address).filter(Boolean);
  return { sources: [...new Set(pods.items.map(podName))].sort(), destinations: [...new Set(called)].sort() };
}

export async function load() {
  const now = question();
  const [known, said] = await Promise.all([suggestions(), last.question === now ? last.said : asked()]);
  if (question() === now) last = { question: now, said };
  return { ...known, said };
}

const field = (name, label, hint, options) => [
  el(
    "label",
    {},
    el("span", {}, label),
    el("input", {
      name,
      required: true,
      list: `known-${name}`,
      placeholder: hint,
      autocomplete: "off",
      spellcheck: "false",
      "data-keeps": name,
    }),
  ),
  el(
    "datalist",
    { id: `known-${name}` },
    options.map((value) => el("option", { value })),
  ),
];

function result({ said }) {
  if (said.why) return answer(said.why);
  if (said.error) return notice("bad", said.error);
  return notice("note", "Name a pod of this node and whom it would call: every decision is shown, in order. Nothing is sent.");
}

export const render = (data) => [
  el(
    "form",
    { class: "ask", "data-does": "ask" },
    field("source", "Who calls", "namespace/pod", data.sources),
    field("destination", "Who is called", "service or address, with a port", data.destinations),
    el("button", { type: "submit", class: "main" }, "Why?"),
  ),
  el("div", { "aria-live": "polite", "data-key": "answer" }, result(data)),
];

/** Takes the question into the address. Asking the same again asks anew. */
export function submit(form) {
  const fields = new FormData(form);
  last = { question: "" };
  set({ source: fields.get("source").trim(), destination: fields.get("destination").trim() });
}

// The page: looks at the node every two seconds, and shows what it says in the view the reader has chosen.

import { Problem, ask } from "./api.js";
import * as connections from "./connections.js";
import * as details from "./details.js";
import { show } from "./dom.js";
import { showHealth } from "./health.js";
import * as identities from "./identities.js";
import * as map from "./map.js";
import { notice } from "./parts.js";
import * as place from "./place.js";
import * as pods from "./pods.js";
import * as policies from "./policies.js";
import * as refusals from "./refusals.js";
import * as tunnels from "./tunnels.js";
import * as why from "./why.js";

const EVERY = 2000;
/** A look that takes long is not repeated at once: the node has other things to do. */
const REST = 4;
const LONGEST = 10_000;

const views = { map, connections, refusals, pods, identities, tunnels, policies, why };
const part = (id) => document.getElementById(id);

let paused = false;
let timer = 0;
/** Counts looks: what an older one brings back is not shown. */
let look = 0;
let silentSince = null;
let seen = null;
const known = new Map();

function say(text) {
  part("said").textContent = text;
}

const clockTime = (date) => date.toLocaleTimeString("en-GB");

function answered() {
  if (silentSince !== null) say("The node answers again.");
  silentSince = null;
  seen = new Date();
  document.body.classList.remove("silent");
  show(part("trouble"));
  part("fresh").textContent = `updated ${clockTime(seen)}`;
}

function silent(error) {
  silentSince ??= new Date();
  document.body.classList.add("silent");
  const old = seen ? ` What is shown is from ${clockTime(seen)}.` : "";
  const what =
    error instanceof Problem
      ? `The node refuses to say how it is: ${error.message}.`
      : `The node has not answered since ${clockTime(silentSince)}.`;
  show(part("trouble"), notice("bad", what + old));
}

function draw() {
  const view = views[place.view()];
  const panel = part(`panel-${place.view()}`);
  const data = known.get(place.view());
  if (view && data) show(panel, data.error ? notice("bad", data.error) : view.render(data, panel));
  else if (view) show(panel, notice("note", "Asking the node …"));
  for (const input of panel.querySelectorAll("[data-setting], [data-keeps]")) {
    const value = place.setting(input.dataset.setting ?? input.dataset.keeps);
    const isFree = input !== document.activeElement && (input.dataset.setting || !input.dataset.touched);
    if (isFree && input.value !== value && (value || input.type === "search")) input.value = value;
  }
}

const connectionKnown = (id) => known.get(place.view())?.items?.find?.((item) => item.id === id);

/** What the view needs. That the node says no to that is shown there, and is no reason to show nothing else. */
async function loaded(name) {
  if (!views[name]) return null;
  try {
    return await views[name].load();
  } catch (error) {
    if (error instanceof Problem) return { error: error.message };
    throw error;
  }
}

async function refresh() {
  clearTimeout(timer);
  const mine = ++look;
  const began = performance.now();
  const name = place.view();
  let rest = EVERY;
  try {
    const [node, data] = await Promise.all([ask("v1/node"), loaded(name), details.refreshDetails()]);
    if (mine !== look) return;
    known.set(name, data);
    answered();
    showHealth(node);
    draw();
    rest = Math.max(EVERY, Math.min(LONGEST, REST * (performance.now() - began)));
  } catch (error) {
    if (mine !== look) return;
    silent(error);
  }
  if (!paused) timer = setTimeout(refresh, rest);
}

/** Shows the view the place names. */
function follow() {
  for (const name of place.VIEWS) {
    const chosen = name === place.view();
    part(`panel-${name}`).hidden = !chosen;
    part(`tab-${name}`).setAttribute("aria-selected", String(chosen));
    part(`tab-${name}`).tabIndex = chosen ? 0 : -1;
  }
  part(`tab-${place.view()}`).scrollIntoView({ block: "nearest", inline: "nearest" });
  draw();
  details.followPlace(connectionKnown);
  refresh();
}

function pause() {
  paused = !paused;
  part("pause").setAttribute("aria-pressed", String(paused));
  part("pause").textContent = paused ? "Resume" : "Pause";
  say(paused ? "Paused." : "Resumed.");
  if (paused) clearTimeout(timer);
  else refresh();
}

const actions = {
  ...details.actions,
  ...map.actions,
  sort: (by) => place.set({ sort: by, page: "" }),
  page: (page) => place.set({ page: page === "0" ? "" : page }),
  choose(choice) {
    const [name, value] = choice.split("=");
    place.set({ [name]: value, sort: "", page: "" });
    known.delete(place.view());
    refresh();
  },
  open(id) {
    place.set({ id });
    details.followPlace(connectionKnown);
  },
};

document.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-do]");
  if (!chosen) return;
  // Who marks text in a row does not want to open it.
  if (chosen.localName === "tr" && String(getSelection()) !== "") return;
  actions[chosen.dataset.do](chosen.dataset.with);
  draw();
});

document.addEventListener("input", ({ target }) => {
  if (target.dataset.keeps) target.dataset.touched = "yes";
  if (!target.dataset.setting) return;
  place.set({ [target.dataset.setting]: target.value, page: "" });
  draw();
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  why.submit(event.target);
  refresh();
});

function turn(tab, key) {
  const at = place.VIEWS.indexOf(place.view());
  const last = place.VIEWS.length - 1;
  const next = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last }[key];
  if (next === undefined) return false;
  place.go(place.VIEWS[next]);
  follow();
  part(`tab-${place.view()}`).focus();
  return true;
}

document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.role === "tab" && turn(target, key)) return event.preventDefault();
  const writes = target.closest("input, textarea, select");
  const button = target.closest("[role=button][data-do]");
  if (button && (key === "Enter" || key === " ")) {
    event.preventDefault();
    actions[button.dataset.do](button.dataset.with);
    return draw();
  }
  if (key !== "/" || writes || part("details").open) return;
  const field = part(`panel-${place.view()}`).querySelector("input");
  if (!field) return;
  event.preventDefault();
  field.focus();
});

for (const name of place.VIEWS) {
  part(`tab-${name}`).addEventListener("click", () => {
    place.go(name);
    follow();
  });
}
part("pause").addEventListener("click", pause);
part("skip").addEventListener("click", (event) => {
  // The address is the view's.
  event.preventDefault();
  part("main").focus();
});
addEventListener("popstate", () => {
  place.read();
  follow();
});
addEventListener("resize", draw);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (!paused) refresh();
});

place.read();
follow();

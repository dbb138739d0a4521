// Where the reader is: a view and its settings, in the part of the address after `#`. `#connections?q=shop&sort=bytes`.

export const VIEWS = ["map", "connections", "refusals", "pods", "identities", "tunnels", "policies", "why", "endpoints"];

/** The settings each view was left with, so that going there again finds them. */
const left = new Map();

const place = { view: VIEWS[0], settings: new URLSearchParams() };

export const view = () => place.view;

export const setting = (name) => place.settings.get(name) ?? "";

const hash = () => {
  const settings = place.settings.toString();
  return `#${place.view}${settings ? `?${settings}` : ""}`;
};

/** Takes the place from the address. */
export function read() {
  const [name, settings] = location.hash.slice(1).split("?", 2);
  place.view = VIEWS.includes(name) ? name : VIEWS[0];
  place.settings = new URLSearchParams(settings ?? "");
  left.set(place.view, place.settings);
}

/** Goes to a view, with settings or with those it was left with. */
export function go(name, settings) {
  place.view = name;
  place.settings = settings ? new URLSearchParams(settings) : (left.get(name) ?? new URLSearchParams());
  left.set(name, place.settings);
  if (location.hash !== hash()) history.pushState(null, "", hash());
}

/** Changes settings of this view; empty ones are left out of the address. */
export function set(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === undefined) place.settings.delete(name);
    else place.settings.set(name, value);
  }
  history.replaceState(null, "", hash());
}

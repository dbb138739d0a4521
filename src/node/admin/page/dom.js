// Makes elements, and changes a tree of them into another one with as little as possible. What is shown comes from other machines:
// it only ever becomes text or the value of an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes that are null, undefined or false are left out; texts among the children become text nodes. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Makes what is in `parent` look like `children`. What stays keeps its identity, and with it focus, selection and scroll position. */
export function show(parent, ...children) {
  const focused = document.activeElement;
  morphChildren(parent, filled(parent.cloneNode(false), {}, children));
  // Elements that are moved lose the focus on the way.
  if (focused !== document.activeElement && focused?.isConnected && parent.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? (node.getAttribute("data-key") ?? undefined) : undefined);

const alike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  // Whether something is unfolded is the reader's choice.
  const theirs = (name) => name === "open" && old.nodeName === "DETAILS";
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !theirs(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !theirs(name)) old.setAttribute(name, value);
  }
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  const wanted = [...fresh.childNodes];
  const keys = new Set(wanted.map(keyOf));
  const there = new Map();
  for (const child of [...old.childNodes]) {
    const key = keyOf(child);
    if (key === undefined) continue;
    // Going first, so that those after it need not be moved.
    if (keys.has(key) && !there.has(key)) there.set(key, child);
    else child.remove();
  }
  let at = old.firstChild;
  for (const next of wanted) {
    const key = keyOf(next);
    const candidate = key === undefined ? at : there.get(key);
    if (!candidate || !alike(candidate, next)) {
      old.insertBefore(next, at);
      continue;
    }
    if (candidate === at) at = at.nextSibling;
    else old.insertBefore(candidate, at);
    morph(candidate, next);
  }
  while (at) {
    const over = at;
    at = at.nextSibling;
    over.remove();
  }
}

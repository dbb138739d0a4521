// Where things are on the map: callers, services and called in three columns. A pure function of the flows, and of nothing else but
// who is there: numbers that change move nothing.

import { sum } from "./parts.js";

const BOX = { width: 200, height: 44, gap: 14 };
/** Room for a line that passes the middle column without a service. */
const LANE = { height: 12, gap: 8 };
/** How far lines reach in under round corners. */
const UNDER = 12;
/** Short columns are spread by so much between boxes. */
const LOOSEST = 36;
const TOP = 34;
const THICKEST = 12;
const THINNEST = 1.5;

const by = (one, other) => (one.below + one.name).localeCompare(other.below + other.name) || (one.id < other.id ? -1 : 1);

/** The members of a column, each once. */
function members(all) {
  return [...new Map(all.map((it) => [it.id, it])).values()];
}

/** Orders a column by where its neighbours in the one before are, so that fewer lines cross. */
function ordered(column, neighbours, before) {
  const rank = new Map(before.map((it, at) => [it.id, at]));
  const mean = (it) => {
    const ranks = neighbours(it).map((id) => rank.get(id));
    return ranks.reduce((total, one) => total + one, 0) / Math.max(1, ranks.length);
  };
  const means = new Map(column.map((it) => [it.id, mean(it)]));
  return [...column].sort((one, other) => means.get(one.id) - means.get(other.id) || by(one, other));
}

const heightOf = (it) => (it.isLane ? LANE.height : BOX.height);
const gapOf = (it) => (it.isLane ? LANE.gap : BOX.gap);

/** Gives each member of a column its place; short columns are spread and centred. */
function place(column, x, height) {
  const used = column.reduce((total, it) => total + heightOf(it) + gapOf(it), 0);
  const more = Math.min(LOOSEST, (height - used) / column.length);
  let y = TOP + (height - used - more * (column.length - 1)) / 2;
  return column.map((it) => {
    const box = { ...it, x, y, width: BOX.width, height: heightOf(it) };
    y += heightOf(it) + gapOf(it) + more;
    return box;
  });
}

/** Middle points at a side of a box for its lines, from top to bottom by where they lead. */
function ports(boxes, lines, side, other) {
  for (const box of boxes) {
    const own = lines.filter((line) => line[side] === box.id);
    own.sort(
      (one, two) => other.get(one[side === "from" ? "to" : "from"]).y - other.get(two[side === "from" ? "to" : "from"]).y,
    );
    const room = box.isLane ? 0 : box.height - 12;
    own.forEach((line, at) => {
      line[side === "from" ? "y1" : "y2"] =
        box.y + box.height / 2 + (own.length > 1 ? room * (at / (own.length - 1) - 0.5) : 0);
    });
  }
}

/** Adds a flow to the line between two boxes. */
function add(lines, from, to, flow) {
  const id = `${from} ${to} ${flow.isPlain ? "plain" : ""}`;
  const line = lines.get(id) ?? {
    id,
    from,
    to,
    isPlain: flow.isPlain,
    bytes: 0,
    open: 0,
    connections: 0,
    refused: 0,
    flows: [],
  };
  line.bytes += sum(flow.bytes);
  for (const name of ["open", "connections", "refused"]) line[name] += flow[name];
  line.flows.push(flow.id);
  lines.set(id, line);
}

/** Thickness grows slower than the bytes: mice stay visible beside elephants. */
const thickness = (bytes, most) => THINNEST + (THICKEST - THINNEST) * (bytes / most) ** 0.35;

function middleOf(flow) {
  return flow.service ?? { id: `>${flow.target.id}`, name: "", below: flow.target.below + flow.target.name, isLane: true };
}

/** Boxes, lines and the size of the picture. */
export function layout(flows, wide) {
  const [left, right] = [new Map(), new Map()];
  for (const flow of flows) {
    const middle = middleOf(flow).id;
    add(left, `c${flow.source.id}`, middle, flow);
    if (flow.target) add(right, middle, `s${flow.target.id}`, flow);
  }
  const tagged = (tag, it) => ({ ...it, id: tag + it.id });
  const callers = members(flows.map((flow) => tagged("c", flow.source))).sort(by);
  const from = (lines) => (it) => [...lines.values()].filter((line) => line.to === it.id).map((line) => line.from);
  const services = ordered(members(flows.map(middleOf)), from(left), callers);
  const called = ordered(
    members(flows.filter((flow) => flow.target).map((flow) => tagged("s", flow.target))),
    from(right),
    services,
  );
  const columns = [callers, services, called];
  const height = Math.max(...columns.map((column) => column.reduce((total, it) => total + heightOf(it) + gapOf(it), 0)));
  const width = Math.max(wide, 3 * BOX.width + 140);
  const gap = (width - 2 - 3 * BOX.width) / 2;
  const boxes = columns.map((column, at) => place(column, 1 + at * (BOX.width + gap), height));
  const at = new Map(boxes.flat().map((box) => [box.id, box]));
  const lines = [...left.values(), ...right.values()];
  ports(boxes[0], lines, "from", at);
  ports(boxes[1], lines, "to", at);
  ports(boxes[1], lines, "from", at);
  ports(boxes[2], lines, "to", at);
  const most = Math.max(1, ...lines.map((line) => line.bytes));
  for (const line of lines) {
    // A line in its lane goes on under where a box would be.
    line.x1 = at.get(line.from).x + (at.get(line.from).isLane ? BOX.width / 2 : BOX.width - UNDER);
    line.x2 = at.get(line.to).x + (at.get(line.to).isLane ? BOX.width / 2 : UNDER);
    line.thickness = thickness(line.bytes, most);
  }
  return { boxes: boxes.flat(), lines, width, height: TOP + height, headings: boxes.map((_, n) => 1 + n * (BOX.width + gap)) };
}

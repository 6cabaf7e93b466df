// The operators of a job as a graph: those that hand rows to one reader only stand in one box, as a chain; boxes stand in
// columns, from what is read to what is written.

import { add, h, s } from "./dom.js";
import * as format from "./format.js";

const WIDTH = 196;
const GAP_X = 30;
/** A graph that is wider than the page is drawn smaller, as long as it can be read. */
const SCALE_MIN = 0.78;
const GAP_Y = 16;
const PAD = 9;
const LINE = 15;

function cut(text, most) { return text.length > most ? `${text.slice(0, most - 1)}…` : text; }

/** The name of an operator, and what it does: `Join(a = b)` is Join and a = b. */
function named(text) {
  const match = /^([A-Za-z ]+)\((.*?)\)( -> .*)?$/s.exec(text.trim());
  return match ? [match[1], match[2].replace(/^`([^`]*)`/, "$1")] : [text.trim(), ""];
}

/** Chains of nodes, and between which of them rows go. */
function chains(nodes) {
  const byId = new Map(nodes.map((node) => [node.node, node]));
  const readers = new Map(nodes.map((node) => [node.node, []]));
  for (const node of nodes) for (const input of node.inputs) readers.get(input)?.push(node.node);
  const chainOf = new Map();
  const all = [];
  for (const node of nodes) {
    const input = node.inputs.length === 1 && byId.has(node.inputs[0]) && readers.get(node.inputs[0]).length === 1 ? chainOf.get(node.inputs[0]) : undefined;
    const chain = input ?? { nodes: [], inputs: [], index: all.length };
    if (!input) {
      all.push(chain);
      chain.inputs = node.inputs.filter((one) => byId.has(one)).map((one) => ({ node: one, chain: chainOf.get(one) })).filter((one) => one.chain);
    }
    chain.nodes.push(node);
    chainOf.set(node.node, chain);
  }
  for (const chain of all) {
    chain.isSource = chain.inputs.length === 0;
    chain.isSink = readers.get(chain.nodes.at(-1).node).length === 0;
  }
  return all;
}

function place(all, linesOf) {
  const column = (chain) => { chain.column ??= chain.inputs.length === 0 ? 0 : Math.max(...chain.inputs.map((input) => column(input.chain))) + 1; return chain.column; };
  all.forEach(column);
  const last = Math.max(0, ...all.map((chain) => chain.column));
  for (const chain of all) if (chain.isSink && chain.inputs.length > 0) chain.column = last;
  // What is read by one column only stands right before it.
  for (const chain of [...all].reverse()) {
    const reading = all.filter((other) => other.inputs.some((input) => input.chain === chain));
    if (chain.isSource && reading.length > 0) chain.column = Math.min(...reading.map((other) => other.column)) - 1;
  }
  for (const chain of all) chain.height = PAD * 2 + chain.nodes.reduce((sum, node) => sum + (linesOf(node).length + 1) * LINE + 7, 0) - 7;
  const columns = Array.from({ length: last + 1 }, (_, index) => all.filter((chain) => chain.column === index));
  const order = new Map();
  const number = (row) => row.forEach((chain, index) => order.set(chain, index - row.length / 2));
  columns.forEach(number);
  const mean = (chains, fallback) => (chains.length === 0 ? fallback : chains.reduce((sum, chain) => sum + order.get(chain), 0) / chains.length);
  for (let round = 0; round < 6; round += 1) {
    for (const row of columns) {
      const weight = new Map(row.map((chain) => [chain, mean(round % 2 === 0 ? chain.inputs.map((input) => input.chain) : all.filter((other) => other.inputs.some((input) => input.chain === chain)), order.get(chain))]));
      row.sort((a, b) => weight.get(a) - weight.get(b));
      number(row);
    }
  }
  const heights = columns.map((row) => row.reduce((sum, chain) => sum + chain.height + GAP_Y, -GAP_Y));
  const height = Math.max(0, ...heights);
  columns.forEach((row, index) => {
    let y = (height - heights[index]) / 2;
    for (const chain of row) { chain.x = index * (WIDTH + GAP_X); chain.y = y; y += chain.height + GAP_Y; }
  });
  return { width: columns.length * (WIDTH + GAP_X) - GAP_X, height };
}

/** `rates` gives rows in and out per second and the busy share of a node. */
export function graph(nodes, rates, open) {
  if (nodes.length === 0) return h("div", { class: "empty" }, h("span", {}, "The node knows the plan of a job only while it runs."));
  const linesOf = (node) => {
    const [, what] = named(node.operator);
    const state = node["state-memory-bytes"] + node["state-run-bytes"];
    const lines = what === "" ? [] : [["small", what]];
    if (node["state-keys"] > 0) lines.push(["small", `state ${format.bytes(state)}, ${format.number(node["state-keys"])} keys`]);
    if (node["late-rows"] > 0) lines.push(["warn", `${format.number(node["late-rows"])} late rows`]);
    return lines;
  };
  const all = chains(nodes);
  const { width, height } = place(all, linesOf);
  const svg = s("svg", { viewBox: `-2 -2 ${width + 4} ${height + 4}`, width: width + 4, height: height + 4, role: "group", "aria-label": "Operators of the job", style: { width: `max(${Math.round(width * SCALE_MIN)}px, min(100%, ${width + 4}px))`, height: "auto" } });
  for (const chain of all) {
    for (const input of chain.inputs) {
      const [x1, y1] = [input.chain.x + WIDTH, input.chain.y + input.chain.height / 2];
      const [x2, y2] = [chain.x, chain.y + chain.height / 2];
      const bend = Math.max(18, (x2 - x1) / 2);
      svg.append(s("path", { class: `edge ${(rates(input.node).out ?? 0) > 0 ? "busy" : ""}`, d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` }));
    }
  }
  for (const chain of all) {
    const box = s("g", { class: `chain ${chain.isSource ? "source" : chain.isSink ? "sink" : ""}`, transform: `translate(${chain.x} ${chain.y})` },
      s("rect", { class: "box", width: WIDTH, height: chain.height, rx: 7 }), s("rect", { class: "head-bar", width: 3, height: chain.height - 14, y: 7, rx: 1.5 }));
    let y = PAD;
    for (const node of chain.nodes) {
      const [name] = named(node.operator);
      const lines = linesOf(node);
      const now = rates(node.node);
      const isLast = node.inputs.length > 0 && chain.isSink && node === chain.nodes.at(-1);
      const tall = (lines.length + 1) * LINE;
      const act = () => open(node);
      const row = s("g", { class: "node", transform: `translate(0 ${y})`, tabindex: "0", role: "button", onclick: act, onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(); } } },
        s("rect", { class: "back", x: 5, y: -3, width: WIDTH - 9, height: tall + 5, rx: 4 }), s("rect", { class: "busy-bar", x: 5, y: tall, width: (WIDTH - 9) * Math.min(1, now.busy ?? 0), height: 2, rx: 1 }),
        s("text", { class: "name", x: 13, y: 11 }, cut(name, 17)), s("text", { class: "rate", x: WIDTH - 10, y: 11, "text-anchor": "end" }, `${format.rate(isLast ? now.in : now.out)} /s`),
        lines.map(([kind, line], index) => s("text", { class: kind, x: 13, y: 11 + (index + 1) * LINE - 1 }, cut(line, 32))));
      box.append(row);
      y += tall + 7;
    }
    svg.append(box);
  }
  return add(h("div", { class: "graph", tabindex: "0", role: "region", "aria-label": "Graph of the job" }), [svg]);
}

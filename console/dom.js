// Elements, made from names and texts. Nothing here, and nothing that uses it, makes elements from a text: what stands
// in a record stays a text, whatever it looks like.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (name === "style") for (const [key, given] of Object.entries(value)) element.style.setProperty(key, given);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

export function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** h("a", { href: "#/", class: "x" }, "text", element, …) */
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function s(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Puts new children in the place of the old ones, and leaves the focus where it was if it was on one with the same id. */
export function put(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  element.replaceChildren();
  add(element, children);
  if (focused) document.getElementById(focused)?.focus();
  return element;
}

const PATHS = {
  overview: "M2 9.5h3l2-6 3 9 2-3h2",
  topics: "M2.5 4h11M2.5 8h11M2.5 12h7",
  groups: "M6 7a2.3 2.3 0 1 0 0-4.6A2.3 2.3 0 0 0 6 7Zm-4 6.5c0-2.4 1.8-4 4-4s4 1.6 4 4M10.8 3a2.2 2.2 0 0 1 0 4M12 9.9c1.3.6 2 1.9 2 3.6",
  letters: "M2 4h12v8.5H2zM2 4.5l6 4.6 6-4.6",
  jobs: "M2 3.2h4v3.4H2zM10 3.2h4v3.4h-4zM6 10h4v3.4H6zM4 6.6v1.7h8V6.6M8 8.3V10",
  schemas: "M5.5 2.5C4 2.5 4 3.8 4 5s0 2.6-1.6 3C4 8.400 4 9.800 4 11s0 2.500 1.500 2.500M10.500 2.500C12 2.500 12 3.800 12 5s0 2.600 1.600 3C12 8.400 12 9.800 12 11s0 2.500-1.500 2.500",
  views: "M2.500 3h11v10h-11zM2.500 6.300h11M6.500 6.300v6.700",
  sql: "M2.500 3.500l4 4-4 4M8 12h5.500",
  shield: "M8 1.600 13.300 3.500v4.100c0 3.300-2.200 5.700-5.300 6.800-3.100-1.100-5.300-3.500-5.300-6.800V3.500zM5.500 8l1.800 1.800L10.700 6.300",
  alarm: "M8 2 14.500 13.500h-13zM8 6.500v3.200M8 11.700v.1",
  copy: "M5.500 5.500h8v8h-8zM3 10.500H2.500v-8h8V3",
  close: "M4 4l8 8M12 4l-8 8",
  theme: "M8 2.500a5.500 5.500 0 1 0 0 11zM8 2.500a5.500 5.500 0 0 1 0 11",
};

export function icon(name) {
  return s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", fill: "none", stroke: "currentColor", "stroke-width": 1.4, "stroke-linecap": "round", "stroke-linejoin": "round" }, s("path", { d: PATHS[name] }));
}

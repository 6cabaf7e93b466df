// Numbers, sizes, times.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function number(value) {
  return value === null || value === undefined ? "–" : whole.format(value);
}

/** Few digits, for tiles and graphs: 12, 1.2 k, 35 M. */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  for (const [unit, name] of [[1e9, " G"], [1e6, " M"], [1e4, " k"]]) {
    if (size >= unit) {
      const scaled = value / (name === " k" ? 1e3 : unit);
      return (Math.abs(scaled) >= 100 ? scaled.toFixed(0) : scaled.toFixed(1)) + name;
    }
  }
  return size >= 100 || Number.isInteger(value) ? whole.format(value) : value.toFixed(1);
}

export function rate(value) {
  return value === undefined || value === null ? "–" : value > 0 && value < 0.1 ? "<0.1" : short(value);
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let unit = 0;
  while (value >= 1024 && unit < BYTES.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 || value >= 100 ? whole.format(value) : value.toFixed(1)} ${BYTES[unit]}`;
}

export function nanoseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1e3) return `${value.toFixed(0)} ns`;
  if (value < 1e6) return `${(value / 1e3).toFixed(value < 1e4 ? 1 : 0)} µs`;
  if (value < 1e9) return `${(value / 1e6).toFixed(value < 1e7 ? 2 : 1)} ms`;
  return `${(value / 1e9).toFixed(1)} s`;
}

/** The bounds of buckets are round. */
export function bound(ns) {
  for (const [unit, name] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]]) if (ns >= unit) return `${ns / unit} ${name}`;
  return `${ns} ns`;
}

export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  const seconds = ms / 1000;
  if (seconds < 1) return `${Math.max(0, Math.round(ms))} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${number(Math.floor(seconds / 86400))} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

let isUtc = false;
try { isUtc = localStorage.getItem("eventwright-zone") === "utc"; } catch { /* Without storage it is local time. */ }

export function zone() { return isUtc ? "UTC" : "local"; }
export function switchZone() {
  isUtc = !isUtc;
  try { localStorage.setItem("eventwright-zone", isUtc ? "utc" : "local"); } catch { /* It holds for this page only. */ }
}

const two = (value) => String(value).padStart(2, "0");

function written(ms, utc) {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return String(ms);
  const get = (name) => at[`get${utc ? "UTC" : ""}${name}`]();
  const day = `${get("FullYear")}-${two(get("Month") + 1)}-${two(get("Date"))}`;
  return `${day} ${two(get("Hours"))}:${two(get("Minutes"))}:${two(get("Seconds"))}.${String(get("Milliseconds")).padStart(3, "0")}`;
}

/** In the chosen zone; records without a time have -1. */
export function time(ms) {
  return ms === null || ms === undefined || ms < 0 ? "–" : written(ms, isUtc) + (isUtc ? "Z" : "");
}
export function utc(ms) { return ms < 0 ? "–" : `${written(ms, true)}Z`; }
export function local(ms) {
  if (ms < 0) return "–";
  const minutes = -new Date(ms).getTimezoneOffset();
  return `${written(ms, false)} ${minutes < 0 ? "-" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
}

/** What somebody typed as a time: a date with or without a zone, or milliseconds; undefined if it is none. */
export function parseTime(text) {
  const given = text.trim();
  if (/^\d{11,}$/.test(given)) return Number(given);
  const zoned = /([zZ]|[+-]\d\d:?\d\d)$/.test(given);
  const ms = Date.parse(given.replace(" ", "T") + (isUtc && !zoned && given.includes(":") ? "Z" : ""));
  return Number.isNaN(ms) ? undefined : ms;
}

/** The value below which a share of a histogram lies, about: the bound of its bucket. */
export function quantile(histogram, share) {
  const all = histogram.counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  let seen = 0;
  for (let index = 0; index < histogram.counts.length; index += 1) {
    seen += histogram.counts[index];
    if (seen >= share * all) return histogram.bounds_ns[Math.min(index, histogram.bounds_ns.length - 1)];
  }
  return null;
}

// Words of SQL: how they are painted, and what a word that was begun can become.

import * as api from "./api.js";

const KEYWORDS = ["ALL", "AND", "ANY", "ARRAY", "AS", "ASC", "AT TIME ZONE", "AVG", "BETWEEN", "BY", "CASE", "CAST", "COALESCE", "COUNT", "CROSS JOIN", "CURRENT_DATE", "CURRENT_TIMESTAMP", "DATE_TRUNC", "DESC", "DISTINCT", "ELSE", "END", "EXCEPT", "EXISTS", "EXPLAIN", "EXTRACT", "FALSE", "FILTER", "FROM", "FULL JOIN", "GROUP BY", "HAVING", "ILIKE", "IN", "INNER JOIN", "INTERSECT", "INTERVAL", "IS NOT NULL", "IS NULL", "JOIN", "LATERAL", "LEFT JOIN", "LIKE", "LIMIT", "MAX", "MIN", "NOT", "NOW", "NULL", "NULLS FIRST", "NULLS LAST", "OFFSET", "ON", "OR", "ORDER BY", "OVER", "PARTITION BY", "PROGRESS", "RIGHT JOIN", "ROW_NUMBER", "SELECT", "SNAPSHOT", "SUBSCRIBE TO", "SUM", "TABLE", "THEN", "TO", "TRUE", "UNION", "USING", "VALUES", "WHEN", "WHERE", "WITH"];
const WORDS = new Set(KEYWORDS.flatMap((keyword) => keyword.split(" ")));
/** Column names that are words of SQL, and want quotes. */
const RESERVED = new Set(["all", "and", "as", "asc", "case", "desc", "end", "from", "group", "limit", "offset", "order", "select", "table", "to", "user", "where"]);
const TOKEN = /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|\d[\d._eE]*|[\p{L}_][\p{L}\p{N}_]*|\s+|[\s\S]/gu;
const WAIT_MS = 5000;
/** Relations whose columns are offered: those that are named nearest to the cursor. */
const NAMED_MAX = 8;

/** The parts of a text: `{ kind, text, at }`, in units of JavaScript. */
export function tokens(text) {
  const kind = (token) => {
    if (/^(--|\/\*)/.test(token)) return "comment";
    if (token.startsWith("'")) return "text";
    if (token.startsWith("\"")) return "name";
    if (/^\d/.test(token)) return "number";
    if (/^[\p{L}_]/u.test(token)) return WORDS.has(token.toUpperCase()) ? "word" : "other";
    return /^\s/.test(token) ? "blank" : "sign";
  };
  return [...text.matchAll(TOKEN)].map((match) => ({ kind: kind(match[0]), text: match[0], at: match.index }));
}

/** A name as SQL writes it. */
export function written(name) {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !RESERVED.has(name) ? name : `"${name.replaceAll("\"", "\"\"")}"`;
}

/** What the word before a place can become: `{ from, words: [{ text, what }] }`. */
export async function complete(text, place) {
  const before = text.slice(0, place);
  const word = /[\p{L}\p{N}_".-]*$/u.exec(before)[0];
  const quoted = /"([^"]*)$/.exec(word);
  const dot = quoted ? -1 : word.lastIndexOf(".");
  // A name in quotes may have any signs.
  const begun = quoted ? quoted[1] : word.slice(dot + 1);
  const from = place - begun.length - (quoted ? 1 : 0);
  const head = before.slice(0, from - (dot >= 0 ? dot + 1 : 0)).trimEnd();
  const wantsRelation = /\b(from|join|subscribe(\s+to)?|table)$/i.test(head) || /\bfrom\b[^()]*,$/i.test(head);
  const fits = (name) => name.toLowerCase().startsWith(begun.toLowerCase());
  const qualifier = dot >= 0 ? word.slice(0, dot).replaceAll("\"", "") : undefined;
  const signal = AbortSignal.timeout(WAIT_MS);
  const found = [];
  if (qualifier === undefined || ["public", "topics"].includes(qualifier)) {
    if (wantsRelation || (begun.length > 0 && qualifier === undefined)) {
      const { relations } = await api.get(`sql/relations${api.query({ prefix: begun })}`, signal);
      const right = relations.filter((one) => qualifier === undefined || one.schema === qualifier);
      found.push(...right.map((one) => ({ text: written(one.name), what: one.is_view ? "view" : "topic" })));
    }
  }
  if (!wantsRelation) {
    // Who `s.city` is of: the relation, or what it is called here.
    const named = [...text.matchAll(/\b(?:from|join|subscribe\s+to|subscribe)\s+(?:(?:public|topics)\.)?("(?:[^"]|"")+"|[\p{L}_][\p{L}\p{N}_]*)(?:\s+(?:as\s+)?([\p{L}_][\p{L}\p{N}_]*))?/giu)]
      .map(({ 1: name, 2: alias, index }) => ({ name: name.startsWith("\"") ? name.slice(1, -1).replaceAll("\"\"", "\"") : name.toLowerCase(), alias, far: Math.abs(index - place) }));
    named.sort((a, b) => a.far - b.far);
    const wanted = named.filter(({ name, alias }) => qualifier === undefined || qualifier === name || qualifier === alias).map(({ name }) => name);
    if (wanted.length > 0) {
      const { relations } = await api.get(`sql/relations${api.query({ names: [...new Set(wanted)].slice(0, NAMED_MAX).join(",") })}`, signal);
      for (const relation of relations) found.unshift(...relation.columns.filter((column) => fits(column.name)).map((column) => ({ text: written(column.name), what: column.type })));
    }
    if (qualifier === undefined && begun !== "" && !quoted) {
      const isLower = begun === begun.toLowerCase();
      found.push(...KEYWORDS.filter(fits).map((keyword) => ({ text: isLower ? keyword.toLowerCase() : keyword, what: "" })));
    }
  }
  const seen = new Set();
  return { from, words: found.filter(({ text: one }) => !seen.has(one) && seen.add(one)) };
}

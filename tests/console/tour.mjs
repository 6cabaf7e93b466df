// A tour over the flights as they happen: look at the node, find a record, see where it went, ask views and topics, break a
// record and mend it, set a group back; then records that mean harm, a phone, and the dark.

import { check, end, launch, open, picture, quiet, site, told, usable } from "./browser.mjs";

const browser = await launch();
const { page, complaints, go } = await open(browser);
const link = (name) => page.getByRole("link", { name, exact: true });
const button = (name) => page.getByRole("button", { name });
const heading = (name) => page.getByRole("heading", { level: 1, name }).waitFor();
/** A message that was not seen before: those of earlier steps stay for some seconds. */
const toast = async (words) => {
  const fresh = page.locator(".toast:not([data-seen])", { hasText: words }).first();
  await fresh.waitFor();
  await fresh.evaluate((one) => { one.dataset.seen = ""; });
};

async function step(name, what) {
  try { await what(); told(name); } catch (error) { told(name, error); await page.screenshot({ path: `${process.env.OTHER_PICTURES}/failed.png` }).catch(() => {}); }
}

await step("the root leads to the console", async () => {
  await page.goto(`http://${site.http}/`);
  if (!page.url().endsWith("/console/")) throw new Error(page.url());
});
complaints.length = 0;
await step("the overview says how safe records are, and what runs", async () => {
  await go("#/");
  await page.getByText("Acknowledged means on the disk").waitFor();
  await page.getByText("At risk now").waitFor();
  await page.locator(".tag", { hasText: "Running" }).first().waitFor();
  await page.getByText("1 dead letter waits in dlq.tasks").waitFor();
  // The small curves begin with the second look.
  await page.locator(".tile svg.spark path").first().waitFor();
});
await usable(page, "overview");

await step("the keyboard leads to the jobs, and one is a graph", async () => {
  await page.keyboard.press("g");
  await page.keyboard.press("j");
  await heading("Jobs");
  await page.locator("tbody tr").first().waitFor();
  await usable(page, "jobs");
  await page.locator("tbody tr a").first().click();
  await page.locator(".graph .sink .node").first().waitFor();
  await page.locator(".graph .edge.busy").first().waitFor();
});
await usable(page, "job");
await page.setViewportSize({ width: 1200, height: 740 });
await picture(page, "console-job");
await page.setViewportSize({ width: 1280, height: 800 });
await step("EXPLAIN, inputs and operators of a job", async () => {
  await page.getByRole("tab", { name: "EXPLAIN" }).click();
  await page.locator("pre.explain", { hasText: "keeps" }).waitFor();
  await page.getByRole("tab", { name: "Inputs" }).click();
  await page.getByRole("cell", { name: "flight-events/0" }).waitFor();
  await page.getByRole("tab", { name: "Operators" }).click();
  await page.locator("tbody tr").nth(3).waitFor();
  await page.getByRole("tab", { name: "No output?" }).click();
  await page.getByRole("cell", { name: /rows come out|waits for watermark|split holds watermark/ }).first().waitFor();
});
await step("a savepoint is taken", async () => {
  await page.getByRole("button", { name: "Savepoint…", exact: true }).click();
  await button("Take it").click();
  await toast("The savepoint is /");
});

await step("the list of topics is filtered from the keyboard", async () => {
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await heading("Topics");
  await link("flight-events").or(page.getByRole("row", { name: /flight-events/ })).first().waitFor();
  await usable(page, "topics");
  await picture(page, "console-topics", 460);
  await page.keyboard.press("/");
  await page.keyboard.type("flight-ev");
  await page.getByText(/^1 of /).waitFor();
  await page.getByRole("row", { name: /flight-events/ }).click();
  await heading("flight-events");
});
await step("a record is found by its event id, and shown", async () => {
  await page.locator("tbody tr").nth(10).waitFor();
  await page.getByRole("searchbox", { name: "Text" }).fill(site.event);
  await page.keyboard.press("Enter");
  await page.getByText(/All were looked at/).waitFor();
  await page.locator("tbody tr").first().click();
  await page.getByRole("complementary").getByText(`"${site.event}"`).waitFor();
});
await usable(page, "record");
await picture(page, "console-record");
await step("a condition finds records by a field of their JSON", async () => {
  await page.keyboard.press("Escape");
  await page.getByRole("searchbox", { name: "Text" }).fill("");
  await page.getByRole("textbox", { name: "Condition" }).fill("$.dep_delay > 300");
  await page.keyboard.press("Enter");
  await page.getByText(/found in/).waitFor();
  const delays = await page.locator("tbody td:nth-child(4)").allTextContents();
  if (delays.length === 0 || !delays.every((text) => Number(/"dep_delay": ?(\d+)/.exec(text)?.[1]) > 300)) throw new Error(delays[0]);
});
await step("what is no condition says so, for as long as it is not another one", async () => {
  await page.getByRole("textbox", { name: "Condition" }).fill("dep_delay");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("begins with a path").waitFor();
  // The page asks for the topic again meanwhile, and draws what it gets.
  for (let times = 0; times < 2; times += 1) await page.waitForResponse((response) => response.url().endsWith("/api/topics/flight-events"));
  await page.getByRole("alert").getByText("begins with a path").waitFor();
  await page.getByRole("textbox", { name: "Condition" }).fill("");
});
// The refusal of a condition is a 400, which the browser itself notes.
complaints.splice(0, complaints.length, ...complaints.filter((words) => !words.includes("400 (Bad Request)")));

await step("where a record went: the jobs have taken it, and a view has it", async () => {
  await go(`#/topics/flight-events/records/0/${site.late.offset}`);
  await page.getByRole("complementary").getByText(`"${site.late.event}"`).waitFor();
  await page.getByRole("link", { name: "Where did it go?" }).click();
  await page.getByRole("table", { name: "Jobs" }).getByText("has taken it").nth(1).waitFor();
  await page.getByRole("table", { name: "Found in __view.long_waits" }).getByText(site.late.event).waitFor();
  await page.getByText(/; (all of its|the newest)/).nth(3).waitFor();
});
await usable(page, "where a record went");
await picture(page, "console-way");
await step("it is looked for by another value", async () => {
  await page.getByRole("combobox", { name: "By" }).selectOption("a text of yours");
  await page.getByLabel("Records with this text").fill("nothing has this in it");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => [...document.querySelectorAll("section.found h3")].every((one) => one.textContent.includes("nothing; ")));
});

await step("the views are listed with how fresh they are", async () => {
  await page.keyboard.press("Escape");
  await page.locator("h1").focus();
  await page.keyboard.press("g");
  await page.keyboard.press("v");
  await heading("Views");
  await page.getByRole("row", { name: /departures/ }).getByText("3", { exact: true }).waitFor();
  await page.getByRole("row", { name: /long_waits/ }).getByText("every row stays").waitFor();
});
await usable(page, "views");
await step("a view shows its rows, by its key, and as they change", async () => {
  await page.getByRole("link", { name: "departures", exact: true }).click();
  await heading("departures");
  await page.getByRole("table", { name: "Answer" }).locator("tbody tr").nth(2).waitFor();
  await page.getByLabel("origin").fill("JFK");
  await page.keyboard.press("Enter");
  await page.getByText("1 row", { exact: true }).waitFor();
  await usable(page, "view");
  await button("Follow").click();
  await page.getByRole("table", { name: "Rows as they are now" }).locator("tbody tr").nth(2).waitFor();
  await page.getByText(/came and [1-9]\d* went/).waitFor();
  await page.locator("tr.fresh").first().waitFor();
});
await usable(page, "a view that is followed");
await picture(page, "console-views", 520);
await step("its columns, its statement, and the job that keeps it", async () => {
  await page.getByRole("tab", { name: "Columns" }).click();
  await page.getByRole("row", { name: /origin/ }).getByText("key", { exact: true }).waitFor();
  await page.getByRole("tab", { name: "Statement" }).click();
  await page.locator("pre", { hasText: "CREATE MATERIALIZED TABLE" }).waitFor();
  await page.getByRole("definition").getByRole("link", { name: "flight-events" }).waitFor();
  await usable(page, "statement of a view");
  await link("Its job").click();
  await page.locator(".graph .sink .node").first().waitFor();
});

const editor = () => page.getByRole("textbox", { name: "Statements" });
const write = async (text) => { await editor().fill(""); await editor().pressSequentially(text); };
const ask = () => page.keyboard.press("Control+Enter");
const cells = (row) => page.getByRole("table", { name: "Answer" }).locator("tbody tr").nth(row).locator("td").allTextContents();
await step("SQL: what can be asked is offered", async () => {
  await page.locator("h1").focus();
  await page.keyboard.press("g");
  await page.keyboard.press("q");
  await heading("SQL");
  await button("departures").waitFor();
  await button("flight-events").waitFor();
  await usable(page, "SQL, before anything is asked");
  await picture(page, "sql-begin");
});
await step("SQL: keywords, views and columns are completed, and the answer comes", async () => {
  await write("SELECT * FROM dep");
  await page.keyboard.press("Tab");
  await page.waitForFunction(() => document.querySelector("textarea.code").value === "SELECT * FROM departures");
  await page.keyboard.type(" WHE");
  await page.keyboard.press("Control+Space");
  await page.getByRole("option", { name: "WHERE", exact: true }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Tab");
  await page.waitForFunction(() => document.querySelector("textarea.code").value.endsWith(" WHERE"));
  await page.keyboard.type(" ori");
  await page.keyboard.press("Tab");
  await page.waitForFunction(() => document.querySelector("textarea.code").value.endsWith(" origin"));
  await page.keyboard.type(" = 'EWR'");
  await ask();
  await page.getByText("1 row", { exact: true }).waitFor();
  if ((await cells(0))[0] !== "EWR") throw new Error(String(await cells(0)));
});
await step("SQL: several fit, and one is chosen by the arrows", async () => {
  await write("SELECT l");
  await page.keyboard.press("Control+Space");
  await page.getByRole("listbox").waitFor();
  await usable(page, "completions");
  await page.keyboard.press("Escape");
  await page.getByRole("listbox").waitFor({ state: "hidden" });
  // Behind Esc, Tab is the browser's.
  await page.keyboard.press("Escape");
  await page.keyboard.press("Tab");
  if (await editor().evaluate((area) => area === document.activeElement)) throw new Error("Tab does not leave the editor");
});
await step("SQL: an error is shown, explained, and marked where it is", async () => {
  await write("SELECT origin,\n  departe\nFROM departures;");
  await ask();
  await page.getByRole("alert").getByText('column "departe" does not exist').waitFor();
  await page.getByText("line 2, column 3").waitFor();
  await page.locator("mark", { hasText: "departe" }).waitFor();
  const place = await editor().evaluate((area) => area.selectionStart);
  if (place !== 17) throw new Error(`the cursor is at ${place}`);
});
await usable(page, "an error of SQL");
await picture(page, "sql-error", 520);
await step("SQL: what writes is refused with the way that does", async () => {
  await write("DELETE FROM departures");
  await ask();
  await page.getByRole("alert").getByText("write with a Kafka client").waitFor();
});
await step("SQL: an answer comes in pages, as far as its limit", async () => {
  await write('SELECT partition, "offset", value FROM "flight-events"');
  await ask();
  await page.getByText("the first 1,000 rows: there are more").waitFor();
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByText("101–200").waitFor();
  await page.locator("#answer-150").click();
  await page.getByRole("dialog").getByText('"event_id"').waitFor();
  await usable(page, "a row of an answer");
  await page.keyboard.press("Escape");
});
await step("SQL: a query that takes long is stopped", async () => {
  await write("SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b");
  await ask();
  // As long as it can be stopped it is under way: its first words may be gone before anybody has seen them.
  await page.locator("button:enabled", { hasText: "Stop" }).waitFor();
  await button("Stop").click();
  await page.getByText("stopped", { exact: true }).waitFor();
});
await step("SQL: the plan of a query", async () => {
  await write("SELECT max(departed) FROM departures");
  await button("Explain").click();
  await page.locator("pre", { hasText: "departures" }).nth(1).waitFor();
});
await step("SQL: a view is followed, and stopped", async () => {
  await write("SUBSCRIBE TO departures");
  await ask();
  await page.getByText("3 rows now").waitFor();
  await page.getByText(/came and [1-9]\d* went/).waitFor();
  await button("Stop").click();
  await page.getByText("stopped", { exact: true }).waitFor();
  await page.getByText("3 rows now").waitFor();
});
await step("SQL: what was asked is in the history, and only in this browser", async () => {
  await page.reload();
  await page.waitForFunction(() => document.querySelector("textarea.code")?.value === "SUBSCRIBE TO departures");
  await editor().press("Alt+ArrowUp");
  await editor().press("Alt+ArrowUp");
  await page.waitForFunction(() => document.querySelector("textarea.code").value === "SELECT max(departed) FROM departures");
  await button("History").click();
  await page.getByRole("dialog").getByText("DELETE FROM departures").waitFor();
  await usable(page, "history");
  await page.getByRole("dialog").getByText("DELETE FROM departures").click();
  await page.waitForFunction(() => document.querySelector("textarea.code").value === "DELETE FROM departures");
});
const QUERY = `-- Airlines with the longest waits
SELECT carrier, count(*) AS waits, round(avg(dep_delay)) AS minutes, max(dep_delay) AS longest
FROM long_waits
WHERE route LIKE 'JFK-%'
GROUP BY carrier
ORDER BY waits DESC;`;
await step("SQL: a query over a view", async () => {
  await editor().fill(QUERY);
  await ask();
  await page.getByRole("table", { name: "Answer" }).locator("tbody tr").nth(2).waitFor();
});
await usable(page, "SQL");
await picture(page, "console-sql", 620);
await step("SQL: records that mean harm stay texts", async () => {
  await write("SELECT key, value, headers FROM hostile");
  await ask();
  await page.getByText(`${site.hostile} rows`, { exact: true }).waitFor();
  const made = await page.evaluate(() => document.querySelectorAll("main img, main script, main iframe, main style, main base, main form").length);
  if (made > 0) throw new Error(`${made} elements were made of rows`);
  if (/[\u202a-\u202e\u2066-\u2069]/.test(await page.locator("main").innerText())) throw new Error("a mark that turns the text round was shown as such");
});

await step("a record that is no event is put aside by the job", async () => {
  await go("#/topics/flight-events");
  await page.locator(".bar").getByRole("button", { name: "Produce…" }).click();
  await page.getByLabel("Key", { exact: true }).fill("B6515");
  await page.getByLabel("Value", { exact: true }).fill("B6515 is late again");
  await page.getByRole("dialog").getByRole("button", { name: "Produce" }).click();
  await toast("On the disk");
  await page.keyboard.press("Escape");
  await go("#/letters");
  await page.getByRole("row", { name: /unreadable-events/ }).getByText("job").waitFor();
  await usable(page, "topics of letters");
  await page.getByRole("link", { name: "unreadable-events" }).click();
  await page.locator("td", { hasText: "B6515 is late again" }).first().waitFor();
});
await step("it is sent back after a look, with all that a filter shows, and put aside again", async () => {
  await page.getByRole("searchbox").fill("late again");
  await button("Redrive these…").click();
  const box = page.getByRole("dialog");
  await box.getByRole("cell", { name: "flight-events" }).first().waitFor();
  await box.getByText("is not ticked off").waitFor();
  await usable(page, "redrive");
  const before = await page.locator("main td", { hasText: "B6515 is late again" }).count();
  await box.getByRole("button", { name: /^Redrive (it|\d+)$/ }).click();
  await toast(/back, and on the disk/);
  await page.waitForFunction((count) => [...document.querySelectorAll("main td.mono")].filter((cell) => cell.textContent.includes("B6515 is late again")).length > count, before, { polling: 200 }).catch(async () => {
    // The page looks again by itself after some time; who reloads sees it at once.
    await page.reload();
    await page.locator("td", { hasText: "B6515 is late again" }).nth(before).waitFor();
  });
});
await picture(page, "letters-job", 460);
await step("mended, it is an event, and what came of it is in a view", async () => {
  await page.getByRole("button", { name: "Mend…" }).first().click();
  const box = page.getByRole("dialog");
  if (await box.getByLabel("Value", { exact: true }).inputValue() !== "B6515 is late again") throw new Error("the value is another one");
  await box.getByLabel("Value", { exact: true }).fill('{"event_id": "mended-1", "event_type": "departed", "event_time": "2013-01-31 12:00:00", "carrier": "B6", "flight": 515, "origin": "EWR", "dest": "FLL", "dep_delay": 777}');
  await box.getByRole("button", { name: "Produce" }).click();
  await toast("On the disk");
  await go(`#/sql?text=${encodeURIComponent("SELECT dep_delay FROM long_waits WHERE event_id = 'mended-1'")}`);
  const first = () => page.locator("#answer-0");
  // The job takes a moment: it is asked until it is there.
  for (let tries = 0; tries < 100 && await first().count() === 0; tries += 1) {
    await button("Ask").click();
    await page.getByText("No rows").or(first()).first().waitFor();
  }
  if ((await cells(0))[0] !== "777") throw new Error(String(await cells(0)));
});

await step("a record is produced, seen live by another page, and found by its offset", async () => {
  const other = await open(browser);
  await other.go("#/topics/demo");
  await other.page.getByRole("button", { name: "Live" }).click();
  await other.page.getByText("waiting for records").waitFor();
  await go("#/topics/demo");
  await page.locator(".bar").getByRole("button", { name: "Produce…" }).click();
  await page.getByLabel("Key", { exact: true }).fill("k-1");
  await page.getByLabel("Value", { exact: true }).fill('{"id": 12345678901234567890, "said": "hello"}');
  await page.getByLabel("Headers, one in a line").fill("from: console");
  await usable(page, "produce");
  await page.getByRole("dialog").getByRole("button", { name: "Produce" }).click();
  await toast("On the disk");
  await page.getByRole("complementary").getByText("12345678901234567890").waitFor();
  await other.page.locator("tbody tr", { hasText: "12345678901234567890" }).waitFor();
  await quiet(other.page, other.complaints, "live");
  await other.context.close();
});

await step("the browser's own WebSocket follows a topic and a view, and goes on where it was", async () => {
  const heard = await page.evaluate(async () => {
    /** Messages until there are so many, and how it was closed. */
    const hear = (path, count) => new Promise((resolve, reject) => {
      const messages = [];
      const socket = new WebSocket(`ws://${location.host}${path}`, ["eventwright.json"]);
      socket.onmessage = ({ data }) => { messages.push(JSON.parse(data)); if (messages.length === count) socket.close(1000); };
      socket.onclose = ({ code, wasClean }) => resolve({ messages, code, wasClean, protocol: socket.protocol });
      socket.onerror = () => reject(new Error(`${path} is refused`));
    });
    const topic = await hear("/topics/demo?from=earliest", 2);
    const { next } = topic.messages[0];
    const view = await hear("/views/departures", 6);
    const again = await hear(`/views/departures?from=${view.messages[4].next}`, 2);
    return { topic, next, view, again };
  });
  const words = JSON.stringify(heard);
  const { topic, view, again } = heard;
  if (topic.messages[1].value.said !== "hello" || topic.code !== 1000 || !topic.wasClean || topic.protocol !== "eventwright.json") throw new Error(words);
  if (view.messages[0].rows !== 3 || view.messages.slice(1, 4).some(({ row }) => !row.origin) || view.messages[4].next === undefined || !view.messages[5].row.departed) throw new Error(words);
  if (again.messages[0].next !== view.messages[4].next || JSON.stringify(again.messages[1]) !== JSON.stringify(view.messages[5])) throw new Error(words);
});

await step("a group is set back, after a preview that changes nothing", async () => {
  await go("#/groups");
  await page.getByRole("link", { name: "billing" }).waitFor();
  await usable(page, "groups");
  await page.getByRole("link", { name: "billing" }).click();
  await heading("billing");
  await button("Reset offsets…").click();
  const box = page.getByRole("dialog");
  check("what was not looked at cannot be committed", await box.getByRole("button", { name: "Commit" }).isDisabled());
  await box.getByRole("combobox", { name: "To", exact: true }).selectOption("offset");
  await box.getByLabel("Offset", { exact: true }).fill("500");
  await box.getByRole("button", { name: "Preview" }).click();
  await box.getByText("500 again").waitFor();
  await usable(page, "reset");
  await picture(page, "console-reset", 640);
  await page.locator("main td", { hasText: "1,000" }).first().waitFor();
  await box.getByRole("button", { name: "Commit" }).click();
  await toast("goes on at the new offsets");
  await page.locator("main tr", { hasText: "flight-events" }).getByText("500", { exact: true }).nth(2).waitFor();
});

await step("a share group's dead letter is shown, and sent back", async () => {
  await go("#/groups/mail");
  await page.getByText("share group").waitFor();
  await usable(page, "share group");
  await link("Dead letters").first().click();
  await page.getByRole("link", { name: "dlq.tasks" }).click();
  await page.locator("td", { hasText: "broken task" }).waitFor();
  await usable(page, "letters");
  await picture(page, "console-letters", 400);
  // The record has a key and headers that are no texts, and line ends that fields of a page change.
  await button("Mend…").click();
  const box = page.getByRole("dialog");
  if (await box.getByLabel("Key", { exact: true }).inputValue() !== "/wA=") throw new Error("the key is shown as another one");
  await box.getByText("The headers go as they are").waitFor();
  await usable(page, "mend");
  await box.getByRole("button", { name: "Produce" }).click();
  await toast("On the disk");
  const parts = (offset) => page.evaluate(async (at) => { const { key, value, headers } = await (await fetch(`api/topics/tasks/records/0/${at}`)).json(); return JSON.stringify([key, value, headers]); }, offset);
  const [before, after] = [await parts(1), await parts(3)];
  if (before !== after || !before.includes("\\r\\n")) throw new Error(`${before} became ${after}`);
  await button("Redrive the one that waits…").click();
  await page.getByRole("dialog").getByText("tasks").first().waitFor();
  await button("Redrive it").click();
  await toast("One record is back");
  await page.getByText("redriven").first().waitFor();
  await go("#/topics/tasks");
  await page.locator("tbody tr", { hasText: "broken task" }).nth(1).waitFor();
});

await step("schemas have versions", async () => {
  await go("#/schemas");
  await page.getByRole("link", { name: "flights-value" }).click();
  await page.getByText("2 of 2").waitFor();
  await page.locator("pre", { hasText: "\"gate\"" }).waitFor();
  await usable(page, "schemas");
  await page.getByRole("combobox", { name: "Version" }).selectOption("1");
  await page.getByText("1 of 2").waitFor();
});
await step("a value of Avro is decoded by its schema", async () => {
  await go("#/topics/flights/records/0/0");
  await page.getByRole("complementary").locator("pre", { hasText: '"B7"' }).waitFor();
  await page.getByRole("link", { name: "schema 2" }).click();
  await page.getByRole("heading", { level: 1, name: "flights-value" }).waitFor();
});
await step("curves of what has happened", async () => {
  await go("#/");
  await page.waitForFunction(() => document.querySelectorAll(".tile svg.spark path").length >= 8);
  await picture(page, "console-overview");
});
await quiet(page, complaints, "the tour");

await step("records that mean harm stay texts", async () => {
  await go("#/topics/hostile");
  await page.locator("tbody tr").nth(site.hostile - 1).waitFor();
  const rows = await page.locator("tbody tr").count();
  for (let row = 0; row < rows; row += 1) {
    const line = page.locator("tbody tr").nth(row);
    const offset = (await line.getAttribute("id")).split("-").at(-1);
    await line.click();
    await page.getByRole("heading", { name: `Partition 0, offset ${offset}`, exact: true }).waitFor();
    for (const form of ["Text", "Hex"]) {
      const buttons = page.getByRole("complementary").getByRole("button", { name: form, exact: true });
      for (let one = 0; one < await buttons.count(); one += 1) await buttons.nth(one).click();
    }
  }
  const made = await page.evaluate(() => document.querySelectorAll("main img, main script, main iframe, main object, main style, main base, main form").length);
  if (made > 0) throw new Error(`${made} elements were made of records`);
  if (await page.evaluate(() => window.harmed)) throw new Error("a record's script has run");
  const text = await page.locator("main").innerText();
  if (/[\u202a-\u202e\u2066-\u2069]/.test(text)) throw new Error("a mark that turns the text round was shown as such");
});
await picture(page, "hostile");
await quiet(page, complaints, "records that mean harm");

await step("what is not there says so, and what to do", async () => {
  await go("#/topics/empty");
  await page.getByText("No records yet").waitFor();
  await usable(page, "an empty topic");
});

await step("the keyboard is explained", async () => {
  await go("#/");
  await page.getByText("Acknowledged means on the disk").waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("go to the filter").waitFor();
  await page.keyboard.press("Escape");
});

await step("times are shown in the zone that is chosen", async () => {
  await go("#/topics/demo");
  const cell = page.locator("tbody td").first();
  const before = await cell.innerText();
  await page.locator("#zone").click();
  await page.locator("tbody td", { hasText: "Z" }).first().waitFor();
  if (before === await cell.innerText()) throw new Error(before);
  await page.locator("#zone").click();
});
await page.context().close();

const dark = await open(browser, { scheme: "dark" });
await step("the dark", async () => {
  await dark.go("#/");
  await dark.page.waitForFunction(() => document.querySelectorAll(".tile svg.spark path").length >= 8);
});
await usable(dark.page, "overview in the dark");
await picture(dark.page, "console-overview-dark");
await step("a job in the dark", async () => {
  await dark.go("#/jobs");
  await dark.page.locator("tbody tr a").first().click();
  await dark.page.locator(".graph .edge.busy").first().waitFor();
});
await usable(dark.page, "job in the dark");
await dark.page.setViewportSize({ width: 1200, height: 740 });
await picture(dark.page, "console-job-dark");
await dark.page.setViewportSize({ width: 1280, height: 800 });
await step("a record in the dark", async () => {
  await dark.go(`#/topics/flight-events/records/0/${site.offset}?text=${site.event}`);
  await dark.page.getByText(/All were looked at/).waitFor();
  await dark.page.getByRole("complementary").getByText(`"${site.event}"`).waitFor();
});
await usable(dark.page, "record in the dark");
await picture(dark.page, "console-record-dark");
await step("SQL in the dark", async () => {
  await dark.go(`#/sql?text=${encodeURIComponent(QUERY)}`);
  // Who made a link does not ask with somebody else's rights.
  await dark.page.getByText("A link has brought this statement").waitFor();
  if (await dark.page.getByRole("table").count() > 0) throw new Error("the link was asked at once");
  await dark.page.getByRole("button", { name: "Ask" }).click();
  await dark.page.getByRole("table", { name: "Answer" }).locator("tbody tr").nth(2).waitFor();
});
await usable(dark.page, "SQL in the dark");
await picture(dark.page, "console-sql-dark", 620);
for (const [hash, name] of [["#/views", "views"], ["#/letters/unreadable-events", "letters"], [`#/way/flight-events/0/${site.late.offset}`, "where a record went"]]) {
  await step(`${name} in the dark`, async () => { await dark.go(hash); await dark.page.locator("main table").first().waitFor(); });
  await usable(dark.page, `${name} in the dark`);
  await picture(dark.page, `dark-${name.split(" ").at(-1)}`);
}
await quiet(dark.page, dark.complaints, "the dark");
await dark.context.close();

const phone = await open(browser, { width: 390, height: 800 });
for (const [hash, name] of [["#/", "overview"], ["#/topics", "topics"], ["#/topics/flight-events", "records"], ["#/jobs", "jobs"], ["#/groups/billing", "group"], ["#/views", "views"], ["#/views/departures", "view"], ["#/sql", "sql"], ["#/letters/unreadable-events", "letters"], [`#/way/flight-events/0/${site.late.offset}`, "way"]]) {
  await step(`${name} fits a phone`, async () => {
    await phone.go(hash);
    await phone.page.locator("h1").waitFor();
    await phone.page.locator(".card, .tiles").first().waitFor();
    const wide = await phone.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) throw new Error(`it is ${wide} pixels too wide: ${await phone.page.evaluate(() => [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroll, .tabs, .side, .graph")).map((one) => `${one.tagName}.${one.className}`).join(" "))}`);
  });
  if (["overview", "records", "group", "view", "sql", "way"].includes(name)) await picture(phone.page, `phone-${name}`);
}
await usable(phone.page, "a phone");
await quiet(phone.page, phone.complaints, "a phone");
await browser.close();
end();

// The newcomer's tour over the flights example: look at the node, find a record, read it, write one, set a group back, send
// a dead letter back; then records that mean harm, a phone, and the dark.

import { check, end, launch, open, picture, quiet, site, told, usable } from "./browser.mjs";

const browser = await launch();
const { page, complaints, go } = await open(browser);
const link = (name) => page.getByRole("link", { name, exact: true });
const button = (name) => page.getByRole("button", { name });
const heading = (name) => page.getByRole("heading", { level: 1, name }).waitFor();
const toast = (words) => page.locator(".toast", { hasText: words }).waitFor();

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
await step("a search can be stopped, and what is no condition says so", async () => {
  await page.getByRole("textbox", { name: "Condition" }).fill("dep_delay");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("begins with a path").waitFor();
  await page.getByRole("textbox", { name: "Condition" }).fill("");
});
// The refusal of a condition is a 400, which the browser itself notes.
complaints.splice(0, complaints.length, ...complaints.filter((words) => !words.includes("400 (Bad Request)")));

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
await quiet(dark.page, dark.complaints, "the dark");
await dark.context.close();

const phone = await open(browser, { width: 390, height: 800 });
for (const [hash, name] of [["#/", "overview"], ["#/topics", "topics"], ["#/topics/flight-events", "records"], ["#/jobs", "jobs"], ["#/groups/billing", "group"]]) {
  await step(`${name} fits a phone`, async () => {
    await phone.go(hash);
    await phone.page.locator("h1").waitFor();
    await phone.page.locator(".card, .tiles").first().waitFor();
    const wide = await phone.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) throw new Error(`it is ${wide} pixels too wide: ${await phone.page.evaluate(() => [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroll, .tabs, .side, .graph")).map((one) => `${one.tagName}.${one.className}`).join(" "))}`);
  });
  if (["overview", "records", "group"].includes(name)) await picture(phone.page, `phone-${name}`);
}
await usable(phone.page, "a phone");
await quiet(phone.page, phone.complaints, "a phone");
await browser.close();
end();

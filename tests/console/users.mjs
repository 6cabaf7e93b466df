// A node with users and ten thousand topics: log-in, what a reader may not do, what other pages may not, and how long lists take.

import { check, end, launch, open, picture, quiet, site, told, usable } from "./browser.mjs";

const browser = await launch();
const { page, complaints, go, context } = await open(browser);
const root = `http://${site.http}`;

async function step(name, what) {
  try { await what(); told(name); } catch (error) { told(name, error); await page.screenshot({ path: `${process.env.OTHER_PICTURES}/failed.png` }).catch(() => {}); }
}

async function logIn(user, password) {
  await page.getByLabel("User").fill(user);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
}

await step("nobody sees anything without a log-in", async () => {
  await go("");
  await page.getByRole("heading", { name: "Log in to Eventwright" }).waitFor();
  await usable(page, "log-in");
  await picture(page, "console-login", 640);
  await logIn("admin", "wrong");
  await page.getByText("the user or the password is wrong").waitFor();
});
complaints.length = 0;
await step("an admin comes in, and stays over a reload", async () => {
  await logIn("admin", site.password);
  await page.getByText("Acknowledged means on the disk").waitFor();
  await page.reload();
  await page.getByText("Acknowledged means on the disk").waitFor();
});
await step("the session is in a cookie that no script reads and no other site sends", async () => {
  const [cookie] = await context.cookies(`${root}/console/`);
  if (!cookie.httpOnly || cookie.sameSite !== "Strict" || cookie.path !== "/console") throw new Error(JSON.stringify(cookie));
  if (await page.evaluate(() => document.cookie)) throw new Error("a script reads it");
});
await step("ten thousand topics: shown at once, scrolled to the end, filtered", async () => {
  const begun = Date.now();
  await go("#/topics");
  await page.getByText("10,000 topics").waitFor();
  await page.getByRole("row", { name: /topic-00000/ }).waitFor();
  const shown = Date.now() - begun;
  const rows = await page.locator(".list .row").count();
  await page.locator(".list").evaluate((list) => { list.scrollTop = list.scrollHeight; });
  await page.getByRole("row", { name: /topic-09999/ }).waitFor();
  const scrolled = Date.now() - begun - shown;
  await page.keyboard.press("/");
  await page.keyboard.type("01234");
  await page.getByText("1 of 10,000").waitFor();
  const filtered = Date.now() - begun - shown - scrolled;
  console.log(`note ten thousand topics: shown in ${shown} ms, the end in ${scrolled} ms, filtered in ${filtered} ms, ${rows} rows in the page`);
  if (rows > 80) throw new Error(`${rows} rows were made`);
});
await step("a name among ten thousand is completed", async () => {
  await go("#/sql");
  const editor = page.getByRole("textbox", { name: "Statements" });
  await editor.fill("");
  await editor.pressSequentially("SELECT count(*) FROM topic-0777");
  await page.keyboard.press("Tab");
  await page.getByRole("option", { name: /topic-07770/ }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  if (await editor.inputValue() !== 'SELECT count(*) FROM "topic-07771"') throw new Error(await editor.inputValue());
  await page.keyboard.press("Control+Enter");
  await page.getByText("1 row", { exact: true }).waitFor();
});
await quiet(page, complaints, "an admin");

await step("what another page sends is refused", async () => {
  const cookie = (await context.cookies(`${root}/console/`)).map((one) => `${one.name}=${one.value}`).join("; ");
  const body = JSON.stringify({ name: "forged" });
  const post = async (headers) => (await fetch(`${root}/console/api/topics`, { method: "POST", headers: { cookie, ...headers }, body })).status;
  const json = { "content-type": "application/json" };
  const own = { "x-eventwright-console": "1" };
  const statuses = [await post(json), await post({ "content-type": "text/plain", ...own }), await post({ ...json, ...own, origin: "http://evil.example" }), await post({ ...json, ...own, "sec-fetch-site": "cross-site" }), await post({ ...json, ...own })];
  check("forged requests", JSON.stringify(statuses) === "[403,403,403,403,200]", JSON.stringify(statuses));
});

await step("a WebSocket has the session below the console's path, and nowhere else", async () => {
  const closed = await page.evaluate(() => {
    const code = (path) => new Promise((resolve) => {
      const socket = new WebSocket(`ws://${location.host}${path}`);
      socket.onmessage = () => socket.close(1000);
      socket.onclose = (event) => resolve(event.code);
    });
    return Promise.all([code("/console/api/topics/topic-00007/tail"), code("/topics/topic-00007")]);
  });
  // 1006: it was not let in.
  if (JSON.stringify(closed) !== "[1000,1006]") throw new Error(JSON.stringify(closed));
});

await step("log-out ends the session", async () => {
  const before = (await context.cookies(`${root}/console/`)).map((one) => `${one.name}=${one.value}`).join("; ");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in to Eventwright" }).waitFor();
  const { status } = await fetch(`${root}/console/api/session`, { headers: { cookie: before } });
  if (status !== 401) throw new Error(`status ${status}`);
});
complaints.length = 0;
await step("a reader sees the topic that they may read, and cannot press what would be refused", async () => {
  await logIn("reader", site.password);
  await page.getByRole("heading", { level: 1 }).waitFor();
  await go("#/topics");
  await page.getByText("1 topic", { exact: true }).waitFor();
  const create = page.getByRole("button", { name: "Create topic" });
  check("the button to create topics is off, and says why", await create.isDisabled() && (await create.getAttribute("title")).includes("Create on the cluster"));
  await page.getByRole("row", { name: /topic-00007/ }).click();
  const produce = page.locator(".bar").getByRole("button", { name: "Produce…" });
  await produce.waitFor();
  check("the button to produce is off", await produce.isDisabled());
  check("there is no way to the jobs", await page.getByRole("link", { name: "Jobs" }).count() === 0);
  await usable(page, "a reader");
});
await step("a reader asks the topic that they may read, and others are not there", async () => {
  await go("#/sql");
  await page.getByRole("button", { name: "topic-00007" }).waitFor();
  if (await page.locator(".chips button").count() !== 1) throw new Error("others are offered");
  const editor = page.getByRole("textbox", { name: "Statements" });
  // What somebody else has asked with this browser is theirs.
  if (await editor.inputValue() !== "") throw new Error(await editor.inputValue());
  await editor.fill('SELECT * FROM "topic-00008"');
  await editor.press("Control+Enter");
  await page.getByRole("alert").getByText('relation "topic-00008" does not exist').waitFor();
  await go("#/views");
  await page.getByText("No views yet").waitFor();
});
await quiet(page, complaints, "a reader");
await browser.close();
end();

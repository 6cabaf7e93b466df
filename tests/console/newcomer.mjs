// Who has run the README's first command and opens the console for the first time: what ran, a record, and what came of it.

import { end, launch, open, picture, quiet, site, told, usable } from "./browser.mjs";

const browser = await launch();
const { page, complaints, go } = await open(browser);

async function step(name, what) {
  try { await what(); told(name); } catch (error) { told(name, error); await page.screenshot({ path: `${process.env.OTHER_PICTURES}/failed-newcomer.png` }).catch(() => {}); }
}

await step("the example's jobs and topics are on the first page", async () => {
  await go("#/");
  await page.getByText("Acknowledged means on the disk").waitFor();
  await page.getByRole("table", { name: "Jobs" }).getByText("Finished").nth(1).waitFor();
  await page.getByRole("link", { name: "flight-events" }).waitFor();
});
await picture(page, "newcomer-overview");
await step("a flight is found by its id", async () => {
  await page.getByRole("link", { name: "flight-events" }).click();
  await page.getByRole("searchbox", { name: "Text" }).fill(site.event);
  await page.keyboard.press("Enter");
  await page.getByText(/All were looked at/).waitFor();
  await page.locator("tbody tr").first().click();
  await page.getByRole("complementary").getByText(`"${site.event}"`).waitFor();
});
await step("where it went: a job has read it, and an alert came of it", async () => {
  await page.getByRole("link", { name: "Where did it go?" }).click();
  await page.getByRole("heading", { level: 1, name: "Where did it go?" }).waitFor();
  await page.getByRole("table", { name: "Jobs" }).getByText("it has read what there was, and ended").waitFor();
  await page.getByRole("table", { name: "Found in flight-alerts" }).getByText(site.event).waitFor();
  await page.getByText(/nothing; all of its records were looked at/).first().waitFor();
});
await usable(page, "where a record of the example went");
await picture(page, "newcomer-way");
await step("the alert is a link away", async () => {
  await page.getByRole("table", { name: "Found in flight-alerts" }).getByRole("link").first().click();
  await page.getByRole("complementary").getByText('"severity"').waitFor();
});
await step("the example is asked in SQL", async () => {
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("q");
  await page.getByRole("button", { name: "flight-alerts" }).click();
  await page.getByRole("table", { name: "Answer" }).locator("tbody tr").nth(20).waitFor();
  await page.locator(".told").getByText("100 rows", { exact: true }).waitFor();
});
await usable(page, "SQL over the example");
await quiet(page, complaints, "a newcomer");
await browser.close();
end();

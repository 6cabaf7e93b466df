// A real browser, and what it must not do: break the page's rules, fail in the page's code, or show what a reader cannot use.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(`${process.env.BROWSER_TOOLS}/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const site = JSON.parse(process.env.SITE);
export const limit = 60_000;

let failed = 0;
/** One line for whoever counts. */
export function told(name, wrong) {
  if (wrong) failed += 1;
  console.log(wrong ? `not ok ${name}: ${String(wrong).replace(/\s+/g, " ")}` : `ok ${name}`);
}

export function check(name, is, but = "it is not so") { told(name, is ? undefined : but); }

export async function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS, timeout: 120_000 });
}

/** A page whose complaints are kept: `complaints` is what a browser's console would show. */
export async function open(browser, { width = 1280, height = 800, scheme = "light", address = site.http } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, timezoneId: "America/New_York", locale: "en-US", reducedMotion: "reduce" });
  context.setDefaultTimeout(limit);
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => { if (message.type() === "error" || message.type() === "warning") complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => { if (!request.url().startsWith(`http://${address}/console/`) && !request.url().startsWith("data:")) complaints.push(`it asks for ${request.url()}`); });
  page.on("dialog", (dialog) => { complaints.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  if (process.env.PAGES) await fromDisk(page, address);
  return { page, complaints, context, go: (hash) => page.goto(`http://${address}/console/${hash}`) };
}

/** While the page is being written: its files from the folder, under the headers of the node. */
async function fromDisk(page, address) {
  await page.route(`http://${address}/console/**`, async (route) => {
    const path = new URL(route.request().url()).pathname.slice("/console/".length);
    if (path.startsWith("api/")) { await route.continue(); return; }
    const response = await route.fetch({ maxRedirects: 0 });
    await route.fulfill({ response, status: 200, headers: { ...response.headers(), etag: "" }, body: readFileSync(`${process.env.PAGES}/${path || "index.html"}`) });
  });
}

/** What axe finds that keeps people from using the page. */
export async function usable(page, name) {
  await page.evaluate(`${axe}; undefined`).catch(() => {});
  let results;
  try {
    results = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  } catch (error) { told(`usable: ${name}`, error); return; }
  const serious = results.violations.filter((one) => one.impact === "serious" || one.impact === "critical");
  told(`usable: ${name}`, serious.length > 0 ? serious.map((one) => `${one.id} (${one.nodes.length}): ${one.nodes[0].html.slice(0, 160)} ${one.nodes[0].any[0]?.message ?? ""}`).join("; ") : undefined);
}

/** The upper part of what is seen, of a picture that would be mostly empty. */
export async function picture(page, name, height = page.viewportSize().height) {
  await page.mouse.move(0, 0);
  await page.locator(".toast").first().waitFor({ state: "detached" });
  await page.screenshot({ path: `${name.startsWith("console-") ? process.env.PICTURES : process.env.OTHER_PICTURES}/${name}.png`, clip: { x: 0, y: 0, width: page.viewportSize().width, height } });
}

export async function quiet(page, complaints, name) {
  const violations = await page.evaluate(() => window.violations);
  told(`quiet: ${name}`, [...complaints, ...violations].join("; ") || undefined);
}

export function end() { process.exitCode = failed > 0 ? 1 : 0; }

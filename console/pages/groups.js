// Consumer groups and share groups: how far they are, who is in them, and where they go on.

import * as api from "../api.js";
import { add, h, put } from "../dom.js";
import * as format from "../format.js";
import { button, card, choice, command, dialog, empty, failure, field, filter, head, meter, state, table, tag, tile, toast } from "../parts.js";

const EVERY_MS = 3000;

export async function groups(page) {
  let text = page.query.get("filter") ?? "";
  const box = h("div", { class: "card" });
  const count = h("span", { class: "soft" });
  const draw = async () => {
    const got = await page.get(`groups${api.query({ filter: text })}`);
    count.textContent = text ? `${got.found} of ${got.all}` : got.all === 1 ? "1 group" : `${got.all} groups`;
    if (got.all === 0) put(box, empty("No groups yet", "A group begins when a consumer joins it or commits an offset.", command("kcat -b localhost:9092 -G my-group my-topic")));
    else if (got.found === 0) put(box, empty("No group has this in its name", `None of ${got.all}.`));
    else put(box, table("Groups", [["Group", (group) => h("a", { href: `#/groups/${api.part(group.name)}` }, group.name), "grow"], ["Type", (group) => (group.type === "share" ? tag("share") : h("span", { class: "soft" }, group.type))], ["State", (group) => state(group.state)],
      ["Lag", (group) => format.number(group.lag), "n"], ["In time", (group) => (group.behind_ms > 0 ? format.duration(group.behind_ms) : h("span", { class: "soft" }, "–")), "n"],
      ["Topics", (group) => h("span", { class: "soft", title: group.topics.join(", ") }, group.topics.slice(0, 3).join(", "), group.topics.length > 3 ? ` +${group.topics.length - 3}` : ""), "grow"]], got.groups, { href: (group) => `#/groups/${api.part(group.name)}` }));
    if (got.found > got.groups.length) box.append(h("div", { class: "foot-bar" }, `The first ${format.number(got.groups.length)} are shown: filter for others.`));
  };
  put(page.root, head("Groups", { after: count, tools: [filter("Filter groups by name", text, (value) => { text = value.trim(); page.note({ filter: text }); draw().catch((error) => page.failed(error)); })] }), box);
  await page.poll(EVERY_MS, draw);
}

function reset(group, done) {
  const topics = [...new Set(group.lags.map((lag) => lag.topic))];
  dialog(`Reset offsets of ${group.name}`, (body, ends, close) => {
    const free = h("input", { spellcheck: "false", value: topics[0] ?? "", placeholder: "topic" });
    const topic = topics.length > 0 ? choice("Topic", topics.map((name) => [name, name]), topics[0]) : free;
    const where = h("input", { spellcheck: "false", autocomplete: "off" });
    const whereField = field("Offset", where);
    whereField.hidden = true;
    const shown = h("div", { "aria-live": "polite" });
    const to = choice("To", [["earliest", "the first record"], ["latest", "the end"], ["offset", "an offset"], ["time", "a time"]], "earliest", (value) => {
      whereField.hidden = value !== "offset" && value !== "time";
      whereField.firstChild.textContent = value === "time" ? `Time (${format.zone()})` : "Offset";
      where.placeholder = value === "time" ? "2013-01-31 12:00" : "0";
      forget();
    });
    const confirm = button("Commit", () => act(true), { kind: "main", why: "Look at the preview first" });
    const forget = () => { confirm.disabled = true; confirm.title = "Look at the preview first"; put(shown); };
    where.addEventListener("input", forget);
    topic.addEventListener("change", forget);
    const act = async (confirms) => {
      try {
        const asked = { topic: topic.value, to: to.value, confirm: confirms };
        if (to.value === "offset") asked.offset = Number(where.value);
        if (to.value === "time") {
          asked.time = format.parseTime(where.value);
          if (asked.time === undefined) throw new Error(`“${where.value}” is no time: write 2013-01-31 12:00`);
        }
        const answer = await api.send("POST", `groups/${api.part(group.name)}/reset`, asked);
        if (answer.done) { toast(`${group.name} goes on at the new offsets`); close(); done(); return; }
        const moved = answer.changes.filter((change) => change.before !== change.after);
        put(shown, table("What changes", [["Partition", (change) => change.partition, "n"], ["Committed now", (change) => (change.before === null ? "none" : format.number(change.before)), "n"], ["Then", (change) => format.number(change.after), "n"],
          ["", (change) => { const by = change.after - (change.before ?? 0); return change.before === null ? h("span", { class: "soft" }, "begins there") : by === 0 ? h("span", { class: "soft" }, "stays") : by < 0 ? `${format.number(-by)} again` : `${format.number(by)} skipped`; }, "n"]], answer.changes));
        confirm.disabled = answer.members > 0 || moved.length === 0;
        confirm.title = answer.members > 0 ? `The group has ${answer.members} members: stop its consumers first` : moved.length === 0 ? "Nothing would change" : "";
        if (confirm.title) add(shown, [h("p", { class: "warn" }, confirm.title)]);
      } catch (error) { put(shown, failure(error)); }
    };
    body.append(h("p", { class: "soft" }, "The preview changes nothing. Committing needs a group without members."), h("div", { class: "fields" }, field("Topic", topic), field("To", to), whereField), shown);
    ends.append(button("Cancel", close), button("Preview", () => act(false)), confirm);
  });
}

function lagTable(group) {
  const most = Math.max(1, ...group.lags.map((lag) => lag.lag));
  return table("Lag by partition", [["Topic", (lag) => h("a", { href: `#/topics/${api.part(lag.topic)}` }, lag.topic), "nowrap"], ["Partition", (lag) => lag.partition, "n"], ["Committed", (lag) => format.number(lag.committed), "n"], ["End", (lag) => format.number(lag.end), "n"],
    ["Lag", (lag) => format.number(lag.lag), "n"], ["", (lag) => meter(lag.lag / most, "", `share of the lag, ${lag.topic} ${lag.partition}`), "grow"], ["In time", (lag) => (lag.behind_ms > 0 ? format.duration(lag.behind_ms) : h("span", { class: "soft" }, "–")), "n"]], group.lags);
}

function shareTable(group) {
  return table("Share partitions", [["Topic", (share) => h("a", { href: `#/topics/${api.part(share.topic)}` }, share.topic), "grow"], ["Partition", (share) => share.partition, "n"], ["Done up to", (share) => format.number(share.start), "n"], ["Delivered up to", (share) => format.number(share.end), "n"],
    ["Acquired", (share) => format.number(share.locked), "n"], ["Held back", (share) => format.number(share.held_back), "n"], ["Letters to write", (share) => format.number(share.dead), "n"], ["Lag", (share) => format.number(share.lag), "n"]], group.shares);
}

export async function group(page) {
  const name = page.parts[1];
  const path = `groups/${api.part(name)}`;
  const top = h("div", {});
  const box = h("div", { class: "grid" });
  let first = true;
  const draw = async () => {
    const known = await page.get(path);
    const isShare = known.type === "share";
    if (first) {
      first = false;
      const why = isShare ? undefined : !known.may.reset ? "It needs Read on the group" : undefined;
      put(page.root, head(name, { crumb: ["Groups", "#/groups"], after: tag(isShare ? "share group" : `${known.type} group`), tools: isShare ? h("a", { class: "button", href: "#/letters" }, "Dead letters") : button("Reset offsets…", async () => {
        try { reset(await page.get(path), () => draw().catch((error) => page.failed(error))); } catch (error) { toast(error.message, "bad"); }
      }, { why }) }), top, box);
    }
    const lag = (isShare ? known.shares : known.lags).reduce((sum, one) => sum + one.lag, 0);
    const late = known.lags.reduce((most, one) => Math.max(most, one.behind_ms), 0);
    put(top, h("div", { class: "tiles" }, h("div", { class: "tile" }, h("span", { class: "name" }, "State"), h("span", { class: "value" }, state(known.state))), tile("Lag", format.number(lag)),
      isShare ? tile("Acquired now", format.number(known.shares.reduce((sum, one) => sum + one.locked, 0))) : tile("Lag in time", late > 0 ? format.duration(late) : "–"), tile("Members", format.number(known.members.length)), tile("Partitions", format.number((isShare ? known.shares : known.lags).length))));
    put(box, card(isShare ? "Partitions" : "Lag", (isShare ? known.shares : known.lags).length === 0 ? empty(isShare ? "Nothing delivered yet" : "No offsets committed yet", "They appear with the group's first commit.") : isShare ? shareTable(known) : lagTable(known)),
      card("Members", known.members.length === 0 ? h("div", { class: "empty" }, h("span", {}, "Nobody is connected."))
        : table("Members", [["Client", (member) => member.client], ["Address", (member) => member.host.replace(/^\//, "")], ["Member", (member) => h("code", {}, member.id), "grow"], ["Epoch", (member) => member.epoch ?? "–", "n"]], known.members)));
  };
  await page.poll(EVERY_MS, draw);
}

// The page: what the record says, and the result of the check. Every text of the record is set as text, never as markup.

const SHOWN = 500;

function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "class") node.className = value;
    else node.setAttribute(name, value);
  }
  for (const child of children) node.append(child instanceof Node ? child : document.createTextNode(visible(child)));
  return node;
}

// A text must not look like another one: signs without a shape and signs that turn the direction are shown as escapes.
const visible = (text) => String(text ?? "\u2013").replace(
  /[\p{Cf}\p{DI}\p{Zl}\p{Zp}\u2800\u{16fe4}\u{1d159}]|(?!\n)\p{Cc}|(?! )\p{Zs}/gu,
  (sign) => `\\u${sign.codePointAt(0).toString(16).padStart(4, "0")}`);

const time = (text) => (text ? make("time", { datetime: text }, text.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC")) : "\u2013");
const mono = (text) => make("code", {}, text);
const short = (digest) => (digest ? make("code", { title: digest }, digest.slice(0, 12)) : "\u2013");

function table(heads, rows) {
  const body = make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell)))));
  return make("div", { class: "wide" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", {}, head)))), body));
}

const section = (title, ...content) => make("section", {}, make("h3", {}, title), ...content);
const many = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
const shown = (value) => (isHidden(value) ? `hidden; its salted hash is ${value.$hidden}` : value);
const json = (value) => make("pre", {}, typeof shown(value) === "string" ? shown(value) : JSON.stringify(value, (_, inner) => shown(inner), 1));

function stepsOf(content) {
  if (!content) return [];
  const found = content.undo ? content.undo.steps : content.steps;
  return Array.isArray(found) ? found : [];
}

function sealView(seal) {
  const voices = new Map(seal.by_step.map((one) => [one.step, one]));
  const parts = [];
  if (seal.content === null) parts.push(make("p", { class: "note" }, `The content of this seal is missing: ${seal.missing}`));
  const rows = stepsOf(seal.shown || null).map((step) => {
    const voice = voices.get(step.id) || { approved_by: [], denied_by: [] };
    const preview = step.preview || {};
    return [
      mono(step.id), `${step.tool} by ${step.agent}`, step.risk, step.ceiling || step.prospect,
      json(step.args === undefined ? step.says : step.args), json(preview.effect === undefined ? "(not previewed)" : preview.effect),
      voice.approved_by.join(", ") || "\u2013", voice.denied_by.join(", ") || "\u2013",
    ];
  });
  if (rows.length) {
    parts.push(table(["step", "call", "risk", "may reach", "arguments", "effect that was shown", "approved by", "denied by"], rows));
  }
  const decisions = seal.decisions.map((one) => [
    one.by, one.decision, one.counted ? "counted" : "refused", one.steps.join(", ") || "\u2013", one.reason, time(one.stored_at),
    one.key === null ? "not signed" : make("span", { class: "key" }, `signature ${one.verified === "fits" ? "fits" : "was not checked here"}: ${one.key}`),
    `run ${one.run_id}, event ${one.event_id}`,
  ]);
  parts.push(decisions.length
    ? table(["who", "decision", "verdict", "steps", "reason", "stored by Temporal", "signature", "where"], decisions)
    : make("p", {}, "No decision arrived while this seal was in force."));
  const replaced = seal.replaced === null ? "" : `, replaced: ${seal.replaced}`;
  return make("div", { class: "seal" }, make("h4", {}, "Seal ", mono(seal.digest)), make("p", {}, "sealed ", time(seal.sealed_at), replaced), ...parts);
}

function planDetails(plan) {
  const line = plan.line.value;
  const ids = [["workflow", line.workflow_id], ["first run", line.first_run_id], ["last run", line.run_id],
    ["phase 21", line.phase21_plan_id], ["phase 22", line.phase22_validation_id], ["why", line.why]].filter(([, value]) => value);
  const calls = line.result.tool_results.map((one) => [
    mono(one.step), `${one.tool_name} by ${one.agent}`, one.status, String(one.calls), one.ceiling, String(one.votes ?? "\u2013"),
    String(one.denials ?? "\u2013"), one.error || "\u2013",
  ]);
  const events = line.events.filter((event) => event.kind === "call" || event.kind === "drift")
    .map((event) => [time(event.timestamp), mono(event.step), event.what, event.reason || "\u2013", short(event.seal), `run ${event.run_id}, event ${event.event_id}`]);
  const others = line.events.filter((event) => event.kind !== "call" && event.kind !== "drift").map((event) => [time(event.timestamp),
    event.kind, `${event.what}${event.answer ? `: ${event.answer}` : ""}`, event.step ? mono(event.step) : "\u2013", event.by, event.reason || "\u2013",
    event.signed ? make("span", { class: "key" }, [event.signed, ...(event.also || [])].map((one) => one.key).join(", ")) : "\u2013",
    `run ${event.run_id}, event ${event.event_id}`]);
  const undos = plan.rollbacks.map(({ value }) => [time(value.timestamp), mono(value.step), value.tool_name, value.event, value.reason || "\u2013", short(value.seal)]);
  const moves = plan.transitions.map(({ value }) => [time(value.timestamp), value.event, `${value.from_state} \u2192 ${value.to_state}`, value.by, value.reason, short(value.digest)]);
  const none = (text) => make("p", {}, text);
  return [
    make("p", { class: "goal" }, line.goal),
    make("dl", {}, ...ids.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, mono(value))])),
    section("Approvals", ...(plan.approvals.length ? plan.approvals.map(({ value }) => sealView(value)) : [none("This plan was never sealed, or its export had no approvals.")])),
    section("Calls", calls.length ? table(["step", "call", "status", "calls", "ceiling", "votes", "denials", "error"], calls) : none("No steps."),
      events.length ? table(["when", "step", "what", "reason", "seal", "where"], events) : none("No live call was made.")),
    section("Undos", undos.length ? table(["when", "step", "tool", "what", "reason", "seal"], undos) : none("Nothing was undone.")),
    section("Course", moves.length ? table(["when", "event", "from and to", "by", "reason", "seal"], moves) : none("No transitions.")),
    section("Decisions, refusals and conflicts", others.length ? table(["when", "kind", "what", "step", "by", "reason", "signed with", "where"], others) : none("None.")),
  ];
}

// "3 undos" would hide that one call was kept and that the undo of another failed.
function undosSaid(plan) {
  const ends = plan.rollbacks.map(({ value }) => value.event);
  const said = [["undone", "undone"], ["kept", "kept"], ["undo_failed", "not undone: its undo failed"]].map(([event, text]) => {
    const count = ends.filter((one) => one === event).length;
    return count ? `${many(count, "call")} ${text}` : "";
  }).filter((text) => text);
  return said.join(", ") || "nothing undone";
}

function planView(plan) {
  const line = plan.line.value;
  const head = make("summary", {}, make("strong", {}, line.plan_id), ` ${line.undo ? "(undo) " : ""}`,
    make("span", { class: "state" }, line.outcome || line.state), ` requested by ${line.requested_by || "\u2013"}, `, time(line.submitted_at),
    `, ${many(plan.approvals.length, "seal")}, ${undosSaid(plan)}`);
  const view = make("details", { class: "plan" }, head);
  view.addEventListener("toggle", () => { if (view.open && view.children.length === 1) view.append(...planDetails(plan)); });
  return view;
}

function showPlans(check) {
  const place = document.getElementById("plans");
  const wanted = document.getElementById("filter").value.trim().toLowerCase();
  const all = check.plans.filter((plan) => {
    const { plan_id: id, requested_by: by, outcome, state } = plan.line.value;
    return `${id} ${by} ${outcome || state}`.toLowerCase().includes(wanted);
  });
  const said = all.length > SHOWN ? `${SHOWN} of ${all.length} plans are shown: filter to see others.` : `${all.length} of ${check.plans.length} plans`;
  const warning = check.findings.length ? [make("p", { class: "note" }, "This record has faults: what follows may not be what was written.")] : [];
  place.replaceChildren(...warning, make("p", { id: "shown" }, said), ...all.slice(0, SHOWN).map(planView));
}

function showResult(check, what) {
  const expected = document.body.dataset.root;
  const good = check.findings.length === 0;
  const counts = check.counts;
  const place = document.getElementById("result");
  place.className = good ? "good" : "bad";
  const said = [make("h2", { id: "verdict" }, good ? "Nothing is wrong" : many(check.findings.length, "fault")), make("p", {}, `Checked: ${what}.`)];
  if (!good) {
    said.push(make("ul", { id: "findings" }, ...check.findings.slice(0, 50).map((one) =>
      make("li", {}, mono(one.line === null ? one.file : `${one.file}:${one.line}`), ` ${one.message}`))));
    if (check.findings.length > 50) said.push(make("p", {}, `50 of ${check.findings.length} faults are shown.`));
  }
  said.push(make("p", { id: "counts" }, `${counts.lines} lines and ${counts.entries} entries hashed, ${counts.recomputed} of ${counts.seals} digests of seals computed again, `
    + `${counts.signatures} signatures checked, ${counts.hidden} digests need openings, ${counts.missing} seals have no content.`));
  if (check.root !== null) {
    said.push(make("p", {}, "Root of these files: ", make("code", { id: "root" }, check.root)));
    if (expected && check.root !== expected) said.push(make("p", { class: "note" }, "This is not the root of the record that this page was written for."));
  }
  const summary = check.documents[FILES.summary] || {};
  const lacking = [...(summary.unreadable || []).map((one) => `${one.workflow_id} could not be read: ${one.why}`), ...(summary.left_out || []).map((name) => `${name} was left out`)];
  for (const note of [...new Set([...check.notes, ...lacking])]) said.push(make("p", { class: "note" }, note));
  place.replaceChildren(...said);
  document.getElementById("record").hidden = check.plans.length === 0;
  showPlans(check);
  document.getElementById("filter").oninput = () => showPlans(check);
  document.body.dataset.checked = good ? "good" : "bad";
}

let record = null;
let openings = new Openings();

async function checkFiles(files, what) {
  record = { files, what };
  document.body.dataset.checked = "";
  document.getElementById("result").replaceChildren(make("p", {}, "Checking ..."));
  await new Promise((resolve) => setTimeout(resolve));
  try {
    const opening = openings.values.size ? `, with ${many(openings.values.size, "opening")} of hidden values` : "";
    showResult(await new Check(files, openings).run(), what + opening);
  } catch (error) {
    document.getElementById("result").className = "bad";
    document.getElementById("result").replaceChildren(make("h2", { id: "verdict" }, "This could not be checked"), make("p", {}, error.message));
    document.body.dataset.checked = "bad";
  }
}

document.getElementById("files").addEventListener("change", async (event) => {
  const files = new Map();
  for (const file of event.target.files) files.set(file.name, new Uint8Array(await file.arrayBuffer()));
  event.target.value = "";  // or choosing the same files again, once they were changed, would do nothing
  await checkFiles(files, `${files.size} files that you chose`);
});

document.getElementById("openings").addEventListener("change", async (event) => {
  openings = new Openings();
  for (const file of event.target.files) openings.read(file.name, asciiText(new Uint8Array(await file.arrayBuffer())));
  event.target.value = "";
  if (record !== null) await checkFiles(record.files, record.what);
});

const embedded = JSON.parse(document.getElementById("embedded").textContent);
if (embedded !== null) {
  const files = new Map(Object.entries(embedded).map(([name, text]) => [name, fromBase64(text)]));
  checkFiles(files, "the copy of the record in this page");
}

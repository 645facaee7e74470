// The rules of the seals of one plan, as `airlock verify` has them: decisions, voices, signatures, and who may approve.

const RESERVED = ["airlock", "monitor", "policy", "temporal"];
const isMap = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// One form of all spellings of a name: capitals, full width, invisible characters, dashes and white space.
function folded(name) {
  let before = null;
  while (before !== name) {
    before = name;
    name = name.replace(/[\p{Cf}\p{DI}\u2800\u{16fe4}\u{1d159}]|(?!\s)\p{Cc}/gu, "").normalize("NFKC");
    name = name.split("\u0131").map((part) => part.toUpperCase().toLowerCase().replace(/\u03c2/g, "\u03c3")).join("\u0131");
    name = name.normalize("NFKC").replace(/[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]/g, "-").replace(/[\u2018\u2019\u02bc\uff07]/g, "'");
    name = name.split(/\s+/).filter((word) => word).join(" ");
  }
  return name;
}
const samePerson = (one, other) => one === other || folded(one) === folded(other);

function stepsIn(content) {
  const found = isMap(content) ? (isMap(content.undo) ? content.undo.steps : content.steps) : [];
  return (Array.isArray(found) ? found : []).filter((step) => isMap(step) && typeof step.id === "string");
}

function openSteps(content) {
  if (content === null) return [];
  if (content.undo !== undefined && content.undo !== null) return Array.isArray(content.order) ? content.order.map(String) : [];
  return stepsIn(content).filter((step) => step.ceiling === "LIVE" && !step.already_live).map((step) => step.id);
}

function decidedSteps(content, message, decision) {
  if (isMap(message) && Array.isArray(message.steps)) return [...new Set(message.steps.map(String))];
  const by = decision === "approve" && isMap(message) && typeof message.by === "string" ? message.by : null;
  // nobody approves a step that they have proposed themselves, by an amendment
  const isOwn = (step) => by !== null && Array.isArray(step.proposed_by) && step.proposed_by.some((name) => samePerson(by, String(name)));
  const own = new Set(stepsIn(content).filter(isOwn).map((step) => step.id));
  return openSteps(content).filter((step) => !own.has(step));
}

function voices(content, decisions) {
  const counted = decisions.filter((one) => one.counted);
  const by = (kind, step) => counted.filter((one) => one.decision === kind && one.steps.includes(step)).map((one) => one.by);
  const steps = new Set([...openSteps(content), ...counted.flatMap((one) => one.steps)]);
  return [...steps].map((step) => ({ approved_by: by("approve", step), denied_by: by("deny", step), step }));
}

const keysOf = (policy) => (isMap(policy) && Array.isArray(policy.authorized_keys) ? policy.authorized_keys.filter((key) => typeof key === "string") : []);

// True if a value is hidden where an export hides none: only arguments, previews and sentences about undos may be.
function hiddenElsewhere(value, path = []) {
  if (value === null || typeof value !== "object") return false;
  if (isMap(value) && Object.keys(value).length === 1 && typeof value.$hidden === "string") {
    const [steps, number, name, ...rest] = path[0] === "undo" ? path.slice(1) : path;
    if (steps !== "steps" || number === undefined) return true;
    if (path[0] === "undo") return name !== "says";
    if (name === "preview") return rest.length === 0 || ["kind", "step", "looked", "derived"].includes(rest[0]);
    return !["args", "undo", "dedupe_key"].includes(name);
  }
  return Object.entries(value).some(([name, inner]) => hiddenElsewhere(inner, [...path, name]));
}
function hiddenIn(value) {
  if (value === null || typeof value !== "object") return false;
  if (isMap(value) && Object.keys(value).length === 1 && typeof value.$hidden === "string") return true;
  return Object.values(value).some(hiddenIn);
}

// The plan's own decisions about a seal, by the digests that its entries name.
function entriesAbout(chain) {
  const about = new Map();
  let force = null;
  for (const { value } of chain) {
    if (!("tool_name" in value)) force = value.digest || force;
    if (["decision", "refused"].includes(value.kind) && ["approve", "deny"].includes(value.what) && force !== null) about.set(value.seq, force);
  }
  return about;
}

function identityFault(seal) {
  const content = seal.content;
  const undo = seal.workflow_id.startsWith("undo-");
  if (content.plan_id !== seal.plan_id || ((content.undo ?? null) !== null) !== undo) return `content: is about another plan than '${seal.workflow_id}'`;
  for (const name of ["phase21_plan_id", "phase22_validation_id"]) {
    if (!undo && (content[name] ?? null) !== (seal[name] ?? null)) return `${name}: is not the one that was sealed`;
  }
  const used = stepsIn(content).map((step) => String(step.contract_hash));
  const unused = Object.keys(seal.contracts).filter((name) => !used.includes(name)).sort();
  return unused.length ? `contracts: no step has the contract ${unused[0].slice(0, 12)}` : "";
}

function lacking(seal) {
  const notes = [];
  if (seal.content === null) return notes;
  const place = `${seal.workflow_id}: seal ${seal.digest.slice(0, 12)}`;
  const lost = stepsIn(seal.content).map((step) => step.contract_hash).filter((name) => typeof name === "string" && !(name in seal.contracts)).sort();
  if (seal.policy === null) notes.push(`${place}: the policy is not in the record: its run did not tell it any more`);
  if (lost.length) notes.push(`${place}: the contract ${lost[0].slice(0, 12)} is not in the record: its run did not tell it any more`);
  return notes;
}

// What `airlock verify` checks and this page does not.
function leftToVerify(seal) {
  const notes = [], place = `${seal.workflow_id}: seal ${seal.digest.slice(0, 12)}`;
  if (seal.decisions.some((one) => isMap(one.message) && (one.message.evidence ?? null) !== null)) {
    notes.push(`${place}: signatures of SSH keys and passkeys are checked by \`airlock verify\`, not by this page`);
  }
  if (isAmended(seal)) notes.push(`${place}: which approvals of earlier seals count for it is checked by \`airlock verify\`, not by this page`);
  return notes;
}

const isAmended = (seal) => seal.content !== null && (seal.content.amended ?? null) !== null;

function messageFault(seal, decision) {
  const message = decision.message;
  if (!isMap(message) || String(message.by ?? "").trim() !== decision.by) return `message: is not by '${decision.by}'`;
  const named = message.digest === undefined || message.digest === null ? null : String(message.digest).trim().toLowerCase();
  if (named === null ? decision.decision === "approve" : named.length < 12 || !seal.digest.startsWith(named)) {
    return "message.digest: names another seal";
  }
  const content = seal.content;
  if (content === null || decision.decision !== "approve") return "";
  if (samePerson(decision.by, String(content.requested_by))) return "by: the requester approved";
  if (Array.isArray(content.approvers) && !content.approvers.some((name) => samePerson(decision.by, String(name)))) {
    return "by: is not among the approvers that were sealed";
  }
  const rule = content.signature_required ?? "never";
  const high = stepsIn(content).some((step) => step.risk === "HIGH" && decision.steps.includes(step.id));
  if ((message.signature ?? null) !== null || (message.evidence ?? null) !== null) return "";
  if (rule === "always" || (rule === "high" && high)) return `message.signature: is missing, and signatures are required (${rule})`;
  const risks = new Set(stepsIn(content).filter((step) => decision.steps.includes(step.id)).map((step) => String(step.risk)));
  const rules = sealedRules(seal);
  if (rules !== null && demandsEvidence(rules, "approve", risks)) return "message.evidence: is missing, and the sealed policy demands it";
  return "";
}

// Ed25519 over the text that an approver signs: canonical JSON of approver, digest, plan and steps.
async function signatureVerdict(seal, decision, line) {
  if (!(globalThis.crypto && crypto.subtle)) return "unknown";
  const message = decision.message;
  if (!isMap(message) || typeof message.signature !== "string") return "wrong";
  const name = seal.workflow_id.startsWith("undo-") ? seal.workflow_id : seal.plan_id;
  const steps = message.steps === undefined || message.steps === null ? null : [...message.steps].sort(byCodePoint);
  const signed = escapedAscii(JSON.stringify({
    airlock: "approve/1", by: String(message.by).trim(), digest: seal.digest, plan_id: name, steps,
  }));
  try {
    const [kind, blob64, ...owner] = line.trim().split(/\s+/);
    if (kind !== "ssh-ed25519" || !samePerson(owner.join(" "), String(message.by).trim())) return "wrong";
    const blob = fromBase64(blob64);
    const key = await crypto.subtle.importKey("raw", blob.slice(blob.length - 32), { name: "Ed25519" }, false, ["verify"]);
    const good = await crypto.subtle.verify({ name: "Ed25519" }, key, fromBase64(message.signature), new TextEncoder().encode(signed));
    return good ? "fits" : "wrong";
  } catch (error) {
    return error instanceof DOMException && error.name === "NotSupportedError" ? "unknown" : "wrong";
  }
}

async function decisionFault(check, plan, seal, decision) {
  const entry = (plan.chain[decision.entry - 1] || {}).value || {};
  const told = [entry.run_id, entry.event_id, entry.what, entry.by, entry.reason, entry.timestamp];
  if (!same(told, [decision.run_id, decision.event_id, decision.decision, decision.by, decision.reason, decision.recorded_at])) {
    return `entry: is not what entry ${decision.entry} of the plan says`;
  }
  if ((entry.kind === "decision") !== decision.counted) return `counted: entry ${decision.entry} of the plan says otherwise`;
  if (!same(decision.steps, decision.counted ? decidedSteps(seal.content, decision.message, decision.decision) : [])) return "steps: are not those of the message";
  const person = !RESERVED.includes(decision.by);
  if (decision.message === null || !person) {
    if (decision.key !== null) return "key: there is no message that it signed";
    if (decision.stored_at !== null && !decision.left_out && person) return "message: is missing without a reason";
    if (decision.counted && person) {
      check.notes.push(`${seal.workflow_id}: the message of '${decision.by}' cannot be checked: ${decision.left_out || "Temporal has forgotten it"}`);
    }
    return "";
  }
  const wrong = decision.counted ? messageFault(seal, decision) : "";
  if (wrong) return wrong;
  const listed = keysOf(seal.policy);
  if (decision.key === null) {
    for (const line of listed) if (await signatureVerdict(seal, decision, line) === "fits") return "key: another one made this signature";
    const signed = decision.counted && isMap(decision.message) && (decision.message.signature ?? null) !== null;
    return signed ? `message.signature: no known key of '${decision.by}' made it` : "";
  }
  const verdict = await signatureVerdict(seal, decision, decision.key);
  decision.verified = verdict;
  if (verdict === "wrong") return "key: did not make this signature";
  if (verdict === "fits") check.counts.signatures++;
  else check.notes.push("this browser cannot check Ed25519 signatures: `airlock verify` can");
  if (!listed.includes(decision.key)) {
    check.notes.push(`${seal.workflow_id}: the key of '${decision.by}' is not in the sealed policy, and no other policy is in the record`);
  }
  return "";
}

// The first thing that a seal says wrongly, its chain and its digest aside.
async function sealFault(check, plan, seal, about) {
  const wrong = seal.content === null ? "" : identityFault(seal);
  if (wrong) return wrong;
  if (typeof seal.content_hash === "string" && seal.content !== null && hiddenElsewhere(seal.content)) return "content: hides a value that an export never hides";
  check.notes.push(...lacking(seal), ...leftToVerify(seal));
  const expected = [...about].filter(([, digest]) => digest === seal.digest).map(([number]) => number);
  const stated = seal.decisions.map((decision) => decision.entry);
  if (!same(expected, stated)) {
    return `decisions: are those of entries [${stated.join(", ")}], the plan's own entries about this seal are [${expected.join(", ")}]`;
  }
  for (const [at, decision] of seal.decisions.entries()) {
    const fault = await decisionFault(check, plan, seal, decision);
    if (fault) return `decisions[${at}].${fault}`;
  }
  const shown = seal.by_step.map((one) => ({ approved_by: one.approved_by, denied_by: one.denied_by, step: one.step }));
  return same(voices(seal.content, seal.decisions), shown) ? "" : "by_step: is not what the decisions come to";
}

// What the plan's own line, or its entries, say of seals and the seals do not.
function sealsContradicted(plan) {
  const seals = plan.approvals.map(({ value }) => value);
  for (const { value } of plan.chain) {
    for (const name of ["seal", "digest"]) {
      const named = value[name] ?? null;
      if (named !== null && !seals.some((seal) => seal.digest === named)) return `entry ${value.seq}: ${name} ${named.slice(0, 12)} is not in approvals.jsonl`;
    }
  }
  const cast = (step, kind) => seals.flatMap((seal) => seal.by_step).filter((one) => one.step === step).reduce((sum, one) => sum + one[kind].length, 0);
  for (const one of plan.line.value.result.tool_results) {
    const [votes, denials] = [cast(one.step, "approved_by"), cast(one.step, "denied_by")];
    if (one.votes !== votes || one.denials !== denials) return `step '${one.step}': ${votes} votes and ${denials} denials are in approvals.jsonl`;
  }
  for (const { value } of plan.transitions) {
    if (value.event !== "approved" || RESERVED.includes(value.by)) continue;
    const about = seals.filter((seal) => seal.digest === value.digest && !isAmended(seal));
    if (!about.length) continue;
    const people = new Set(about.flatMap((seal) => seal.decisions).filter((one) => one.counted && one.decision === "approve").map((one) => one.by));
    const needed = Math.max(0, ...about.map((seal) => (seal.content === null ? 0 : Number.isInteger(seal.content.approvals_required) ? seal.content.approvals_required : 1)));
    if (people.size < needed) return `entry ${value.seq}: the seal was approved by ${people.size}, and needs ${needed}`;
  }
  return "";
}

// What a plan's line says of its own entries and lines, and they contradict.
function lineContradicted(plan) {
  const line = plan.line.value, result = line.result;
  const called = result.tool_results.filter((one) => one.calls).map((one) => one.success ?? null);
  const conflicts = line.events.filter((event) => event.kind === "conflict");
  const is = (wanted) => called.filter((success) => success === wanted).length;
  const counted = [
    ["transitions", line.transitions, plan.transitions.length], ["rollback_events", line.rollback_events, plan.rollbacks.length],
    ["result.successful_executions", result.successful_executions, is(true)], ["result.failed_executions", result.failed_executions, is(false)],
    ["result.in_doubt_executions", result.in_doubt_executions, is(null)], ["result.conflicts_detected", result.conflicts_detected, conflicts.length],
    ["result.conflicts_resolved", result.conflicts_resolved, conflicts.filter((event) => (event.answer ?? null) !== null).length],
    ["result.rollbacks_executed", result.rollbacks_executed, plan.rollbacks.filter(({ value }) => value.event === "undone").length],
  ].find(([, stated, count]) => stated !== count);
  if (counted) return `${counted[0]} is ${counted[1]}, but ${counted[2]} are there`;
  const last = plan.transitions[plan.transitions.length - 1];
  if (last && last.value.to_state !== line.state) return `state is ${line.state}, its last transition led to ${last.value.to_state}`;
  const kinds = kindsOf(FILES.conflicts, "by_type"), answers = [null, ...kindsOf(FILES.conflicts, "by_resolution_strategy")];
  const unheard = conflicts.find((event) => !kinds.includes(event.what));
  if (unheard) return `entry ${unheard.seq}: no such conflict`;
  const unanswered = conflicts.find((event) => !answers.includes(event.answer ?? null));
  return unanswered ? `entry ${unanswered.seq}: no such answer` : "";
}

// The first line of a plan that names another plan, or other phase ids.
function foreignLine(plan) {
  const line = plan.line.value;
  const phases = (value) => [value.phase21_plan_id ?? null, value.phase22_validation_id ?? null];
  for (const [kind, lines] of [["transitions", plan.transitions], ["rollbacks", plan.rollbacks], ["approvals", plan.approvals]]) {
    for (const { number, value } of lines) {
      if (value.plan_id !== line.plan_id || value.workflow_id !== line.workflow_id) return [FILES[kind], number, `names another plan than '${line.plan_id}'`];
      if (!same(phases(value), phases(line))) return [FILES[kind], number, "names other phase ids than the plan's line"];
    }
  }
  const other = line.events.find((event) => !same(phases(event), phases(line)));
  return other ? [FILES.executions, plan.line.number, `entry ${other.seq} names other phase ids than the plan's line`] : null;
}

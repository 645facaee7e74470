// Who decided, as `airlock verify` checks it: roles, evidence and number of people, by the policy that was sealed.

const DECIDED = ["approve", "deny", "lock", "unlock", "rollback", "abort", "resolve", "amend"];
const MADE_BY = { denied: "deny", lock: "lock", unlock: "unlock", rollback: "rollback", abort: "abort", amended: "amend" };
const SECONDS = { s: 1, m: 60, h: 3600, d: 86400 };

// The people of a role, those of the roles in it included. A circle of roles ends where it began.
function peopleOf(roles, role, seen = new Set()) {
  if (seen.has(role)) return [];
  seen.add(role);
  const entries = Array.isArray(roles[role]) ? roles[role].map(String) : [];
  return entries.flatMap((entry) => (entry.startsWith("@") ? peopleOf(roles, entry.slice(1), seen) : [entry]));
}
const hasRole = (roles, role, person) => peopleOf(roles, role).some((name) => samePerson(name, person));

// Microseconds for which a decision waits for other people; null if the policy does not tell.
function waitOf(policy) {
  const parts = /^\s*(\d+(?:\.\d+)?)\s*([smhd])\s*$/.exec(policy.approval_valid_for ?? policy.approval_timeout ?? "");
  return parts ? BigInt(Math.round(Number(parts[1]) * SECONDS[parts[2]] * 1e6)) : null;
}

function sealedRules(seal) {
  if (!seal || !isMap(seal.policy) || seal.content === null) return null;
  const { policy } = seal;
  const risks = new Map(stepsIn(seal.content).map((step) => [step.id, String(step.risk)]));
  return { decisions: isMap(policy.decisions) ? policy.decisions : {}, roles: isMap(policy.roles) ? policy.roles : {}, wait: waitOf(policy), risks };
}

// The rules by which each entry was judged: an admission freezes a policy, and the next seal carries it.
function rulesInForce(plan) {
  const known = new Map(plan.approvals.map(({ value }) => [value.digest, value]));
  const admissions = [null], number = new Map(), undo = plan.line.value.undo;
  for (const { value } of plan.chain) {
    const moved = "to_state" in value;
    const asked = undo && isRequest(value) && admissions.length === 1;
    if (asked) admissions.push(null);
    number.set(value.seq, admissions.length - 1);
    const admits = undo ? admissions.length === 1 && moved && value.event === "rehearsed" : value.kind === "admission" && value.what === "admitted";
    if (admits) admissions.push(null);
    else if (moved && value.event === "previewed") {
      if (admissions.length === 1) admissions.push(null);
      admissions[admissions.length - 1] ??= known.get(value.digest) ?? null;
    }
  }
  const read = admissions.map(sealedRules);
  const first = read.find((rules) => rules !== null) ?? null;
  return (seq) => {
    const at = number.get(seq), rules = at ? read[at] : first;
    return rules === null ? null : { ...rules, certain: at > 0 };
  };
}

// The request for an undo of a plan that has ended: no seal of the undo was there yet.
const isRequest = (value) => value.kind === "decision" && value.what === "rollback" && (value.digest ?? null) === null;

function rulesFor(rules, name, risks) {
  const own = isMap(rules.decisions[name]) ? rules.decisions[name] : null;
  if (own === null) return [];
  const more = isMap(own.by_risk) ? Object.entries(own.by_risk).filter(([risk, each]) => risks.has(risk) && isMap(each)) : [];
  return [own, ...more.map(([, each]) => each)];
}
const demandsEvidence = (rules, name, risks = new Set(["LOW", "MEDIUM", "HIGH"])) => rulesFor(rules, name, risks).some((rule) => (rule.evidence ?? "none") !== "none");
const peopleNeeded = (rules, name, risks) => Math.max(1, ...rulesFor(rules, name, risks).map((rule) => rule.people ?? 1));

function risksAbout(event, rules, approved) {
  if (event.what === "approve") return new Set((approved.get(event.seq) ?? []).filter((step) => rules.risks.has(step)).map((step) => rules.risks.get(step)));
  if (event.what === "resolve") return new Set(rules.risks.has(event.step) ? [rules.risks.get(event.step)] : []);
  return new Set(rules.risks.values());
}

// What the policy has against a decision; true if no other policy can have allowed it.
function objections(plan, event, rules, risks, made) {
  const said = `${event.what} by '${event.by}'`, found = [], signed = event.signed ?? null;
  for (const rule of rulesFor(rules, event.what, risks)) {
    const roles = Array.isArray(rule.roles) ? rule.roles : [], demand = rule.evidence ?? "none";
    if (roles.length && !roles.some((role) => hasRole(rules.roles, role, event.by))) {
      found.push([`${said}, who has not the role ${roles.join(" or ")} that the sealed policy asks for`, true]);
    }
    if (demand === "none" || (signed === null && event.what === "approve")) continue;
    if (signed === null) found.push([`${said} is not signed, and the sealed policy demands it`, true]);
    else if (demand !== "signed" && demand !== signed.evidence.kind) {
      found.push([`${said} is signed with ${signed.evidence.kind}, and the sealed policy demands ${demand}`, false]);
    }
  }
  const own = isMap(rules.decisions[event.what]) ? rules.decisions[event.what] : {};
  const mayWithdraw = event.what === "abort" && (signed === null || signed.statement.withdrawn === true);
  const asks = plan.line.value.undo && isRequest(event);
  if (own.not_requester && !mayWithdraw && !asks && samePerson(event.by, plan.line.value.requested_by)) {
    found.push([`${said}, who requested this, and the sealed policy asks for another person`, true]);
  }
  for (const name of Array.isArray(own.not_after) ? own.not_after : []) {
    if (made.some((one) => one.what === name && !one.gate && samePerson(one.by, event.by))) found.push([`${said}, who has decided ${name}, and the sealed policy forbids it`, true]);
  }
  return found;
}

function tooFew(moved, name, same, rules, risks) {
  const needed = peopleNeeded(rules, name, risks);
  const timely = same.filter((one) => rules.wait === null || moment(moved.timestamp) < moment(one.timestamp) + rules.wait);
  const people = [...new Map(timely.map((one) => [folded(one.by), one.by]).reverse()).values()].reverse();
  return people.length < needed ? `entry ${moved.seq}: ${name} by ${people.join(" and ") || "no person"}, and the sealed policy asks for ${needed} people` : "";
}

function transitionFault(plan, moved, rules, stay, approved) {
  if (rules === null || !rules.certain || RESERVED.includes(moved.by)) return "";
  const settled = ["settled_live", "settled_undo"].includes(moved.event);
  const name = settled ? "resolve" : MADE_BY[moved.event];
  if (name === undefined || !(name in rules.decisions) || (plan.line.value.undo && moved.from_state === "LIVE")) return "";
  const said = stay.filter((event) => event.what === name), own = said.filter((event) => event.by === moved.by);
  if (!own.length) return settled ? "" : `entry ${moved.seq}: ${name} by '${moved.by}', who has decided nothing of the kind before it`;
  const last = own[own.length - 1];
  if (last.gate) return "";
  const same = said.filter((event) => !event.gate && event.step === last.step && (!settled || event.answer === last.answer));
  return tooFew(moved, name, same, rules, risksAbout(last, rules, approved));
}

// The first decision that counted although the sealed policy does not let that person make it, or asks for more people.
function undueDecision(check, plan) {
  const inForce = rulesInForce(plan), made = [];
  const approved = new Map(plan.approvals.flatMap(({ value }) => value.decisions.map((one) => [one.entry, one.steps])));
  let stay = [];
  for (const { value } of plan.chain) {
    const rules = inForce(value.seq);
    if ("to_state" in value) {
      const wrong = transitionFault(plan, value, rules, stay, approved);
      if (wrong) return wrong;
      stay = [];
    } else if (value.kind === "decision" && DECIDED.includes(value.what) && !RESERVED.includes(value.by)) {
      for (const [why, certain] of rules === null || value.gate ? [] : objections(plan, value, rules, risksAbout(value, rules, approved), made)) {
        if (certain && rules.certain) return `entry ${value.seq}: ${why}`;
        const policy = rules.certain ? "another policy" : "the policy before the first admission";
        check.notes.push(`${plan.line.value.workflow_id}: entry ${value.seq}: ${why}; ${policy}, which is not in the record, may have allowed it`);
      }
      const name = plan.line.value.workflow_id;
      if (value.gate && !value.signed && rules !== null && demandsEvidence(rules, value.what) && !/^(live gate|gate )/.test(value.by)) check.notes.push(`${name}: entry ${value.seq}: ${value.what} by '${value.by}' at a gate is not proved by this record`);
      if (value.signed) check.notes.push(`${name}: signatures of SSH keys and passkeys are checked by \`airlock verify\`, not by this page`);
      made.push(value);
      stay.push(value);
    }
  }
  const line = plan.line.value, first = plan.chain.map(({ value }) => inForce(value.seq)).find((rules) => rules !== null && rules.certain);
  if (line.undo && first && demandsEvidence(first, "rollback") && !made.some(isRequest)) {
    check.notes.push(`${line.workflow_id}: that '${line.requested_by}' asked for this undo is not proved by this record`);
  }
  return "";
}

// A step that was called although the policy, or a rule of it, asked for more approvals than it has. Of an amended seal
// `airlock verify` tells this.
function calledTooEarly(plan) {
  const seals = plan.approvals.map(({ value }) => value), last = new Map();
  for (const { value } of plan.transitions) {
    if (value.event !== "approved" || RESERVED.includes(value.by)) continue;
    const seal = seals.find((one) => one.digest === value.digest);
    for (const step of seal ? stepsIn(seal.content) : []) if (step.ceiling === "LIVE" && !step.already_live) last.set(step.id, [seal, step]);
  }
  const called = new Set(plan.line.value.result.tool_results.filter((one) => one.calls).map((one) => one.step));
  for (const [name, [seal, step]] of last) {
    if (!called.has(name) || isAmended(seal)) continue;
    const voices = (seal.by_step.find((one) => one.step === name) ?? { approved_by: [] }).approved_by;
    const needed = seal.content.approvals_required, rules = sealedRules(seal);
    if (!Number.isInteger(needed) || voices.length < needed || step.approval_waived) continue;
    const ofRisk = rules === null ? 0 : peopleNeeded(rules, "approve", new Set([String(step.risk)]));
    if (voices.length < ofRisk) return `step '${name}' was called with ${voices.length} of the ${ofRisk} approvals that its risk needs`;
    for (const rule of Array.isArray(step.rules) ? step.rules.filter(isMap) : []) {
      const asked = /^\s*ask\(\s*([0-9]{1,3})\s*(?:,\s*(["'])([^"']*)\2\s*)?\)\s*$/.exec(String(rule.then));
      if (!asked) continue;
      const given = voices.filter((by) => !asked[3] || (rules !== null && hasRole(rules.roles, asked[3], by)));
      if (given.length < Number(asked[1])) {
        return `step '${name}' was called with ${given.length} of the ${asked[1]} approvals${asked[3] ? ` of ${asked[3]}` : ""} that rule ${rule.rule} asked for`;
      }
    }
  }
  return "";
}

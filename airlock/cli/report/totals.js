// ---- The totals of the documents, counted again over the lines

const SUCCESSFUL = ["completed", "partial", "rehearsed"];

// The microseconds of a time, whatever its zone: one moment may be written in several ways.
function moment(text) {
  const [, whole, fraction, zone] = /^(.{19})(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  return BigInt(Date.parse(whole + zone)) * 1000n + BigInt((fraction || "").padEnd(6, "0"));
}

function totalsOf(check) {
  const lines = check.plans.map((plan) => plan.line.value);
  const sum = (count) => check.plans.reduce((total, plan) => total + count(plan), 0);
  const result = (name) => sum((plan) => plan.line.value.result[name]);
  const decided = (kind) => sum((plan) => plan.approvals.reduce(
    (total, seal) => total + seal.value.decisions.filter((one) => one.counted && one.decision === kind).length, 0));
  const own = lines.filter((line) => !line.undo);
  const ended = own.filter((line) => line.closed_at !== null);
  const worked = ended.filter((line) => SUCCESSFUL.includes(line.outcome)).length;
  const conflicts = lines.flatMap((line) => line.events.filter((event) => event.kind === "conflict"));
  const times = check.plans.flatMap((plan) => [
    plan.line.value.submitted_at, plan.line.value.closed_at, ...plan.chain.map((link) => link.value.timestamp),
  ]).filter((time) => time).sort((one, other) => (moment(one) < moment(other) ? -1 : 1));
  return {
    summary: {
      start_time: times.length ? times[0] : null, end_time: times.length ? times[times.length - 1] : null,
      plans_processed: own.length, plans_successful: worked, plans_failed: ended.length - worked,
      plans_open: own.length - ended.length, undos_processed: lines.length - own.length,
      by_outcome: tally(ended.map((line) => line.outcome).filter((outcome) => outcome !== null)),
      total_tools_executed: result("successful_executions") + result("failed_executions"),
      total_in_doubt: result("in_doubt_executions"), total_conflicts: conflicts.length,
      total_rollbacks: result("rollbacks_executed"), total_transitions: sum((plan) => plan.transitions.length),
      total_learning_signals: (check.lines[FILES.signals] || []).length,
    },
    since_two: { total_seals: sum((plan) => plan.approvals.length), total_approvals: decided("approve"), total_denials: decided("deny") },
    conflicts: {
      total_conflicts: conflicts.length, by_type: tally(conflicts.map((event) => event.what)),
      by_resolution_strategy: tally(conflicts.map((event) => event.answer).filter((answer) => answer !== null)),
    },
  };
}

function tally(found) {
  const counts = {};
  for (const one of found) counts[one] = (counts[one] || 0) + 1;
  return counts;
}

// Counts by kind name every kind that their schema knows; those that did not occur have 0.
function sameTotal(told, counted, kinds) {
  if (typeof told === "string" && typeof counted === "string") return moment(told) === moment(counted);
  if (counted === null || typeof counted !== "object") return told === counted;
  return [...kinds, ...Object.keys(counted)].every((kind) => told[kind] === (counted[kind] || 0));
}

function kindsOf(file, name) {
  const schema = SCHEMAS[file];
  const named = (schema.properties[name] || {}).propertyNames || {};
  return ("$ref" in named ? schema.$defs[named.$ref.slice("#/$defs/".length)] : named).enum || [];
}

const spelled = (total) => (total !== null && typeof total === "object"
  ? Object.entries(total).map(([kind, count]) => `${kind} ${count}`).join(", ") : String(total));

function checkTotals(check, summary) {
  const { summary: counted, since_two: later, conflicts } = totalsOf(check);
  const compare = (file, document, totals) => {
    for (const [name, count] of Object.entries(totals)) {
      if (document && !sameTotal(document[name], count, kindsOf(file, name))) {
        check.found(file, null, `${name} is ${spelled(document[name])}, the lines come to ${spelled(count)}`);
      }
    }
  };
  compare(FILES.summary, summary, { ...counted, ...(summary.schema_version > 1 && later) });
  if (check.findings.length === 0) compare(FILES.conflicts, check.documents[FILES.conflicts], conflicts);
}

// ---- The published JSON Schema of each file. SCHEMAS holds them; a keyword that this page does not know stops it.

const KINDS = {
  object: (node) => Boolean(node.members), array: (node) => Boolean(node.items),
  string: (node) => textOf(node) !== null, null: (node) => node.raw === "null",
  boolean: (node) => node.raw === "true" || node.raw === "false",
  integer: (node) => /^-?[0-9]+$/.test(node.raw || ""), number: (node) => /^-?[0-9]/.test(node.raw || ""),
};
const RULES = {
  type: (asked, node) => (KINDS[asked](node) ? null : `is no ${asked}`),
  const: (asked, node) => (canonicalEqual(asked, node) ? null : "is another value than the one it must be"),
  enum: (asked, node) => (asked.some((value) => canonicalEqual(value, node)) ? null : "is none of the values that it may be"),
  minimum: (asked, node) => (KINDS.number(node) && Number(node.raw) < asked ? `is less than ${asked}` : null),
  maximum: (asked, node) => (KINDS.number(node) && Number(node.raw) > asked ? `is more than ${asked}` : null),
  pattern: (asked, node) => (textOf(node) === null || new RegExp(asked, "u").test(textOf(node)) ? null : "has another form than it must have"),
  minLength: (asked, node) => (lengthOf(node) !== null && lengthOf(node) < asked ? `has fewer than ${asked} characters` : null),
  maxLength: (asked, node) => (lengthOf(node) !== null && lengthOf(node) > asked ? `has more than ${asked} characters` : null),
  minItems: (asked, node) => (node.items && node.items.length < asked ? `has fewer than ${asked} entries` : null),
  format: (asked, node) => {
    if (asked !== "date-time") throw new Error(`this page does not know the format ${asked}`);
    return textOf(node) === null || isTime(textOf(node)) ? null : "is no time with its zone";
  },
  required: (asked, node) => {
    const missing = node.members && asked.find((name) => !node.members.has(name));
    return missing ? `${missing} is missing` : null;
  },
};
const UNKNOWN = "is unknown here";
const PLACES = ["properties", "patternProperties", "additionalProperties", "propertyNames", "items"];
const SILENT = ["$defs", "title", "description", "default", "discriminator"];

// characters as Python and JSON Schema count them, not the halves of pairs
function lengthOf(node) { return textOf(node) === null ? null : Array.from(textOf(node)).length; }

function textOf(node) { return node.raw && node.raw.startsWith('"') ? JSON.parse(node.raw) : null; }

function canonicalEqual(value, node) { return Boolean(node.raw) && JSON.stringify(JSON.parse(node.raw)) === JSON.stringify(value); }

function isTime(text) {
  const found = /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (!found) return false;
  const day = new Date(Date.UTC(Number(found[1]), Number(found[2]) - 1, Number(found[3])));
  return Number(found[1]) > 0 && day.getUTCMonth() === Number(found[2]) - 1 && day.getUTCDate() === Number(found[3]);
}

// The first fault of a value: what it is, and the names and numbers that lead to its place; null if there is none.
function schemaFault(schema, node, root = schema, path = []) {
  const at = (message) => (message === null ? null : { path, message });
  if (schema === true) return null;
  if (schema === false) return at(UNKNOWN);
  const inner = (below, child, name) => schemaFault(below, child, root, [...path, name]);
  for (const [index, item] of (node.items || []).entries()) {
    const fault = "items" in schema ? inner(schema.items, item, index) : null;
    if (fault !== null) return fault;
  }
  for (const [name, member] of node.members || []) {
    const fault = memberFault(schema, name, member, inner);
    if (fault !== null) return fault;
  }
  for (const [keyword, asked] of Object.entries(schema)) {
    let fault = null;
    if (keyword in RULES) fault = at(RULES[keyword](asked, node));
    else if (keyword === "$ref") fault = schemaFault(root.$defs[asked.slice("#/$defs/".length)], node, root, path);
    // the members of a oneOf differ in the value that its discriminator names: no value fits two of them
    else if (keyword === "anyOf" || keyword === "oneOf") fault = anyFault(asked, node, root, path);
    else if (!PLACES.includes(keyword) && !SILENT.includes(keyword)) throw new Error(`this page does not know the rule ${keyword}`);
    if (fault !== null) return fault;
  }
  return null;
}

function memberFault(schema, name, member, inner) {
  if ("propertyNames" in schema) {
    const fault = inner(schema.propertyNames, { raw: member.key }, name);
    if (fault !== null) return fault;
  }
  const own = schema.properties || {};
  if (Object.hasOwn(own, name)) return inner(own[name], member.node, name);
  const fitting = Object.entries(schema.patternProperties || {}).filter(([form]) => new RegExp(form, "u").test(name));
  for (const [, below] of fitting) {
    const fault = inner(below, member.node, name);
    if (fault !== null) return fault;
  }
  return fitting.length || !("additionalProperties" in schema) ? null : inner(schema.additionalProperties, member.node, name);
}

function anyFault(choices, node, root, path) {
  const faults = choices.map((choice) => schemaFault(choice, node, root, path));
  if (faults.includes(null)) return null;
  const meant = choices.findIndex((choice) => choice.type !== "null");  // of a value that may be missing, what is wrong with it
  return choices.length === 2 && meant >= 0 ? faults[meant] : { path, message: "is none of the forms that it may have" };
}

// A value in which each field that is missing and has a default has that: what an export leaves out means the same.
function filled(schema, value, root = schema) {
  if ("$ref" in schema) return filled(root.$defs[schema.$ref.slice("#/$defs/".length)], value, root);
  if (value === null || typeof value !== "object") return value;
  const kind = Array.isArray(value) ? "array" : "object";
  const meant = (schema.anyOf || []).find((choice) => "$ref" in choice || choice.type === kind);
  if (meant) return filled(meant, value, root);
  if (kind === "array") return schema.items ? value.map((item) => filled(schema.items, item, root)) : value;
  const found = { ...value };
  for (const [name, below] of Object.entries(schema.properties || {})) {
    if (Object.hasOwn(found, name)) found[name] = filled(below, found[name], root);
    else if ("default" in below) found[name] = below.default;
  }
  return found;
}

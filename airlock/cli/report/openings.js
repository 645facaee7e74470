// ---- Hidden values, and the openings with which their holder shows them

const KEPT_OF_PREVIEW = ["kind", "step", "looked", "derived"];
const isHidden = (value) => isMap(value) && Object.keys(value).length === 1 && typeof value.$hidden === "string";

// The path and the value of everything that an export may hide.
function* hideable(content) {
  for (const step of stepsIn({ steps: content.steps })) {
    const place = `steps.${step.id}`;
    for (const [name, value] of Object.entries(isMap(step.args) ? step.args : {})) yield [`${place}.args.${name}`, value];
    for (const [name, value] of Object.entries(isMap(step.preview) ? step.preview : {})) {
      if (!KEPT_OF_PREVIEW.includes(name)) yield [`${place}.preview.${name}`, value];
    }
    for (const name of ["undo", "dedupe_key"]) if (name in step) yield [`${place}.${name}`, step[name]];
  }
  const undo = isMap(content.undo) ? content.undo : {};
  for (const step of stepsIn({ steps: undo.steps })) if ("says" in step) yield [`undo.steps.${step.id}.says`, step.says];
}

class Openings {
  constructor() {
    this.values = new Map();
    this.findings = [];
  }

  read(name, text) {
    const lines = text.split("\n");
    if (lines[lines.length - 1] === "") lines.pop();
    lines.forEach((line, index) => {
      try {
        this.readLine(line, index === 0);
      } catch (error) {
        if (!(error instanceof Damage)) throw error;
        this.findings.push({ file: name, line: index + 1, message: error.message });
      }
    });
  }

  readLine(line, first) {
    const node = parse(line);
    const value = get(node, "value");
    const { hash, salt, path, salt_key: key } = plain(node) || {};
    if (first && typeof key === "string") return;
    // a salt of another length could take a part of the value
    if (value === null || !/^[0-9a-f]{64}$/.test(salt) || typeof hash !== "string") throw new Damage("is no opening");
    if (digestOf(salt + canonical(value)) !== hash) throw new Damage("the value and the salt do not give the hash: one of them was changed");
    this.values.set(hash, { node: value, path: path || "" });
  }

  // A node with every hidden value that can be opened in its place.
  opened(node) {
    if (node.items) return { items: node.items.map((item) => this.opened(item)) };
    if (!node.members) return node;
    const hash = node.members.size === 1 ? get(node, "$hidden") : null;
    if (hash && hash.raw && hash.raw.startsWith('"')) return (this.values.get(JSON.parse(hash.raw)) || { node }).node;
    return { members: new Map([...node.members].map(([name, member]) => [name, { key: member.key, node: this.opened(member.node) }])) };
  }

  // The place of a hidden value whose opening tells another place, or null.
  elsewhere(content, seal) {
    for (const [path, value] of hideable(content)) {
      const told = isHidden(value) && this.values.has(value.$hidden) ? this.values.get(value.$hidden).path : "";
      if (told && told !== `${seal}/${path}`) return path;
    }
    return null;
  }
}


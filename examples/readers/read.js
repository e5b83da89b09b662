// Read the cases of the suite and check one operation: node read.js FOLDER-OF-THE-ZIP
"use strict";
const fs = require("fs");
const path = require("path");

// An array as {shape, data}, with "nan", "inf" and "-inf" as numbers; or the entry itself.
function value(entry) {
  if (Array.isArray(entry)) return entry.map(value);
  if (entry === null || typeof entry !== "object") return entry;
  const special = { nan: NaN, inf: Infinity, "-inf": -Infinity };
  return { shape: entry.shape, data: entry.data.map((v) => (v in special ? special[v] : +v)) };
}

const folder = path.join(process.argv[2], "cases");
const read = (name) => JSON.parse(fs.readFileSync(path.join(folder, name), "utf8"));
const suite = read("suite.json");
let count = 0, passed = 0;
for (const name of Object.keys(suite.files)) {
  for (const one of read(name).cases) {
    count += 1;
    if (one.operation !== "total_loss" || !one.outputs) continue; // yours goes here
    const { reconstruction, control, control_weight } = one.inputs;
    const loss = reconstruction + control_weight * control;
    const expected = value(one.outputs.loss.value).data[0];
    if (Math.abs(loss - expected) <= 1e-15 * Math.abs(loss)) passed += 1;
  }
}
console.log(`suite ${suite.version}: ${count} cases, ${passed} of total_loss pass`);

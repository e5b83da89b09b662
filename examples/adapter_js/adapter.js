// An adapter for fcpts-ref's conformance vectors in another language.
//
//     fcpts-ref conform check --command "node examples/adapter_js/adapter.js"
//     fcpts-ref conform check --command "node examples/adapter_js/adapter.js --persistent" --persistent
//
// Reads one case as JSON on standard input, writes its outputs as JSON on standard output.
// docs/vectors.md describes both.  Whatever is not in `operations` is reported as unsupported.
"use strict";

const fs = require("fs");

class Refused extends Error {}

const NUMBERS = { nan: NaN, inf: Infinity, "-inf": -Infinity };

function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value !== null && typeof value === "object") {
    return { shape: value.shape, data: value.data.map((v) => (v in NUMBERS ? NUMBERS[v] : v)) };
  }
  return value in NUMBERS ? NUMBERS[value] : value;
}

function encode(array) {
  const data = array.data.map((v) =>
    Number.isFinite(v) ? v : Number.isNaN(v) ? "nan" : v > 0 ? "inf" : "-inf");
  return { shape: array.shape, data };
}

const scalar = (value) => ({ shape: [], data: [value] });
const map = (array, f) => ({ shape: array.shape, data: array.data.map(f) });
const sum = (values) => values.reduce((a, b) => a + b, 0);

function refuseUnless(condition, message) {
  if (!condition) throw new Refused(message);
}

function checkWeight(weight, threshold) {
  refuseUnless(weight.data.every(Number.isFinite), "weights must be finite");
  refuseUnless(Number.isFinite(threshold) && threshold >= 0, "threshold must be at least 0");
}

function excess({ rates, sizes, target }) {
  refuseUnless(rates.data.length > 0, "no layers");
  refuseUnless(rates.data.length === sizes.data.length, "one size per rate");
  refuseUnless(rates.data.every((r) => r >= 0 && r <= 1), "rates lie in [0, 1]");
  refuseUnless(target >= 0 && target < 1, "the target lies in [0, 1)");
  const pruned = sum(rates.data.map((r, i) => r * sizes.data[i]));
  return pruned / sum(sizes.data) - target;
}

function checkSamples(samples) {
  refuseUnless(samples.data.length > 0, "no samples");
  refuseUnless(samples.data.every(Number.isFinite), "samples must be finite");
}

const operations = {
  mask({ weight, threshold, tie }) {
    checkWeight(weight, threshold);
    refuseUnless(tie === "pruned" || tie === "half", "no such tie");
    const atThreshold = tie === "half" ? 0.5 : 0;
    const one = (w) => (Math.abs(w) > threshold ? 1 : Math.abs(w) < threshold ? 0 : atThreshold);
    return { mask: map(weight, one) };
  },

  control_loss(inputs) {
    return { loss: scalar(Math.abs(excess(inputs))) };
  },

  control_loss_gradient(inputs) {
    refuseUnless(["negative", "zero"].includes(inputs.at_target), "no such choice");
    const above = excess(inputs); // equal: within four epsilons, whatever rounding made of it
    const equal = Math.abs(above) <= 4 * Number.EPSILON;
    const sign = equal ? (inputs.at_target === "zero" ? 0 : -1) : Math.sign(above);
    const total = sum(inputs.sizes.data);
    return { gradient: map(inputs.sizes, (size) => (sign * size) / total) };
  },

  sparsity_rate({ weight, threshold, strict }) {
    checkWeight(weight, threshold);
    refuseUnless(weight.data.length > 0, "an empty layer has no rate");
    const isPruned = (w) => (strict ? Math.abs(w) < threshold : Math.abs(w) <= threshold);
    return { rate: scalar(weight.data.filter(isPruned).length / weight.data.length) };
  },

  density({ points, samples, bandwidth }) {
    checkSamples(samples);
    refuseUnless(bandwidth > 0, "the bandwidth must be above 0");
    const kernel = (z) => Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
    const at = (x) => sum(samples.data.map((w) => kernel((x - w) / bandwidth)));
    return { density: map(points, (x) => at(x) / (samples.data.length * bandwidth)) };
  },

  histogram_density({ points, samples, bins }) {
    checkSamples(samples);
    refuseUnless(bins >= 1, "at least one bin");
    const [low, high] = [Math.min(...samples.data), Math.max(...samples.data)];
    if (low === high) return { density: map(points, () => 0) };
    const bin = (x) => Math.floor(((x - low) / (high - low)) * bins);
    const counts = new Array(bins).fill(0);
    for (const sample of samples.data) counts[Math.min(bin(sample), bins - 1)] += 1;
    const height = (k) => counts[k] / (samples.data.length * ((high - low) / bins));
    return { density: map(points, (x) => (x < low || x >= high ? 0 : height(bin(x)))) };
  },

  relu_forward({ x }) {
    return { y: map(x, (value) => Math.max(value, 0)) };
  },

  relu_backward({ dy, x }) {
    return { dx: { shape: x.shape, data: dy.data.map((d, i) => (x.data[i] > 0 ? d : 0)) } };
  },
};

function answer(question) {
  const operation = operations[question.operation];
  if (operation === undefined) return { status: "unsupported" };
  const inputs = {};
  for (const [name, value] of Object.entries(question.inputs)) inputs[name] = decode(value);
  try {
    const outputs = {};
    for (const [name, array] of Object.entries(operation(inputs))) outputs[name] = encode(array);
    return { status: "ok", outputs };
  } catch (error) {
    if (error instanceof Refused) return { status: "rejected", message: error.message };
    throw error;
  }
}

// One case, or with --persistent a case a line, each answered with a line.
const input = process.argv.includes("--persistent") ? null : fs.readFileSync(0, "utf8");
const reply = (text) => JSON.stringify(answer(JSON.parse(text)));
if (input !== null) process.stdout.write(reply(input));
else require("readline").createInterface({ input: process.stdin })
  .on("line", (line) => process.stdout.write(reply(line) + "\n"));

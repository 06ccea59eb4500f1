const FILE = readTensors(POLICIES), {config: CONFIG, tensors: TENSORS} = FILE;
const {base: BASE, num_digits: DIGITS} = CONFIG.tokenizer, CELLS = BASE ** DIGITS;
const TOKENIZER = normalized({...CONFIG.tokenizer, digits: DIGITS});
const SCHEMA = FILE.preprocessing;
const VALUES = range(0, CELLS).map((i) => TOKENIZER.decode(toDigits(i, BASE, DIGITS)));
const STAGES = FILE.stages.map((name, stage) => {
  const weight = (name) => {
    const {numbers} = TENSORS[name], size = numbers.length / FILE.stages.length;
    return numbers.subarray(stage * size, (stage + 1) * size);
  };
  return {name, probabilities: decodingPolicy(CONFIG, weight)};
});

const percent = (p) => {
  const words = p < 0.001 ? "under 0.1" : text(100 * p, p < 0.1 ? 2 : 3);
  return `${words}%`;
};
const weighted = (weights, f) =>
  weights.reduce((sum, weight, i) => sum + weight * f(VALUES[i], i), 0);
const normal = (u) => (1 + erf(u / Math.SQRT2)) / 2;

// The law of z at an x, as in experiments/digit_tree_policies.py: two normal branches.
function fork(x) {
  const lower = Math.sin(3 * x) / 2, upper = lower + 2 * Math.max(x, 0);
  const {target_mean: mean, target_std: std} = SCHEMA;
  const spread = (0.15 + 0.35 * Math.max(-x, 0)) / std;
  const branches = [[0.65, lower], [0.35, upper]].map(([share, y]) =>
    ({share, z: (y - mean) / std}));
  const average = (f) => branches.reduce((sum, b) => sum + b.share * f(b.z), 0);
  const centre = average((z) => z);
  const below = (v) => average((z) => normal((v - z) / spread));
  const edges = [-Infinity, ...VALUES.slice(1).map((v, i) => (v + VALUES[i]) / 2),
    Infinity].map(below);
  return {
    mean: centre,
    variance: spread ** 2 + average((z) => (z - centre) ** 2),
    cells: VALUES.map((_, i) => edges[i + 1] - edges[i]),
    draw() {
      const [u, v, w] = [0, 0, 0].map(() => 1 - Math.random());
      const {z} = branches[+(w > branches[0].share)];
      return z + spread * Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
    },
  };
}

// The network's answer to x, and what can be made of it.
function answer(stage, x) {
  const {numeric} = SCHEMA, [mean, std] = Object.values(numeric)[0];
  const input = Math.fround((x / 2 - mean / 2) / (std / 2));  // as TableSchema does
  const levels = STAGES[stage].probabilities([input]), p = levels.at(-1);
  const quantile = (q) => {
    let sum = 0;
    return VALUES.find((_, i) => (sum += p[i]) >= q - 1e-12) ?? VALUES.at(-1);
  };
  const centre = weighted(p, (v) => v);
  return {
    levels, input, quantile, mean: centre, median: quantile(0.5),
    mode: VALUES[p.indexOf(Math.max(...p))],
    variance: weighted(p, (v) => (v - centre) ** 2),
    entropy: -weighted(p, (_, i) => p[i] && Math.log(p[i])),
  };
}

// 41 answers of a stage, kept: they are the same for every x that is looked at.
const GRIDS = new Map();
function gridOf(stage) {
  if (!GRIDS.has(stage)) {
    GRIDS.set(stage, range(-20, 21).map((i) => {
      const x = i / 20, {mean, quantile} = answer(stage, x);
      return {x, mean, low: quantile(0.05), high: quantile(0.95), truth: fork(x).mean};
    }));
  }
  return GRIDS.get(stage);
}

function explore(root) {
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const fields = (name) => [...root.querySelectorAll(`[name="${name}"]`)];
  // z is undefined while it follows the true mean.
  let x = 0.6, z, stage = 3, path = [], law, shown;

  function put(name, value, except) {  // the controls of that name, but the one in use
    for (const field of fields(name)) if (field !== except) field.value = value;
  }

  function update(except) {
    law = fork(x);
    const found = answer(stage, x), truth = z ?? law.mean;
    shown = {...found, z: truth, truth: law.cells, values: VALUES, path,
      tokenizer: TOKENIZER};
    put("x", x, except);
    put("stage", stage, except);
    put("z", +truth.toFixed(3), except);
    const {name} = STAGES[stage];
    part("stage").textContent = name;
    fields("stage")[0].setAttribute("aria-valuetext", name);
    tell();
    redraw();
  }

  function tell() {
    const {mean, median, mode, variance, entropy, levels} = shown, truth = shown.z;
    const gap = (mean - truth) ** 2, reward = -gap - variance;
    const first = levels[1].map((p, i) => `${TOKENIZER.spell(i)} with ${percent(p)}`);
    part("result").textContent =
      `ẑ by mean ${text(mean, 3)}, by median ${text(median, 3)}, by mode ` +
      `${text(mode, 3)}. One string earns ${text(reward, 3)} on average: ` +
      `bias² ${text(gap, 2)} and spread ${text(variance, 2)}. Entropy ` +
      `${text(entropy, 3)} nats. First digit: ${first.join(", ")}.`;
    const rows = [["one string", NaN], ["mean", mean], ["median", median],
      ["mode", mode]];
    const fixed = (value) => value.toFixed(3).replace(/^-(0\.0+)$/, "$1")
      .replace("-", "−");  // 0 has no sign
    part("rewards").replaceChildren(...rows.map(([name, value]) => {
      const single = Number.isNaN(value), guess = single ? mean : value;
      const loss = (centre) => (guess - centre) ** 2 + (single ? variance : 0);
      const cells = [name, single ? "random" : fixed(value), fixed(-loss(truth)),
        fixed(-loss(law.mean) - law.variance)];
      const line = document.createElement("tr");
      line.append(...cells.map((words, i) => {
        const cell = document.createElement(i ? "td" : "th");
        if (!i) cell.scope = "row";
        cell.textContent = words;
        return cell;
      }));
      return line;
    }));
    Object.assign(root.dataset, {
      x, stage, z: truth, input: shown.input, mean, median, mode, entropy, reward,
      probabilities: levels.at(-1).join(" "), truth: law.cells.join(" "),
      truthMean: law.mean, truthVariance: law.variance,
    });
  }

  function redraw() {
    shown.path = path;
    drawTree(part("tree"), shown);
    drawCurve(part("curve"), {
      x, grid: gridOf(stage), dots: DOTS, low: TOKENIZER.low, high: TOKENIZER.high,
    });
    part("curve").setAttribute("aria-label",
      `z against x, with the policy's answers after: ${STAGES[stage].name}.`);
    walk();
  }

  // What a prefix leads to: how likely it is, and what its strings earn on average.
  function outlook(prefix) {
    const size = CELLS / BASE ** prefix.length, start = fromDigits(prefix, BASE) * size;
    const p = shown.levels.at(-1).slice(start, start + size);
    const total = p.reduce((a, b) => a + b, 0);
    const value = -p.reduce((sum, q, i) =>
      sum + q * (VALUES[start + i] - shown.z) ** 2, 0) / total;
    return {p: total, value, low: VALUES[start], high: VALUES[start + size - 1]};
  }

  function walk() {
    const here = outlook(path), words = path.map((d) => TOKENIZER.spell(d)).join(" ");
    root.dataset.path = path.join(" ");
    root.dataset.value = here.value;
    const done = path.length === DIGITS;
    for (const button of root.querySelectorAll("[data-write]")) {
      button.setAttribute("aria-disabled", done);
    }
    root.querySelector("[data-do=back]").setAttribute("aria-disabled", !path.length);
    if (done) {
      part("walk").textContent = `${words} reads ${text(here.low, 3)}. The policy ` +
        `writes it with ${percent(here.p)}. Its reward is ${text(here.value, 3)}.`;
      return;
    }
    const begun = path.length
      ? `${words}: ${percent(here.p)} of the strings begin so. They read `
      : "Nothing is written. The strings read ";
    const next = range(0, BASE).map((digit) => {
      const child = outlook([...path, digit]);
      return `${TOKENIZER.spell(digit)} with ${percent(child.p / here.p)}, worth ` +
        text(child.value, 3);
    });
    part("walk").textContent = `${begun}${text(here.low, 3)} to ` +
      `${text(here.high, 3)} and earn ${text(here.value, 3)} on average. ` +
      `Next digit: ${next.join("; ")}.`;
  }

  function drawString() {
    let rest = Math.random();
    const chosen = shown.levels.at(-1).findIndex((p) => (rest -= p) < 0);
    return toDigits(chosen < 0 ? CELLS - 1 : chosen, BASE, DIGITS);
  }

  const actions = {
    mean() { z = undefined; },
    target() { z = +law.draw().toFixed(3); },
    back() { path = path.slice(0, -1); },
    string() { path = drawString(); },
  };

  root.addEventListener("input", ({target}) => {
    const value = target.value === "" ? NaN : +target.value;
    if (!Number.isFinite(value)) return;  // not yet a number
    if (target.name === "x") x = clip(value, -1, 1);
    if (target.name === "stage") stage = value;
    if (target.name === "z") z = value;
    update(target);
  });
  root.addEventListener("change", () => update());  // what was typed, as it was taken
  root.addEventListener("click", ({target, clientX, clientY}) => {
    const button = target.closest("button"), tree = part("tree");
    const {write} = button?.dataset ?? {};
    if (write && path.length < DIGITS) path = [...path, +write];
    if (button) actions[button.dataset.do]?.();
    if (button) update();
    if (!tree.contains(target)) return;
    const {prefix, far} = nearestPrefix(tree, shown, clientX, clientY);
    if (far < 25) {
      path = prefix;
      redraw();
    }
  });

  part("shown").hidden = false;
  const [slider] = fields("z");
  slider.min = Math.ceil(10 * TOKENIZER.low) / 10;
  slider.max = Math.floor(10 * TOKENIZER.high) / 10;
  fields("stage")[0].max = STAGES.length - 1;
  update();
  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth === width) return;
    width = root.clientWidth;
    redraw();
  }).observe(root);
}

const [, COUNT] = TENSORS.dots.shape, DOTS = range(0, COUNT).map((i) =>
  ({x: TENSORS.dots.numbers[i], z: TENSORS.dots.numbers[COUNT + i]}));
for (const root of document.querySelectorAll(".g2-digit-tree")) {
  if (root.dataset.ready) continue;
  root.dataset.ready = "yes";
  explore(root);
}

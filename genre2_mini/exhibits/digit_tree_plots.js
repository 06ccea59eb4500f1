// The digit tree over its bars and marks, and the policy at every x. One unit of a
// drawing is one pixel.

const TREE = {left: 56, top: 14, leaves: 200, bars: 84, row: 19};
const px = (x) => `${x.toFixed(1)}`;
const widthOf = (svg) => clip(svg.parentElement.clientWidth, 280, 640);

// Where things stand in the tree: a leaf at its number, a prefix above its middle.
function treeScales(svg, {levels, values}) {
  const width = widthOf(svg), digits = levels.length - 1;
  const cell = (width - TREE.left - 8) / values.length;
  const y = (k) => TREE.top + (TREE.leaves - TREE.top) * k / digits;
  const x = (k, i) => {
    const leaves = values.length / levels[k].length;
    return TREE.left + cell * leaves * (i + 0.5);
  };
  const number = (z) => TREE.left + cell *
    (0.5 + (z - values[0]) / (values[1] - values[0]));
  return {width, cell, x, y, number, right: width - 8, base: levels[1].length};
}

function drawTree(svg, shown) {
  const scales = treeScales(svg, shown), {width} = scales;
  const marks = TREE.leaves + TREE.bars + 24;
  svg.setAttribute("viewBox", `0 0 ${width} ${marks + 4 * TREE.row + 42}`);
  svg.replaceChildren(
    ...branches(scales, shown), ...bars(scales, shown),
    ...markers(scales, shown, marks), ...numberLine(scales, shown, marks));
  const {levels, values, mode, mean} = shown;
  svg.setAttribute("aria-label", `Digit tree of ${values.length} strings. ` +
    `The likeliest number is ${text(mode, 3)}, with ` +
    `${percent(Math.max(...levels.at(-1)))}; the mean is ${text(mean, 3)}.`);
}

function branches({x, y, base}, {levels, path, tokenizer}) {
  const drawn = [], spots = [];
  levels.slice(1).forEach((level, above) => level.forEach((p, i) => {
    const k = above + 1, parent = Math.floor(i / base);
    const line = {d: `M${px(x(above, parent))} ${px(y(above))}` +
      `L${px(x(k, i))} ${px(y(k))}`, fill: "none", "stroke-linecap": "round"};
    drawn.push([p, node("path", {...line, "stroke-width": (1 + 13 * p).toFixed(2),
      stroke: p > 0.005 ? "var(--g2-blue)" : "var(--g2-soft)"})]);
    const spot = node("circle", {cx: px(x(k, i)), cy: px(y(k)), r: 6,
      fill: "transparent"});
    const prefix = toDigits(i, base, k).map((d) => tokenizer.spell(d)).join(" ");
    spot.append(node("title", {}, `${prefix}: ${percent(p)}`));
    spots.push(spot);
  }));
  drawn.sort(([p], [q]) => p - q);
  const points = range(0, path.length + 1).map((k) =>
    `${px(x(k, fromDigits(path.slice(0, k), base)))} ${px(y(k))}`);
  const [cx, cy] = points.at(-1).split(" ");
  return [...drawn.map(([, line]) => line),
    node("path", {d: `M${points.join("L")}`, fill: "none", stroke: "currentColor",
      "stroke-width": 2, "stroke-dasharray": "4 3"}),
    node("circle", {cx, cy, r: 6, fill: "none", stroke: "currentColor",
      "stroke-width": 2}),
    ...tokenizer.labels.map((label, k) => node("text", {x: TREE.left - 6,
      y: px((y(k) + y(k + 1)) / 2 + 4), "text-anchor": "end"}, label)),
    ...spots];
}

function bars({x, cell, right}, {levels, truth}) {
  const leaves = levels.at(-1), last = levels.length - 1;
  const top = TREE.leaves + 10, most = Math.max(...leaves, ...truth);
  const depth = (p) => top + TREE.bars * p / most;
  const steps = truth.map((p, i) => {
    const left = x(last, i) - cell / 2;
    return `L${px(left)} ${px(depth(p))}h${px(cell)}`;
  });
  return [
    ...leaves.map((p, i) => node("rect", {x: px(x(last, i) - 0.4 * cell), y: top,
      width: px(0.8 * cell), height: px(depth(p) - top), fill: "var(--g2-blue)"})),
    node("path", {d: `M${TREE.left} ${top}${steps.join("")}L${px(right)} ${top}`,
      fill: "none", stroke: "var(--g2-orange)", "stroke-width": 1.5}),
    node("path", {d: `M${TREE.left} ${top + TREE.bars}V${top}H${right}`, fill: "none",
      stroke: "currentColor"}),
    node("text", {x: TREE.left - 6, y: top + 6, "text-anchor": "end"}, "0%"),
    node("text", {x: TREE.left - 6, y: top + TREE.bars + 4, "text-anchor": "end"},
      percent(most)),
  ];
}

// Four rows, so that marks in one place stay apart: each has its own shape and name.
function markers({number, right}, shown, top) {
  const shapes = {
    mean: "m-6 5h12l-6 -11z", median: "m0 -6l6 6l-6 6l-6 -6z",
    mode: "m-5 -5h10v10h-10z", z: "m-2 -8h4v16h-4z",
  };
  return Object.entries(shapes).flatMap(([name, shape], i) => {
    const y = top + TREE.row * (i + 0.5);
    const at = clip(number(shown[name]), TREE.left, right);
    return [
      node("path", {d: `M${TREE.left} ${y}H${right}`, stroke: "var(--g2-soft)"}),
      node("text", {x: TREE.left - 6, y: y + 4, "text-anchor": "end"},
        name === "z" ? "true z" : name),
      node("path", {d: `M${px(at)} ${y}${shape}`,
        fill: name === "z" ? "var(--g2-orange)" : "var(--g2-blue)"}),
    ];
  });
}

function numberLine({number, width, right}, {values}, top) {
  const y = top + 4 * TREE.row;
  const ticks = range(Math.ceil(values[0]), Math.floor(values.at(-1)) + 1);
  return [
    node("path", {d: `M${TREE.left} ${y}H${right}`, stroke: "currentColor"}),
    ...ticks.map((z) => node("text", {x: px(number(z)), y: y + 16,
      "text-anchor": "middle"}, text(z))),
    node("text", {x: (TREE.left + width) / 2, y: y + 36, "text-anchor": "middle"},
      "number written, ẑ (std. dev.)"),
  ];
}

// The prefix whose node is nearest to a place on the screen.
function nearestPrefix(svg, shown, clientX, clientY) {
  const {x, y, base} = treeScales(svg, shown);
  const at = new DOMPoint(clientX, clientY).matrixTransform(
    svg.getScreenCTM().inverse());
  const prefixes = shown.levels.flatMap((level, k) => level.map((_, i) =>
    ({prefix: toDigits(i, base, k), far: Math.hypot(x(k, i) - at.x, y(k) - at.y)})));
  return prefixes.reduce((a, b) => a.far <= b.far ? a : b);
}

function drawCurve(svg, {dots, grid, x, low, high}) {
  const width = widthOf(svg), left = 44, right = width - 8, top = 10, bottom = 210;
  svg.setAttribute("viewBox", `0 0 ${width} 256`);
  const across = (v) => left + (right - left) * (v + 1) / 2;
  const up = (z) => bottom - (bottom - top) * (z - low) / (high - low);
  const line = (points, key) => points.map((point, i) =>
    `${i ? "L" : "M"}${px(across(point.x))} ${px(up(point[key]))}`).join("");
  const centred = {"text-anchor": "middle"};
  svg.replaceChildren(
    ...range(Math.ceil(low), Math.floor(high) + 1).flatMap((z) => [
      node("path", {d: `M${left} ${px(up(z))}H${right}`, stroke: "var(--g2-soft)"}),
      node("text", {x: left - 6, y: up(z) + 4, "text-anchor": "end"}, text(z)),
    ]),
    node("path", {d: dots.map(({x, z}) => `M${px(across(x))} ${px(up(z))}h0`)
      .join(""), stroke: "currentColor", "stroke-opacity": 0.45, "stroke-width": 4,
      "stroke-linecap": "round"}),
    node("path", {d: line(grid, "low") + line([...grid].reverse(), "high")
      .replace("M", "L") + "Z", fill: "var(--g2-blue)", "fill-opacity": 0.25}),
    node("path", {d: line(grid, "mean"), fill: "none", stroke: "var(--g2-blue)",
      "stroke-width": 3}),
    node("path", {d: line(grid, "truth"), fill: "none", stroke: "var(--g2-orange)",
      "stroke-width": 2, "stroke-dasharray": "6 4"}),
    node("path", {d: `M${px(across(x))} ${top}V${bottom}`, stroke: "currentColor"}),
    ...[-1, -0.5, 0, 0.5, 1].map((v) =>
      node("text", {x: across(v), y: bottom + 18, ...centred}, text(v))),
    node("text", {x: (left + right) / 2, y: bottom + 38, ...centred}, "input x"),
    node("text", {...centred,
      transform: `translate(13 ${(top + bottom) / 2}) rotate(-90)`},
      "z (std. dev.)"));
}

// Numeric distance (logarithmic, up) against Hamming distance (right) of many strings
// from the right one. A plot's dots are kept for nearestDot.

const DOTS = new WeakMap();

const hamming = (a, b) => a.filter((token, i) => token !== b[i]).length;
const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

function drawPlot(svg, tokenizer, right, written, strings) {
  const origin = tokenizer.decode(right);
  const distance = (string) => Math.abs(tokenizer.decode(string) - origin);
  const scales = scaled(svg, right.length, strings.concat([written]).map(distance));
  const {column, x, y} = scales;
  const wobble = (i) => column * 0.7 * ((i * 0.618034) % 1 - 0.5);
  const dots = strings.map((string, i) => {
    const h = hamming(string, right);
    return {string, h, x: x(h) + (h && wobble(i)), y: y(distance(string))};
  });
  DOTS.set(svg, dots);
  const ring = dots.find(({string}) => !hamming(string, written)) ??
    {x: x(hamming(written, right)), y: y(distance(written))};
  svg.replaceChildren(
    ...axes(scales, right.length),
    node("path", {
      d: dots.map((dot) => `M${dot.x.toFixed(1)} ${dot.y.toFixed(1)}h0`).join(""),
      stroke: "var(--g2-blue)", "stroke-width": 5, "stroke-linecap": "round",
      "stroke-opacity": 0.85, fill: "none",
    }),
    node("circle", {
      cx: ring.x, cy: ring.y, r: 7,
      fill: "none", stroke: "var(--g2-orange)", "stroke-width": 3,
    }));
  const single = dots.filter(({h}) => h === 1).map((dot) => distance(dot.string));
  svg.setAttribute("aria-label", "Numeric distance against the number of wrong " +
    `tokens for ${count(strings.length, "string")}. With one wrong token it lies ` +
    `between ${text(Math.min(...single), 3)} and ${text(Math.max(...single), 3)}.`);
}

// Where distances stand, for a drawing as wide as its place: one unit is one pixel.
function scaled(svg, length, distances) {
  const width = clip(svg.parentElement.clientWidth, 280, 640);
  svg.setAttribute("viewBox", `0 0 ${width} 270`);
  const left = 72, right = width - 6, top = 12, bottom = 222;
  const logs = distances.filter((d) => d > 0).map(Math.log10);
  const floor = Math.ceil(Math.min(...logs) - 1.01);  // a decade below stands 0
  const ceiling = Math.ceil(Math.max(...logs) - 0.01);
  const column = (right - left) / (length + 1);
  const share = (d) =>
    d > 0 ? clip((Math.log10(d) - floor) / (ceiling - floor), 0, 1) : 0;
  return {
    left, right, top, bottom, floor, ceiling, column,
    x: (h) => left + column * (h + 0.5),
    y: (d) => bottom - (bottom - top) * share(d),
  };
}

function axes({left, right, top, bottom, floor, ceiling, x, y}, length) {
  const centred = {"text-anchor": "middle"};
  const every = Math.ceil((ceiling - floor) / 6), ticks = [0];
  for (let d = ceiling; d > floor; d -= every) ticks.push(10 ** d);
  return [
    ...ticks.flatMap((tick) => [
      node("path", {d: `M${left} ${y(tick)}H${right}`, stroke: "var(--g2-soft)"}),
      node("text", {x: left - 6, y: y(tick) + 4, "text-anchor": "end"}, text(tick)),
    ]),
    ...range(0, length + 1).map((h) =>
      node("text", {x: x(h), y: bottom + 18, ...centred}, h)),
    node("path", {d: `M${left} ${top}V${bottom}H${right}`, fill: "none",
      stroke: "currentColor"}),
    node("text", {x: (left + right) / 2, y: bottom + 40, ...centred},
      "Hamming distance (wrong tokens)"),
    node("text", {...centred,
      transform: `translate(14 ${(top + bottom) / 2}) rotate(-90)`},
      "numeric distance (in z)"),
  ];
}

function nearestDot(svg, clientX, clientY) {
  const at = new DOMPoint(clientX, clientY)
    .matrixTransform(svg.getScreenCTM().inverse());
  const far = (dot) => Math.hypot(dot.x - at.x, dot.y - at.y);
  const nearest = DOTS.get(svg).reduce((a, b) => far(a) <= far(b) ? a : b);
  return far(nearest) < 30 ? nearest.string : undefined;
}

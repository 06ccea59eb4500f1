const KINDS = {normalized, scientific, ieee};
const ALL = 10_000;  // as many strings are drawn one by one

const changed = (tokens, position, id) =>
  tokens.map((token, i) => i === position ? id : token);

// The smallest and the largest number that strings with this beginning spell: at the
// ends, the free positions of a number are all smallest or all largest.
function reach(tokenizer, prefix) {
  let ends = [[...prefix]];
  for (const group of tokenizer.groups) {
    const free = group.filter((i) => i >= prefix.length);
    if (!free.length) continue;
    ends = ends.flatMap((string) => [0, 1].map((largest) => {
      const filled = [...string];
      for (const i of free) filled[i] = largest * (tokenizer.legal[i] - 1);
      return filled;
    }));
  }
  const values = ends.map(tokenizer.decode);
  return [Math.min(...values), Math.max(...values)];
}

// One unit of the last digit up or down; the same string where there is no next one.
function neighbour(tokenizer, tokens, direction) {
  const z = tokenizer.decode(tokens) + direction * tokenizer.cell(tokens);
  return Math.abs(z) > Math.max(tokenizer.high, -tokenizer.low)
    ? tokens : tokenizer.encode(z);
}

// The strings to compare with: all, or one token changed and the nearest 50 each way.
function others(tokenizer, tokens) {
  const total = tokenizer.legal.reduce((n, size) => n * size, 1);
  if (total <= ALL) {
    let strings = [[]];
    for (const size of tokenizer.legal) {
      strings = strings.flatMap((s) => range(0, size).map((id) => [...s, id]));
    }
    return {strings, which: `all ${count(total, "string")}`};
  }
  const strings = tokenizer.legal.flatMap((size, i) =>
    range(0, size).map((id) => changed(tokens, i, id)));
  for (const direction of [-1, 1]) {
    let string = tokens;
    for (let i = 0; i < 50; i++) {
      strings.push(string = neighbour(tokenizer, string, direction));
    }
  }
  return {strings, which: "strings with one token changed, and the 50 nearest " +
    "numbers on either side"};
}

function explore(root) {
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const field = (name, from = root) => from.querySelector(`[name="${name}"]`);
  let tokenizer, right, written, cloud;

  function settings() {
    const kind = field("kind").value, values = {};
    for (const row of root.querySelectorAll("[data-settings]")) {
      row.hidden = row.dataset.settings !== kind;
      for (const input of row.hidden ? [] : row.querySelectorAll("[name]")) {
        const value = input.value === "" ? NaN : +input.value;
        const {min, max} = input;
        if (max && !(Number.isInteger(value) && value >= +min && value <= +max)) {
          const name = input.parentElement.textContent.trim();
          throw Error(`${name}: a whole number from ${min} to ${max}`);
        }
        values[input.name] = value;
      }
    }
    return KINDS[kind](values);
  }

  function read() {  // everything anew: the number or a setting has changed
    const shown = part("shown");
    try {
      tokenizer = settings();
      const {value} = field("number"), z = value === "" ? NaN : +value;
      if (!Number.isFinite(z)) throw Error("type a number");
      right = tokenizer.encode(z);
      written = right;
      cloud = others(tokenizer, right);
      shown.hidden = false;
      show(z);
      drawTokens();
      change();
    } catch (error) {
      shown.hidden = true;
      for (const key of ["tokens", "value", "error"]) delete root.dataset[key];
      const message = error.message.replaceAll("-", "−");
      part("result").textContent = message[0].toUpperCase() + message.slice(1) + ".";
    }
  }

  function show(z) {
    const value = tokenizer.decode(right), error = Math.abs(value - z);
    const half = tokenizer.cell(right) / 2, remark = tokenizer.remark(z);
    Object.assign(root.dataset, {tokens: right.join(" "), value, error});
    const relative = tokenizer.tiny && value
      ? ` (${text(half / Math.abs(value), 2)} of the number)` : "";
    part("result").textContent =
      `${spelled(right)} reads ${text(value, 9)}. Error ${text(error, 3)}; ` +
      `half a cell is ${text(half, 3)}${relative}.` +
      (remark && ` Remark: ${remark}.`);
    drawReach(z);
  }

  const spelled = (tokens) => tokens.map(tokenizer.spell).join(" ");

  function place(z) {  // per cent of the line; logarithmic where there is no range
    const {low, high, tiny} = tokenizer;
    if (!tiny) return 100 * clip((z - low) / (high - low), 0, 1);
    const size = Math.log1p(Math.abs(z) / tiny) / Math.log1p(high / tiny);
    return 50 + 50 * Math.sign(z) * clip(size, 0, 1);
  }

  function drawReach(z) {
    part("reach").replaceChildren(...right.flatMap((token, i) => {
      const [low, high] = reach(tokenizer, right.slice(0, i + 1));
      const head = document.createElement("span"), line = head.cloneNode();
      const ends = head.cloneNode();
      head.textContent = `${tokenizer.labels[i]} = ${tokenizer.spell(token, i)}`;
      ends.textContent = low < high ? `${text(low)} to ${text(high)}` : text(low);
      head.className = ends.className = "g2-small";
      line.className = "g2-line";
      const span = document.createElement("i"), mark = span.cloneNode();
      const left = place(low);
      span.className = "g2-span";
      mark.className = "g2-mark";
      span.style.left = `${Math.min(left, 99)}%`;
      span.style.width = `${place(high) - left}%`;
      mark.style.left = `${place(z)}%`;
      line.append(span, mark);
      return [head, ends, line];
    }));
    const log = tokenizer.tiny ? ", logarithmic" : "";
    part("scale").textContent = "Blue: what the tokens down to this line can still " +
      `become. Orange: the number. The line runs from ${text(tokenizer.low)} to ` +
      `${text(tokenizer.high)}${log}.`;
  }

  function drawTokens() {
    part("tokens").replaceChildren(...tokenizer.labels.map((label, i) => {
      const box = document.createElement("span");
      const button = document.createElement("button");
      const name = document.createElement("span");
      button.type = "button";
      button.dataset.position = i;
      name.className = "g2-small";
      name.textContent = label;
      name.setAttribute("aria-hidden", "true");
      box.append(button, name);
      return box;
    }));
  }

  function change() {  // another token was written
    const buttons = part("tokens").querySelectorAll("button");
    buttons.forEach((button, i) => {
      const now = tokenizer.spell(written[i], i);
      const wanted = tokenizer.spell(right[i], i), wrong = now !== wanted;
      button.textContent = now;
      button.classList.toggle("g2-wrong", wrong);
      button.setAttribute("aria-label", `${tokenizer.labels[i]}: ${now}` +
        (wrong ? `, should be ${wanted}` : ""));
    });
    const value = tokenizer.decode(written), wrong = hamming(written, right);
    const distance = Math.abs(value - tokenizer.decode(right));
    Object.assign(root.dataset, {written: written.join(" "), wrong, distance});
    part("change").textContent = `${spelled(written)} reads ${text(value, 9)}. ` +
      `Hamming distance: ${count(wrong, "wrong token")} of ${right.length}. ` +
      `Numeric distance: ${text(distance)}.`;
    draw();
    part("which").textContent = `Dots: ${cloud.which}. Ring: the one written above.` +
      " Click near a dot to write it.";
  }

  const draw = () =>
    drawPlot(part("plot"), tokenizer, right, written, cloud.strings);

  function step(position, by) {
    const size = tokenizer.legal[position];
    written = changed(written, position, (written[position] + by + size) % size);
    change();
  }

  root.addEventListener("input", read);
  root.addEventListener("click", ({target, clientX, clientY}) => {
    const {position, step: direction} = target.dataset;
    if (position !== undefined) step(+position, 1);
    if (direction !== undefined) {
      written = +direction ? neighbour(tokenizer, written, +direction) : right;
      change();
    }
    const plot = target.closest("svg");
    if (plot) {
      written = nearestDot(plot, clientX, clientY) ?? written;
      change();
    }
  });
  root.addEventListener("keydown", (event) => {
    const position = +event.target.dataset.position;
    const by = {ArrowUp: 1, ArrowDown: -1}[event.key];
    const move = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (Number.isNaN(position) || !(by || move)) return;
    event.preventDefault();
    if (by) step(position, by);
    part("tokens").querySelectorAll("button")[position + (move ?? 0)]?.focus();
  });
  read();
  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth === width || part("shown").hidden) return;
    width = root.clientWidth;
    draw();
  }).observe(root);
}

for (const root of document.querySelectorAll(".g2-number-explorer")) {
  if (root.dataset.ready) continue;
  root.dataset.ready = "yes";
  explore(root);
}

// The package's three tokenizers, with the same operations in the same order: equal to
// the last bit. Each has legal (ids a position), labels, groups (positions of one
// number, most significant first), low, high, tiny (the smallest number above zero, where
// there is no range), encode, decode, cell (from a string to the next, in z), spell (an id
// as text) and remark (what is special about a z).

const clip = (x, low, high) => Math.min(Math.max(x, low), high);

function roundToEven(x) {  // ties as in torch.round
  const floor = Math.floor(x), rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2) ? floor + 1 : floor;
}

function toDigits(number, base, count) {
  const digits = Array(count);
  for (let i = count - 1; i >= 0; i--) {
    digits[i] = number % base;
    number = Math.floor(number / base);
  }
  return digits;
}

const fromDigits = (digits, base) => digits.reduce((n, d) => n * base + d, 0);
const named = (count) => Array.from({length: count}, (_, i) => `d${i + 1}`);
const range = (start, stop) =>
  Array.from({length: stop - start}, (_, i) => start + i);

function normalized({base, digits, low, high}) {
  if (!(low < high)) throw Error("the range needs two numbers, the smaller first");
  const cells = base ** digits, width = (high - low) / cells;
  const largest = Math.max(Math.abs(low), Math.abs(high));
  if (2 * width < 2 ** (Math.floor(Math.log2(largest)) - 52)) {
    throw Error("the range is too narrow to be cut into so many cells");
  }
  return {
    low, high,
    legal: Array(digits).fill(base),
    labels: named(digits),
    groups: [range(0, digits)],
    encode(z) {
      const k = clip(roundToEven((z - low) / (high - low) * cells), 0, cells - 1);
      return toDigits(k, base, digits);
    },
    decode: (t) => low + fromDigits(t, base) / cells * (high - low),
    cell: () => width,
    spell: (id) => `${id}`,
    remark(z) {
      if (z < low || z > high) return "outside the range: it clips";
      const top = (z - low) / (high - low) * cells > cells - 0.5;
      return top ? "nearest to the upper end, which has no string: it clips" : "";
    },
  };
}

// Numbers ±m·B^p with an integer m of at most D digits, p from pMin to pMax.
function floatingPoint(base, digits, pMin, pMax) {
  // In base 10 the text gives the nearest double; in base 2 every power is exact.
  const times = (m, p) => base === 10 ? +`${m}e${p}` : m * base ** p;
  const limit = base ** digits;
  const bounds = range(pMin, pMax).map((p) => times(1, p + digits));
  const scale = (x, p) =>
    x * times(1, Math.max(p, 0)) / times(1, Math.max(-p, 0));
  return {
    limit, scale,
    high: times(limit - 1, pMax),
    nearest(magnitude) {
      const p = pMin + bounds.filter((bound) => bound <= magnitude).length;
      const m = roundToEven(scale(magnitude, -p));
      return m === limit ? [m / base, p + 1] : [m, p];  // 9.9996 becomes 1.000e1
    },
  };
}

function scientific({digits, most}) {
  const format = floatingPoint(10, digits, -most, most);
  const {high} = format, exponent = digits + 1;
  return {
    low: -high, high, tiny: format.scale(1, -most),
    legal: [2, ...Array(digits).fill(10), 2 * most + 1],
    labels: ["sign", ...named(digits), "exp"],
    groups: [[0], range(1, exponent), [exponent]],
    encode(z) {
      const [m, e] = format.nearest(Math.min(Math.abs(z), high));
      return [+(z < 0 && m > 0), ...toDigits(m, 10, digits), e + most];
    },
    decode(t) {
      const m = fromDigits(t.slice(1, exponent), 10);
      return (1 - 2 * t[0]) * format.scale(m, t[exponent] - most);
    },
    cell: (t) => format.scale(1, t[exponent] - most),
    spell(id, position) {
      if (position === 0) return "+−"[id];
      return position < exponent ? `${id}` : `e${id - most}`.replace("-", "−");
    },
    remark: (z) => Math.abs(z) > high ? "beyond the largest: it clips" : "",
  };
}

function ieee({base, exponents, digits}) {
  const largest = base ** Math.min(exponents, 10) - 1, shift = digits - 1;
  if ((largest + digits) * Math.log10(base) > 307) {
    throw Error("that leaves the range of float64: use fewer exponent digits");
  }
  const format = floatingPoint(base, digits, -largest - shift, largest - shift);
  const tiny = format.scale(1, -largest), start = 2 + exponents;
  const {high, limit} = format;
  const power = (t) =>
    fromDigits(t.slice(2, start), base) * (1 - 2 * t[1]) - shift;
  return {
    low: -high, high, tiny,
    legal: [2, 2, ...Array(exponents + digits).fill(base)],
    labels: ["sign", "exp ±", ...range(1, start - 1).map((i) => `exp ${i}`),
      ...named(digits)],
    groups: [[0], [1], range(2, start), range(start, start + digits)],
    encode(z) {
      const magnitude = Math.abs(z), nonzero = +(magnitude > tiny / 2);
      if (magnitude > high) {
        throw Error(`${z} is beyond the largest, ${high}: an error, not a string`);
      }
      const [m, p] = format.nearest(magnitude), e = nonzero * (p + shift);
      const mantissa = nonzero * Math.max(m, limit / base);
      return [+(z < 0 && nonzero), +(e < 0),
        ...toDigits(Math.abs(e), base, exponents),
        ...toDigits(mantissa, base, digits)];
    },
    decode(t) {
      return (1 - 2 * t[0]) * format.scale(fromDigits(t.slice(start), base), power(t));
    },
    cell: (t) => fromDigits(t.slice(start), base) ? format.scale(1, power(t)) : tiny,
    spell: (id, position) => position < 2 ? "+−"[id] : `${id}`,
    remark: (z) => z && Math.abs(z) < tiny
      ? "below the smallest: it becomes that or zero" : "",
  };
}

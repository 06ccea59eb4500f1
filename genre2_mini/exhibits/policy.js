// The package's DecodingPolicy from its own weights, dropout off: what transformer.py,
// encoders.py and policy.py do, under the same names, in float64.

// A safetensors file: the length of its header, the header, the numbers (float16 here).
function readTensors(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const start = 8 + view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  const {__metadata__, ...entries} = header, tensors = {};
  for (const [name, {shape, data_offsets: [from, to]}] of Object.entries(entries)) {
    const numbers = Float64Array.from({length: (to - from) / 2},
      (_, i) => fromHalf(view.getUint16(start + from + 2 * i, true)));
    tensors[name] = {shape, numbers};
  }
  return {...JSON.parse(__metadata__.header), tensors};
}

function fromHalf(bits) {  // IEEE 754: a sign, five bits of exponent, ten of fraction
  const sign = bits >> 15 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
  return exponent
    ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024)
    : sign * 2 ** -14 * (fraction / 1024);
}

// 2/√π · exp(−x²) · Σ x (2x²)ⁿ / (1·3·…·(2n + 1)): no cancellation, all terms have one
// sign. Beyond 6 it is ±1 to the last bit.
function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x, sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    sum += term *= 2 * x * x / (2 * n + 1);
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

const relu = (x) => Math.max(x, 0);
const gelu = (x) => x * (1 + erf(x / Math.SQRT2)) / 2;
const add = (a, b) => a.map((value, i) => value + b[i]);

function softmax(logits) {
  const most = Math.max(...logits), e = logits.map((l) => Math.exp(l - most));
  const total = e.reduce((a, b) => a + b);
  return e.map((value) => value / total);
}

// One query against all keys up to its own; vectors hold their heads side by side.
function attend(q, keys, values, heads) {
  const size = q.length / heads, mixed = new Float64Array(q.length);
  for (let start = 0; start < q.length; start += size) {
    const scores = keys.map((key) => {
      let product = 0;
      for (let i = start; i < start + size; i++) product += q[i] * key[i];
      return product / Math.sqrt(size);
    });
    softmax(scores).forEach((weight, t) => {
      for (let i = start; i < start + size; i++) mixed[i] += weight * values[t][i];
    });
  }
  return mixed;
}

// Layers by the name of their weights; weight(name) is a flat Float64Array.
function layersOf(weight) {
  return {
    linear(name) {
      const w = weight(`${name}.weight`), bias = weight(`${name}.bias`);
      return (h) => bias.map((sum, row) => {
        for (let i = 0; i < h.length; i++) sum += w[row * h.length + i] * h[i];
        return sum;
      });
    },
    layerNorm(name) {
      const scale = weight(`${name}.weight`), shift = weight(`${name}.bias`);
      return (h) => {
        const mean = h.reduce((a, b) => a + b) / h.length;
        const variance = h.reduce((sum, v) => sum + (v - mean) ** 2, 0) / h.length;
        const std = Math.sqrt(variance + 1e-5);
        return h.map((v, i) => (v - mean) / std * scale[i] + shift[i]);
      };
    },
  };
}

// config as the package's policy.config. Returns probabilities(x) of every prefix, by
// level: level k has base^k of them, in lexicographic order; x is standardised.
function decodingPolicy(config, weight) {
  const {linear, layerNorm} = layersOf(weight);
  const {base, num_digits: digits} = config.tokenizer, {d_model: width} = config;
  const row = (name, i) => weight(`${name}.weight`).slice(i * width, (i + 1) * width);
  const encoder = range(0, config.encoder.num_layers + 1)
    .map((i) => linear(`encoder.net.${3 * i}`));
  const blocks = range(0, config.num_layers).map((i) => {
    const at = `transformer.blocks.${i}`;
    return {
      normAttention: layerNorm(`${at}.norm_attention`),
      qkv: linear(`${at}.attention.qkv`), out: linear(`${at}.attention.out`),
      normMlp: layerNorm(`${at}.norm_mlp`),
      up: linear(`${at}.mlp.0`), down: linear(`${at}.mlp.3`),
    };
  });
  const norm = layerNorm("transformer.norm"), unembedding = linear("unembedding");
  const tokens = range(0, base).map((token) => row("token_embedding", token));
  const positions = range(0, digits).map((k) => row("position_embedding", k));

  function encode(x) {
    let h = Float64Array.of(...x);
    for (const layer of encoder.slice(0, -1)) h = layer(h).map(relu);
    return encoder.at(-1)(h);
  }

  // Position k's input: next-token probabilities, and all keys and values so far.
  function step(input, k, past) {
    let h = add(input, positions[k]);
    const cache = blocks.map((block, i) => {
      const qkv = block.qkv(block.normAttention(h));
      const [q, key, value] = [0, 1, 2].map((j) =>
        qkv.subarray(j * width, (j + 1) * width));
      const keys = [...(past[i]?.keys ?? []), key];
      const values = [...(past[i]?.values ?? []), value];
      h = add(h, block.out(attend(q, keys, values, config.num_heads)));
      h = add(h, block.down(block.up(block.normMlp(h)).map(gelu)));
      return {keys, values};
    });
    return {next: softmax(unembedding(norm(h))), cache};
  }

  return function probabilities(x) {
    let nodes = [{input: encode(x), past: [], p: 1}];
    const levels = [[1]];
    for (let k = 0; k < digits; k++) {
      nodes = nodes.flatMap(({input, past, p}) => {
        const {next, cache} = step(input, k, past);
        return tokens.map((token, i) => ({input: token, past: cache, p: p * next[i]}));
      });
      levels.push(nodes.map(({p}) => p));
    }
    return levels;
  };
}

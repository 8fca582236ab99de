/* SeedNet in plain JavaScript: read its weights, prepare a picture, compute every layer.
 *
 * Nothing here knows of the page. An array with a shape is {shape, data}; images are (C, H, W),
 * one at a time. Sums are kept in double precision, results in single, as Python's are.
 */
"use strict";

const SeedNet = (() => {
  const EPSILON = 1e-5; // of batch normalisation
  const SOFTENING = 0.02 * 255; // of standardize
  const BLOCKS = ["block1", "block2", "block3"];

  const zeros = (...shape) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });

  /** Read a safetensors file: eight bytes of length, a table in JSON, then the numbers. */
  function parseSafetensors(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const length = Number(view.getBigUint64(0, true));
    const table = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    const arrays = new Map();
    for (const [name, entry] of Object.entries(table)) {
      if (name === "__metadata__" || entry.dtype !== "F32") continue;
      const [start, end] = entry.data_offsets.map((offset) => offset + 8 + length);
      const data = new Float32Array(bytes.slice(start, end).buffer); // a copy is aligned
      arrays.set(name, { shape: entry.shape, data });
    }
    return arrays;
  }

  /* ---- from a picture of any size to what the network takes ---- */

  /** The pixels that each pixel of the result sees along one axis, and their integer weights.
   *
   * A triangle of the width of one pixel of the result (of the source, when it is enlarged),
   * as Pillow computes it: weights are multiples of 2^-22 and sum to about 1. */
  function triangles(from, to) {
    const scale = from / to;
    const reach = Math.max(scale, 1);
    const found = [];
    for (let i = 0; i < to; i++) {
      const centre = (i + 0.5) * scale;
      const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
      const last = Math.min(Math.trunc(centre + reach + 0.5), from);
      const weights = [];
      let sum = 0;
      for (let p = first; p < last; p++) {
        const weight = Math.max(1 - Math.abs((p - centre + 0.5) * (1 / reach)), 0);
        weights.push(weight);
        sum += weight;
      }
      found.push({ first, weights: weights.map((w) => Math.trunc(0.5 + (w / sum) * 4194304)) });
    }
    return found;
  }

  /** Shrink or stretch 8-bit RGB pixels along rows, then along columns, as Pillow does.
   *
   * image: {width, height, data}, data being RGBRGB... row by row. Each pass is rounded to 8 bits,
   * so their order shows: from version 13 on, Pillow begins with the columns of a picture whose
   * height shrinks by more than twice what its width does (tallFirst). */
  function resize(image, width, height, tallFirst = true) {
    const less = image.height - height;
    if (tallFirst && less > 0 && less > (image.width - width) * 2) {
      return stretchRows(stretchColumns(image, height), width);
    }
    return stretchColumns(stretchRows(image, width), height);
  }

  const toByte = (sum) => Math.min(Math.max(Math.floor((sum + 2097152) / 4194304), 0), 255);

  function stretchRows({ width: from, height, data }, width) {
    if (from === width) return { width, height, data };
    const out = new Uint8Array(height * width * 3);
    triangles(from, width).forEach(({ first, weights }, x) => {
      for (let y = 0; y < height; y++) {
        for (let c = 0; c < 3; c++) {
          let sum = 0;
          for (let k = 0; k < weights.length; k++) {
            sum += data[(y * from + first + k) * 3 + c] * weights[k];
          }
          out[(y * width + x) * 3 + c] = toByte(sum);
        }
      }
    });
    return { width, height, data: out };
  }

  function stretchColumns({ width, height: from, data }, height) {
    if (from === height) return { width, height, data };
    const out = new Uint8Array(height * width * 3);
    triangles(from, height).forEach(({ first, weights }, y) => {
      for (let at = 0; at < width * 3; at++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) {
          sum += data[(first + k) * width * 3 + at] * weights[k];
        }
        out[y * width * 3 + at] = toByte(sum);
      }
    });
    return { width, height, data: out };
  }

  /** (pixel - mean) / (standard deviation + 0.02 of white), and colours become channels. */
  function standardize({ width, height, data }) {
    let mean = 0;
    for (const value of data) mean += value;
    mean /= data.length;
    let variance = 0;
    for (const value of data) variance += (value - mean) ** 2;
    const spread = Math.sqrt(variance / data.length) + SOFTENING;
    const x = zeros(3, height, width);
    for (let at = 0; at < width * height; at++) {
      for (let c = 0; c < 3; c++) x.data[c * width * height + at] = (data[at * 3 + c] - mean) / spread;
    }
    return x;
  }

  /* ---- the layers ---- */

  /** y[o, i, j] = sum over c, u, v of weight[o, c, u, v] * x[c, i + u - 1, j + v - 1]; 0 outside. */
  function conv2d(x, weight) {
    const [channels, height, width] = x.shape;
    const [filters, , rows, columns] = weight.shape;
    const above = (rows - 1) >> 1, left = (columns - 1) >> 1;
    const y = zeros(filters, height, width);
    const sums = new Float64Array(height * width);
    for (let o = 0; o < filters; o++) {
      sums.fill(0);
      for (let c = 0; c < channels; c++) {
        for (let u = 0; u < rows; u++) {
          for (let v = 0; v < columns; v++) {
            const w = weight.data[((o * channels + c) * rows + u) * columns + v];
            const from = Math.max(0, left - v), to = Math.min(width, width + left - v);
            for (let i = Math.max(0, above - u); i < Math.min(height, height + above - u); i++) {
              const seen = (c * height + i + u - above) * width + v - left;
              for (let j = from; j < to; j++) sums[i * width + j] += w * x.data[seen + j];
            }
          }
        }
      }
      y.data.set(sums, o * height * width);
    }
    return y;
  }

  /** gamma * (x - moving mean) / sqrt(moving variance + epsilon) + beta, channel by channel. */
  function batchNorm(x, { gamma, beta, mean, variance }) {
    const y = zeros(...x.shape);
    const size = x.shape[1] * x.shape[2];
    for (let c = 0; c < x.shape[0]; c++) {
      const scale = gamma.data[c] / Math.sqrt(variance.data[c] + EPSILON);
      for (let at = c * size; at < (c + 1) * size; at++) {
        y.data[at] = (x.data[at] - mean.data[c]) * scale + beta.data[c];
      }
    }
    return y;
  }

  function relu(x) {
    return { shape: x.shape, data: x.data.map((value) => Math.max(value, 0)) };
  }

  /** The largest of each 2 x 2 pixels; a last odd row or column is dropped. */
  function maxPool2d(x) {
    const [channels, height, width] = x.shape;
    const y = zeros(channels, height >> 1, width >> 1);
    let at = 0;
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < height >> 1; i++) {
        for (let j = 0; j < width >> 1; j++) {
          const p = (c * height + 2 * i) * width + 2 * j;
          const d = x.data;
          y.data[at++] = Math.max(d[p], d[p + 1], d[p + width], d[p + width + 1]);
        }
      }
    }
    return y;
  }

  function globalAvgPool(x) {
    const y = zeros(x.shape[0]);
    const size = x.shape[1] * x.shape[2];
    for (let c = 0; c < x.shape[0]; c++) {
      let sum = 0;
      for (let at = c * size; at < (c + 1) * size; at++) sum += x.data[at];
      y.data[c] = sum / size;
    }
    return y;
  }

  /** y[o] = bias[o] + sum over i of weight[o, i] * x[i] */
  function dense(x, weight, bias) {
    const [outputs, inputs] = weight.shape;
    const y = zeros(outputs);
    for (let o = 0; o < outputs; o++) {
      let sum = bias.data[o];
      for (let i = 0; i < inputs; i++) sum += weight.data[o * inputs + i] * x.data[i];
      y.data[o] = sum;
    }
    return y;
  }

  function softmax(x) {
    const largest = x.data.reduce((a, b) => Math.max(a, b));
    const powers = Array.from(x.data, (value) => Math.exp(value - largest));
    const sum = powers.reduce((a, b) => a + b);
    return { shape: x.shape, data: Float32Array.from(powers, (power) => power / sum) };
  }

  /** Compute all layers for one standardised image.
   *
   * Returns [{name, kind, shape, data}, ...] in their order; the last has the probabilities. */
  function forward(weights, image) {
    const get = (name) => {
      if (!weights.has(name)) throw new Error(`seednet: the file has no array ${name}`);
      return weights.get(name);
    };
    const layers = [];
    const keep = (name, kind, x) => {
      layers.push({ name, kind, shape: x.shape, data: x.data });
      return x;
    };
    let x = image;
    BLOCKS.forEach((block, at) => {
      for (let i = 0; weights.has(`${block}.${i}.weight`); i++) {
        const of = `${block}.${i}.normalizer`;
        x = batchNorm(conv2d(x, get(`${block}.${i}.weight`)), {
          gamma: get(`${of}.gamma`),
          beta: get(`${of}.beta`),
          mean: get(`${of}.moving_mean`),
          variance: get(`${of}.moving_variance`),
        });
        x = keep(`${block}.${i}`, "convolution 3x3, batch norm, ReLU", relu(x));
      }
      const last = at === BLOCKS.length - 1;
      const pooled = last ? globalAvgPool(x) : maxPool2d(x);
      x = keep(`pool${at + 1}`, last ? "global average pooling" : "max pooling 2x2", pooled);
    });
    x = keep("hidden", "dense, ReLU", relu(dense(x, get("hidden.weight"), get("hidden.bias"))));
    x = keep("logits", "dense", dense(x, get("logits.weight"), get("logits.bias")));
    keep("probabilities", "softmax", softmax(x));
    return layers;
  }

  return { parseSafetensors, resize, standardize, forward,
           conv2d, batchNorm, relu, maxPool2d, globalAvgPool, dense, softmax };
})();

/* The page around seednet.js: pictures in, classes and layers out. */
"use strict";

const live = (() => {
  const SIZE = 32, EDGE = 256, MOST_PIXELS = 50e6;
  const COLOURS = { red: "#c1272d", white: "#f4f4f0", black: "#1c1c1c", blue: "#1f57a5",
                    yellow: "#f2b61a", grey: "#8f9a94" };
  const VIRIDIS = ["440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6dcd59",
                   "b4de2c", "fde725"].map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const find = (id) => document.getElementById(`live-${id}`);
  const make = (tag, attributes = {}, ...inside) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...inside);
    return element;
  };
  const decoded = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const weights = SeedNet.parseSafetensors(decoded(SEEDNET.weights));
  const canvas = find("picture");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const page = { layers: null, weights, pixelsOf, show };
  let asked = 0; // a picture that takes long to read must not replace what was asked for later

  /* ---- pictures ---- */

  /** The RGB pixels of a file, without what its transparency is. */
  async function pixelsOf(blob) {
    const options = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
    const bitmap = await createImageBitmap(blob, options);
    const { width, height } = bitmap;
    if (width * height > MOST_PIXELS) throw new Error(`${width} x ${height} pixels are too many`);
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    let rgba = context.getImageData(0, 0, width, height).data;
    if (rgba.some((value, at) => at % 4 === 3 && value < 255)) rgba = unblended(bitmap) || rgba;
    return { bitmap, ...withoutAlpha(rgba, width, height) };
  }

  function withoutAlpha(rgba, width, height) {
    const data = new Uint8Array(width * height * 3);
    for (let at = 0; at < width * height; at++) {
      for (let c = 0; c < 3; c++) data[at * 3 + c] = rgba[at * 4 + c];
    }
    return { width, height, data };
  }

  /** A canvas forgets the colour of what is transparent; a texture of WebGL keeps it. */
  function unblended(bitmap) {
    const { width, height } = bitmap;
    const gl = new OffscreenCanvas(1, 1).getContext("webgl", { premultipliedAlpha: false });
    if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    const texture = gl.getParameter(gl.TEXTURE_BINDING_2D);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    const rgba = new Uint8Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
    return rgba;
  }

  /** Show a file and what the network thinks of it; gives all layers. */
  async function show(blob) {
    const mine = ++asked;
    let image;
    try {
      image = await pixelsOf(blob);
    } catch (error) {
      if (mine !== asked) return null;
      find("verdict").textContent = `This is no picture that the browser can read (${error.message}).`;
      return null;
    }
    if (mine !== asked) return null;
    pen.fillStyle = COLOURS.white; // seen where the picture is transparent
    pen.fillRect(0, 0, EDGE, EDGE);
    pen.imageSmoothingQuality = "high";
    pen.imageSmoothingEnabled = image.width > EDGE / 2;
    pen.drawImage(image.bitmap, 0, 0, EDGE, EDGE);
    return answer(image);
  }

  /* ---- the answer ---- */

  function answer(image) {
    const start = performance.now();
    const small = SeedNet.resize(image, SIZE, SIZE, SEEDNET.tallFirst);
    page.layers = SeedNet.forward(weights, SeedNet.standardize(small));
    find("time").textContent = `Computed in ${(performance.now() - start).toFixed(0)} ms.`;
    showSeen(small);
    showBest(page.layers.at(-1).data);
    page.layers.forEach(showLayer);
    return page.layers;
  }

  function showSeen({ width, height, data }) {
    const image = new ImageData(width, height);
    for (let at = 0; at < width * height; at++) {
      for (let c = 0; c < 3; c++) image.data[at * 4 + c] = data[at * 3 + c];
      image.data[at * 4 + 3] = 255;
    }
    find("seen").getContext("2d").putImageData(image, 0, 0);
  }

  function showBest(probabilities) {
    const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
    const share = (k) => `${(100 * probabilities[k]).toFixed(1)} %`;
    find("verdict").textContent = `${SEEDNET.classes[order[0]]}, ${share(order[0])}`;
    find("best").replaceChildren(...order.slice(0, 5).map((k) => {
      const bar = make("span", { class: "live-bar", "aria-hidden": "true" }, make("span"));
      bar.firstChild.style.width = share(k).replace(" ", "");
      return make("li", {}, make("span", { class: "live-name" }, SEEDNET.classes[k]), bar,
                  make("span", { class: "live-share" }, share(k)));
    }));
  }

  /* ---- the layers ---- */

  function showLayer(layer) {
    const id = layer.name.replace(".", "-");
    let figure = find(id);
    if (!figure) {
      figure = make("figure", { id: `live-${id}` }, make("figcaption"), make("div"));
      find("layers").append(figure);
    }
    const { data, shape } = layer;
    const largest = data.reduce((a, b) => Math.max(a, b));
    const [caption, body] = figure.children;
    const what = shape.length === 3 ? `${shape[0]} maps of ${shape[1]} × ${shape[2]}` : `${shape[0]} numbers`;
    caption.replaceChildren(make("strong", {}, layer.name), ` ${layer.kind}: ${what}, `,
                            make("span", { class: "live-scale" }, `largest ${largest.toFixed(2)}`));
    if (shape.length === 3) showMaps(body, layer, largest);
    else showBars(body, layer);
  }

  function showMaps(body, { data, shape: [channels, height, width] }, largest) {
    body.className = "live-maps";
    body.style.setProperty("--smallest", `${height > 16 ? 68 : height > 8 ? 52 : 40}px`);
    for (let c = body.children.length; c < channels; c++) {
      body.append(make("canvas", { width, height, "aria-hidden": "true" }));
    }
    for (let c = 0; c < channels; c++) {
      const image = new ImageData(width, height);
      let own = 0;
      for (let at = 0; at < width * height; at++) {
        const value = data[c * width * height + at];
        own = Math.max(own, value);
        image.data.set(colour(value / (largest || 1)), at * 4);
      }
      const map = body.children[c];
      map.getContext("2d").putImageData(image, 0, 0);
      map.title = `map ${c}: up to ${own.toFixed(2)}`;
    }
  }

  function colour(share) {
    const at = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
    const low = VIRIDIS[Math.floor(at)], high = VIRIDIS[Math.ceil(at)];
    return [...low.map((value, c) => value + (high[c] - value) * (at % 1)), 255];
  }

  function showBars(body, { name, data }) {
    body.className = "live-bars";
    const low = data.reduce((a, b) => Math.min(a, b), 0), high = data.reduce((a, b) => Math.max(a, b), 0);
    const range = high - low || 1;
    const svg = (tag, attributes, ...inside) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      element.append(...inside);
      return element;
    };
    const labelled = data.length === SEEDNET.classes.length;
    const bars = Array.from(data, (value, i) => svg("rect", {
      x: i + 0.1, width: 0.8, y: (high - Math.max(value, 0)) / range * 10, height: Math.abs(value) / range * 10,
    }, svg("title", {}, `${labelled ? SEEDNET.classes[i] : `number ${i}`}: ${value.toFixed(3)}`)));
    const axis = svg("line", { x1: 0, x2: data.length, y1: high / range * 10, y2: high / range * 10 });
    body.replaceChildren(svg("svg", { viewBox: `0 0 ${data.length} 10`, preserveAspectRatio: "none",
                                      role: "img", "aria-label": `${name}, ${data.length} bars` }, ...bars, axis));
  }

  /* ---- drawing ---- */

  const SHAPES = {
    blank: () => {},
    "red ring": () => { disc("red", 112); disc("white", 84); },
    triangle: () => { triangle("red", 120); triangle("white", 76); },
    "blue disc": () => disc("blue", 112),
    octagon: () => polygon("red", 8, 118, Math.PI / 8),
    diamond: () => { polygon("white", 4, 122, 0); polygon("yellow", 4, 92, 0); },
  };

  function disc(name, radius) {
    pen.fillStyle = COLOURS[name];
    pen.beginPath();
    pen.arc(EDGE / 2, EDGE / 2, radius, 0, 2 * Math.PI);
    pen.fill();
  }

  function polygon(name, corners, radius, turn, low = 0) {
    pen.fillStyle = COLOURS[name];
    pen.beginPath();
    for (let i = 0; i < corners; i++) {
      const angle = turn + 2 * Math.PI * i / corners;
      pen.lineTo(EDGE / 2 + radius * Math.cos(angle), EDGE / 2 + low + radius * Math.sin(angle));
    }
    pen.fill();
  }

  const triangle = (name, radius) => polygon(name, 3, radius, -Math.PI / 2, 24);

  function begin(shape) {
    pen.fillStyle = COLOURS.grey;
    pen.fillRect(0, 0, EDGE, EDGE);
    SHAPES[shape]();
    answerCanvas();
  }

  function answerCanvas() {
    asked++;
    answer(withoutAlpha(pen.getImageData(0, 0, EDGE, EDGE).data, EDGE, EDGE));
  }

  function placeOf(event) {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * EDGE / box.width, (event.clientY - box.top) * EDGE / box.height];
  }

  function prepareDrawing() {
    let last = null, waiting = false;
    const draw = (event) => {
      const place = placeOf(event);
      Object.assign(pen, { lineCap: "round", lineWidth: find("width").value,
                           strokeStyle: COLOURS[document.querySelector("[name=live-colour]:checked").value] });
      pen.beginPath();
      pen.moveTo(...(last || place));
      pen.lineTo(...place);
      pen.stroke();
      last = place;
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; answerCanvas(); });
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      last = null;
      draw(event);
    });
    canvas.addEventListener("pointermove", (event) => { if (last && event.buttons) draw(event); });
    canvas.addEventListener("pointerup", () => { last = null; });
    Object.entries(COLOURS).forEach(([name, value], i) => {
      const choice = make("input", { type: "radio", name: "live-colour", value: name, "aria-label": name, title: name });
      choice.style.setProperty("--own", value);
      choice.checked = i === 2;
      find("colours").append(choice);
    });
    for (const name of Object.keys(SHAPES)) {
      const button = make("button", { type: "button" }, name);
      button.addEventListener("click", () => begin(name));
      find("shapes").append(button);
    }
  }

  function prepareFiles() {
    find("file").addEventListener("change", (event) => {
      if (event.target.files.length) show(event.target.files[0]);
    });
    document.addEventListener("paste", (event) => {
      const file = event.clipboardData.files[0];
      if (file) show(file);
    });
    for (const kind of ["dragover", "drop", "dragleave"]) {
      document.addEventListener(kind, (event) => {
        event.preventDefault();
        canvas.classList.toggle("live-over", kind === "dragover");
        if (kind === "drop" && event.dataTransfer.files.length) show(event.dataTransfer.files[0]);
      });
    }
  }

  function prepareSamples() {
    for (const { name, png } of SEEDNET.samples) {
      const picture = make("img", { src: `data:image/png;base64,${png}`, alt: "", width: 48, height: 48 });
      const button = make("button", { type: "button", "aria-label": `Sample: ${name}`, title: name }, picture);
      button.addEventListener("click", () => show(new Blob([decoded(png)], { type: "image/png" })));
      find("samples").append(button);
    }
  }

  prepareDrawing();
  prepareFiles();
  prepareSamples();
  const first = find("samples").querySelector("button");
  if (first) first.click();
  else begin("red ring");
  return page;
})();

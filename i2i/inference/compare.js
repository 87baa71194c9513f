"use strict";
// Zoom and position of each row, difference maps, and the order of rows.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = [...document.querySelectorAll("article")];
  const controls = document.querySelector(".controls");
  const against = document.getElementById("against");
  const gain = document.getElementById("gain");
  controls.hidden = false;

  // ---- zoom and move: one state for all images of a row
  const resets = rows.map((row) => {
    const views = [...row.querySelectorAll(".view")];
    const parts = [...row.querySelectorAll(".view img, .view canvas")];
    let scale = 1, left = 0, top = 0, drag = null; // left and top: share of a view's width and height
    const show = () => {
      left = Math.min(0, Math.max(1 - scale, left));
      top = Math.min(0, Math.max(1 - scale, top));
      for (const part of parts) part.style.transform = `translate(${left * 100}%, ${top * 100}%) scale(${scale})`;
      row.classList.toggle("near", scale > 1);
    };
    const reset = () => { scale = 1; left = top = 0; show(); };
    for (const view of views) {
      view.addEventListener("wheel", (event) => {
        event.preventDefault();
        const box = view.getBoundingClientRect();
        const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
        const next = Math.min(32, Math.max(1, scale * Math.exp(-event.deltaY / 300)));
        left = x - (x - left) * next / scale;
        top = y - (y - top) * next / scale;
        scale = next;
        show();
      }, { passive: false });
      view.addEventListener("pointerdown", (event) => {
        view.setPointerCapture(event.pointerId);
        drag = { x: event.clientX, y: event.clientY, left, top };
      });
      view.addEventListener("pointermove", (event) => {
        if (!drag) return;
        const box = view.getBoundingClientRect();
        left = drag.left + (event.clientX - drag.x) / box.width;
        top = drag.top + (event.clientY - drag.y) / box.height;
        show();
      });
      for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, () => { drag = null; });
      view.addEventListener("dblclick", reset);
    }
    return reset;
  });
  document.getElementById("reset").addEventListener("click", () => resets.forEach((reset) => reset()));

  // ---- difference maps: black where equal, then blue, red, yellow, white
  const pixels = async (image) => {
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  };
  const heat = (value) => {
    const v = Math.min(1, value);
    return [Math.min(255, 600 * v), Math.max(0, Math.min(255, 510 * v - 200)), v < 0.35 ? 500 * v : v < 0.7 ? 350 - 500 * v : 850 * v - 595];
  };
  const drawRow = async (row) => {
    const chosen = Number(against.value);
    const images = [...row.querySelectorAll("img")], canvases = [...row.querySelectorAll("canvas")];
    if (chosen < 0) {
      canvases.forEach((canvas) => { canvas.hidden = true; });
      return;
    }
    const base = await pixels(images[chosen]);
    for (let i = 0; i < images.length; i++) {
      const other = await pixels(images[i]);
      const fits = other.width === base.width && other.height === base.height;
      if (i === chosen || i === 0 || !fits) { // the input stays, to compare with
        canvases[i].hidden = true;
        continue;
      }
      const context = canvases[i].getContext("2d");
      canvases[i].width = base.width;
      canvases[i].height = base.height;
      const map = context.createImageData(base.width, base.height);
      for (let p = 0; p < map.data.length; p += 4) {
        let sum = 0;
        for (let c = 0; c < 3; c++) sum += Math.abs(base.data[p + c] - other.data[p + c]);
        const [r, g, b] = heat(sum / 765 * Number(gain.value));
        map.data.set([r, g, b, 255], p);
      }
      context.putImageData(map, 0, 0);
      canvases[i].hidden = false;
    }
  };
  const draw = () => { for (const row of rows) drawRow(row); };
  against.addEventListener("change", draw);
  gain.addEventListener("input", () => {
    gain.nextElementSibling.textContent = gain.value;
    draw();
  });

  // ---- order and size
  document.getElementById("order").addEventListener("change", (event) => {
    const key = event.target.value;
    const value = (row) => data.orders[Number(row.dataset.row)][key];
    const sorted = [...rows].sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0));
    document.getElementById("rows").append(...sorted);
  });
  const side = document.getElementById("side");
  side.addEventListener("input", () => document.documentElement.style.setProperty("--side", `${side.value}px`));
})();

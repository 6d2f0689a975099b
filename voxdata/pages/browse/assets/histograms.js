// A histogram for each measurement: drag chooses a range, and so do the two fields below it. Drawn by uPlot, which the page
// loads before, when it comes into sight.

import { element } from "./server.js";

const HEIGHT_PX = 76;
const bars = uPlot.paths.bars({ size: [1, Infinity], gap: 1 });

function rounded(value) { return Number(value.toPrecision(4)); }

function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

// A drag goes on beyond the chart's edges, and a finger drags as a mouse does. uPlot passes over moves that moved nothing,
// and says so of every event that a script makes: how far the finger went is said here.
function hold(over) {
  const as = { pointerdown: "mousedown", pointermove: "mousemove", pointerup: "mouseup", pointercancel: "mouseup" };
  let last = [0, 0];
  for (const [type, name] of Object.entries(as)) over.addEventListener(type, (event) => {
    if (type === "pointerdown") over.setPointerCapture(event.pointerId);
    if (event.pointerType === "mouse") return;
    const { clientX, clientY } = event;
    const mouse = new MouseEvent(name, { clientX, clientY, button: 0, buttons: name === "mouseup" ? 0 : 1, bubbles: true });
    Object.defineProperties(mouse, { movementX: { value: clientX - last[0] }, movementY: { value: clientY - last[1] } });
    last = [clientX, clientY];
    over.dispatchEvent(mouse);
  });
}

class Histogram {
  constructor(measure, changed) {
    this.measure = measure; this.changed = changed; this.range = [null, null]; this.counts = null; this.chart = null;
    const unit = measure.unit ? ` (${measure.unit})` : "";
    const field = (side, label) => element("input", { type: "number", step: "any", "data-end": side, "aria-label": `${measure.label}${unit}, ${label}`,
      placeholder: label, on: { change: () => this.#typed() } });
    this.ends = [field("low", "at least"), field("high", "at most")];
    this.clear = element("button", { type: "button", hidden: true, "aria-label": `Clear the range of ${measure.label}`, on: { click: () => changed([null, null], true) } }, "Clear");
    this.chartBox = element("div", { class: "chart", "aria-hidden": "true" });
    this.box = element("section", { class: "measure", "data-measure": measure.key },
      element("h3", {}, `${measure.label}${unit}`), this.chartBox,
      element("div", { class: "ends" }, this.ends[0], "…", this.ends[1], this.clear));
  }

  set(ends) {
    this.range = ends ?? [null, null];
    const active = this.range.some((end) => end !== null);
    this.box.toggleAttribute("data-active", active);
    this.clear.hidden = !active;
    this.ends.forEach((field, side) => { field.value = this.range[side] ?? ""; });
    this.#select();
  }

  draw(counts) {
    this.counts = counts;
    const width = (counts.high - counts.low) / counts.all.length;
    const middles = counts.all.map((_, bin) => counts.low + (bin + .5) * width);
    const shown = counts.kept.map((kept, bin) => kept + counts.rejected[bin]);
    const data = [middles, counts.all, shown, counts.kept].map((column, row) => row && row < 4 ? column.map((value) => value || null) : column);
    this.chartBox.dataset.total = shown.reduce((sum, value) => sum + value, 0);
    if (this.chart) this.chart.setData(data); else this.chart = new uPlot(this.#options(), data, this.chartBox);
    this.#select();
  }

  redraw() { if (this.chart) { this.chart.destroy(); this.chart = null; this.draw(this.counts); } }

  #options() {
    const { low, high } = this.counts;
    const column = (scale, name) => ({ scale, fill: () => css(name), stroke: () => css(name), width: 0, paths: bars, points: { show: false } });
    const none = { show: false };
    const most = (u, least, top) => [0, Math.max(top ?? 1, 1)];
    return {
      width: this.chartBox.clientWidth, height: HEIGHT_PX, legend: none, padding: [4, 8, 0, 8],
      scales: { x: { time: false, range: [low, high] }, all: { range: most }, shown: { range: most } },
      series: [{}, column("all", "--all"), column("shown", "--rejected"), column("shown", "--kept")],
      axes: [{ stroke: () => css("--soft"), font: "10px system-ui, sans-serif", size: 20, gap: 2, ticks: { size: 3, width: 1, stroke: () => css("--edge") },
        grid: none, space: 44 }, { ...none, scale: "all" }, { ...none, scale: "shown" }],
      cursor: { x: true, y: false, points: none, drag: { x: true, y: false, setScale: false, dist: 3 },
        bind: {
          mousedown: (u, target, handler) => (event) => { this.dragging = event.button === 0; handler(event); },
          mouseup: (u, target, handler) => (event) => { this.dragging = false; handler(event); this.#select(); },
          dblclick: () => () => { this.changed([null, null], true); return null; },
        } },
      hooks: {
        ready: [(u) => hold(u.over)],
        setSelect: [(u) => { this.dragging = false; this.changed(this.#selected(u), true); }],
        setCursor: [(u) => { if (this.dragging && u.select.width > 3) this.changed(this.#selected(u), false); }],
        draw: [(u) => this.#limits(u)],
      },
    };
  }

  // What was dragged over; the edges of the chart stand for everything beyond them.
  #selected(u) {
    const { left, width } = u.select, whole = u.over.clientWidth;
    return [left <= 1 ? null : rounded(u.posToVal(left, "x")), left + width >= whole - 1 ? null : rounded(u.posToVal(left + width, "x"))];
  }

  #select() {
    if (!this.chart || this.dragging) return;
    const u = this.chart, whole = u.over.clientWidth, [low, high] = this.range;
    const at = (value, otherwise) => value === null ? otherwise : Math.max(0, Math.min(whole, u.valToPos(value, "x")));
    const left = at(low, 0), width = low === null && high === null ? 0 : Math.max(1, at(high, whole) - left);
    u.setSelect({ left, top: 0, width, height: width ? u.over.clientHeight : 0 }, false);
  }

  #limits(u) {
    for (const limit of [this.measure.low, this.measure.high]) if (limit !== null && limit >= this.counts.low && limit <= this.counts.high) {
      const x = Math.round(u.valToPos(limit, "x", true));
      u.ctx.save();
      u.ctx.strokeStyle = css("--ink"); u.ctx.lineWidth = devicePixelRatio; u.ctx.setLineDash([4, 3]);
      u.ctx.beginPath(); u.ctx.moveTo(x, u.bbox.top); u.ctx.lineTo(x, u.bbox.top + u.bbox.height); u.ctx.stroke();
      u.ctx.restore();
    }
  }

  #typed() {
    const typed = this.ends.map((field) => field.value === "" ? null : Number(field.value));
    const [low, high] = typed;
    this.changed(low !== null && high !== null && low > high ? [high, low] : typed, true);
  }
}

export class Histograms {
  // changed(key, [low, high], whether the drag has ended); seen() when others have come into sight.
  constructor(box, { changed, seen }) {
    this.box = box; this.changed = changed; this.all = new Map(); this.inSight = new Set();
    this.watch = new IntersectionObserver((entries) => {
      let news = false;
      for (const entry of entries) {
        const { measure } = entry.target.dataset;
        if (entry.isIntersecting) { news ||= !this.inSight.has(measure); this.inSight.add(measure); } else this.inSight.delete(measure);
      }
      if (news) seen();
    }, { root: box.parentElement, rootMargin: "60px 0px" });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const each of this.all.values()) each.redraw(); });
  }

  list(measures) {
    this.watch.disconnect(); this.inSight.clear(); this.all.clear();
    for (const measure of measures) this.all.set(measure.key, new Histogram(measure, (ends, ended) => this.changed(measure.key, ends, ended)));
    this.box.replaceChildren(...[...this.all.values()].map((each) => each.box));
    for (const each of this.all.values()) this.watch.observe(each.box);
  }

  find(words) {
    const wanted = words.trim().toLowerCase();
    for (const each of this.all.values()) each.box.hidden = !`${each.measure.label} ${each.measure.key}`.toLowerCase().includes(wanted);
  }

  set(ranges) { for (const [key, each] of this.all) each.set(ranges[key]); }

  draw(histograms) { for (const [key, counts] of Object.entries(histograms)) this.all.get(key)?.draw(counts); }
}

"use strict";
/* The model's operators on a canvas: places stay, colours follow the placement. */
const GraphView = (() => {
  const BOX_W = 132, BOX_H = 32, MOST_ZOOM = 3;
  const clipped = (value, low, high) => Math.min(Math.max(value, low), high);

  class View {
    constructor(data, units, onChoose) {
      this.canvas = document.getElementById("graph");
      this.data = data;
      this.units = units;
      this.onChoose = onChoose;
      this.placed = null;
      this.kernels = [];
      this.hits = new Set();
      this.order = [];
      this.at = -1;
      this.chosen = -1;
      this.right = Math.max(0, ...data.x) + BOX_W;
      this.bottom = Math.max(0, ...data.y) + BOX_H;
      this.zoom = 1;
      this.left = this.top = 0;
      this.size();
      this.all();
      this.listen();
    }

    show(placed, kernels) {
      this.placed = placed;
      this.kernels = kernels;
      if (!this.width) { this.size(); this.all(); }
      this.redraw();
    }

    size() {
      const box = this.canvas.getBoundingClientRect(), dots = Math.max(devicePixelRatio || 1, 1);
      this.width = box.width;
      this.height = box.height;
      this.canvas.width = Math.round(box.width * dots);
      this.canvas.height = Math.round(box.height * dots);
      this.canvas.getContext("2d").setTransform(dots, 0, 0, dots, 0, 0);
      this.least = Math.min(1, Math.max((box.width - 24) / this.right, 0.001), Math.max((box.height - 24) / this.bottom, 0.001));
    }

    all() {
      this.zoom = this.least;
      this.left = (this.width - this.right * this.zoom) / 2;
      this.top = (this.height - this.bottom * this.zoom) / 2;
    }

    redraw() {
      if (this.asked) return;
      this.asked = true;
      requestAnimationFrame(() => { this.asked = false; this.draw(); });
    }

    arrow(pen, a, b) {
      const {x, y, row} = this.data, x1 = x[a] + BOX_W, y1 = y[a] + BOX_H / 2, x2 = x[b], y2 = y[b] + BOX_H / 2;
      pen.moveTo(x1, y1);
      if (row[a] === row[b]) {
        const bend = Math.min((x2 - x1) / 2, 40);
        pen.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2, y2);
        return;
      }
      pen.lineTo(x1 + 14, y1);
      pen.moveTo(x2 - 14, y2);
      pen.lineTo(x2, y2);
    }

    lines(pen, keep) {
      const {x, y, row, arrows} = this.data;
      pen.beginPath();
      for (let i = 0; i < arrows.length; i += 2) {
        const a = arrows[i], b = arrows[i + 1];
        const inView = this.seen(a) || this.seen(b) || (row[a] === row[b] && x[a] < this.x1 && x[b] > this.x0 && y[a] < this.y1 && y[a] > this.y0);
        if (inView && keep(a, b)) this.arrow(pen, a, b);
      }
      pen.stroke();
    }

    seen(i) {
      const {x, y} = this.data;
      return x[i] + BOX_W > this.x0 && x[i] < this.x1 && y[i] + BOX_H > this.y0 && y[i] < this.y1;
    }

    draw() {
      if (!this.placed || !this.width) return;
      const pen = this.canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue(`--${name}`).trim();
      const {unit, kernel} = this.placed, {x, y} = this.data;
      pen.clearRect(0, 0, this.width, this.height);
      pen.save();
      pen.translate(this.left, this.top);
      pen.scale(this.zoom, this.zoom);
      this.x0 = -this.left / this.zoom;
      this.y0 = -this.top / this.zoom;
      this.x1 = this.x0 + this.width / this.zoom;
      this.y1 = this.y0 + this.height / this.zoom;
      pen.strokeStyle = colour("link");
      pen.lineWidth = Math.max(1, 0.6 / this.zoom);
      pen.globalAlpha = 0.6;
      this.lines(pen, () => true);
      pen.globalAlpha = 1;
      this.units.forEach((_, u) => {
        pen.strokeStyle = pen.fillStyle = colour(`u${u}`);
        pen.lineWidth = 8;
        this.lines(pen, (a, b) => kernel[a] === kernel[b] && unit[a] === u);
        const grown = this.zoom < 0.12 ? Math.min(0.8 / this.zoom, 16) : 0;
        for (let i = 0; i < x.length; i++) {
          if (unit[i] !== u || !this.seen(i)) continue;
          pen.globalAlpha = this.hits.size && !this.hits.has(i) ? 0.25 : 1;
          pen.fillRect(x[i] - grown / 2, y[i] - grown / 2, BOX_W + grown, BOX_H + grown);
        }
        pen.globalAlpha = 1;
      });
      if (this.zoom > 0.3) this.label(pen, colour("paper"));
      if (this.chosen >= 0) {
        pen.strokeStyle = colour("ink");
        pen.lineWidth = Math.max(2, 1.5 / this.zoom);
        this.lines(pen, (a, b) => a === this.chosen || b === this.chosen);
        pen.lineWidth = Math.max(3, 2.5 / this.zoom);
        pen.strokeRect(x[this.chosen] - 3, y[this.chosen] - 3, BOX_W + 6, BOX_H + 6);
      }
      pen.restore();
    }

    label(pen, colour) {
      const {x, y, op} = this.data;
      pen.fillStyle = colour;
      pen.textBaseline = "middle";
      pen.font = `600 ${clipped(9.5 / this.zoom, 12, 26)}px system-ui, sans-serif`;
      for (let i = 0; i < x.length; i++) if (this.seen(i)) pen.fillText(op[i], x[i] + 8, y[i] + BOX_H / 2, BOX_W - 16);
    }

    zoomTo(factor, x = this.width / 2, y = this.height / 2) {
      const next = clipped(this.zoom * factor, this.least * 0.8, MOST_ZOOM);
      this.left = x - (x - this.left) * next / this.zoom;
      this.top = y - (y - this.top) * next / this.zoom;
      this.zoom = next;
      this.redraw();
    }

    choose(i) {
      this.chosen = i;
      this.onChoose(i);
      this.redraw();
    }

    centre(i) {
      this.zoom = Math.max(this.zoom, 1);
      this.left = this.width / 2 - (this.data.x[i] + BOX_W / 2) * this.zoom;
      this.top = this.height / 2 - (this.data.y[i] + BOX_H / 2) * this.zoom;
    }

    hit(event) {
      const box = this.canvas.getBoundingClientRect();
      const x = (event.clientX - box.left - this.left) / this.zoom, y = (event.clientY - box.top - this.top) / this.zoom;
      const spare = Math.min(6 / this.zoom, 14);
      return this.data.x.findIndex((left, i) => x >= left - spare && x <= left + BOX_W + spare && y >= this.data.y[i] - spare && y <= this.data.y[i] + BOX_H + spare);
    }

    search(text, found) {
      const words = text.toLowerCase().split(/\s+/).filter(Boolean), {op, name} = this.data;
      this.order = words.length ? op.map((_, i) => i).filter((i) => words.every((word) => `${op[i]} ${name[i]}`.toLowerCase().includes(word))) : [];
      this.hits = new Set(this.order);
      this.at = -1;
      found.textContent = words.length ? `${this.order.length.toLocaleString("en")} found${this.order.length ? "; Enter goes through them" : ""}` : "";
      this.redraw();
    }

    step() {
      if (!this.order.length) return;
      this.at = (this.at + 1) % this.order.length;
      this.centre(this.order[this.at]);
      this.choose(this.order[this.at]);
    }

    key(event) {
      const last = this.data.x.length - 1;
      if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
        const next = clipped(this.chosen + (event.key === "ArrowRight" ? 1 : -1), 0, last);
        this.choose(next);
        if (!this.seen(next)) this.centre(next);
      } else if (event.key === "+" || event.key === "-") this.zoomTo(event.key === "+" ? 1.5 : 1 / 1.5);
      else if (event.key === "0") { this.all(); this.redraw(); }
      else if (event.key === "Escape") this.choose(-1);
      else return;
      event.preventDefault();
    }

    listen() {
      const canvas = this.canvas;
      let grip = null;
      canvas.addEventListener("pointerdown", (event) => {
        grip = {x: event.clientX, y: event.clientY, left: this.left, top: this.top, moved: false};
        canvas.setPointerCapture(event.pointerId);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (!grip) {
          const i = this.placed ? this.hit(event) : -1;
          if (i >= 0) canvas.dataset.t = `${this.data.op[i]} ${this.data.name[i]}\n${this.kernels[this.placed.kernel[i]]}`;
          else delete canvas.dataset.t;
          return;
        }
        const dx = event.clientX - grip.x, dy = event.clientY - grip.y;
        grip.moved ||= Math.hypot(dx, dy) > 4;
        if (!grip.moved) return;
        this.left = grip.left + dx;
        this.top = grip.top + dy;
        this.redraw();
      });
      canvas.addEventListener("pointerup", (event) => {
        if (grip && !grip.moved) this.choose(this.hit(event));
        grip = null;
      });
      canvas.addEventListener("pointercancel", () => { grip = null; });
      canvas.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const box = canvas.getBoundingClientRect();
        this.zoomTo(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
      }, {passive: false});
      canvas.addEventListener("keydown", (event) => this.key(event));
      document.querySelector("#graph-section .tools").addEventListener("click", (event) => {
        const what = event.target.dataset?.do;
        if (what === "all") { this.all(); this.redraw(); }
        else if (what) this.zoomTo(what === "in" ? 1.6 : 1 / 1.6);
      });
      const find = document.getElementById("graph-find");
      find.addEventListener("input", () => this.search(find.value, document.getElementById("graph-found")));
      find.addEventListener("keydown", (event) => { if (event.key === "Enter") this.step(); });
      new ResizeObserver(() => {
        const whole = this.zoom === this.least || !this.width;
        this.size();
        if (whole) this.all();
        this.draw();
      }).observe(canvas);
      matchMedia("(prefers-color-scheme:dark)").addEventListener("change", () => this.redraw());
    }
  }
  return {View};
})();

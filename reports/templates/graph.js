(() => {
  const canvas = document.getElementById("graph");
  const told = document.getElementById("graph-told");
  const found = document.getElementById("graph-found");
  const find = document.getElementById("graph-find");
  const rows = Array.from(document.getElementById("ops").tBodies[0].rows);
  const units = Array.from(document.querySelectorAll("#graph-section .keys span"), (key) => key.textContent);
  const cell = (i, column) => rows[i].cells[column].textContent.trim();
  const BOX_W = 132, BOX_H = 32, COLUMN = 168, MOST_ZOOM = 3;
  let data = null, types = [], times = [], hits = new Set(), order = [], at = -1, chosen = -1;
  let zoom = 1, left = 0, top = 0, least = 0.01, width = 0, height = 0, asked = false;

  const read = () => {
    data = JSON.parse(document.getElementById("graph-data").textContent);
    types = rows.map((row, i) => cell(i, 2));
    times = rows.map((row, i) => `${Number(cell(i, 7)).toPrecision(2)} ms`);
    data.right = Math.max(0, ...data.x) + BOX_W;
    data.bottom = Math.max(0, ...data.y) + BOX_H;
    data.end = data.row.reduce((ends, row, i) => { ends[row] = Math.max(ends[row] ?? 0, data.x[i] + BOX_W); return ends; }, []);
  };
  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const named = (name) => style.getPropertyValue(`--${name}`).trim();
    return {units: units.map((unit, u) => named(`u${u}`)), paper: named("paper"), ink: named("ink"), line: named("link"), accent: named("accent")};
  };
  const size = () => {
    const box = canvas.getBoundingClientRect();
    width = box.width;
    height = box.height;
    const dots = Math.max(devicePixelRatio || 1, 1);
    canvas.width = Math.round(width * dots);
    canvas.height = Math.round(height * dots);
    canvas.getContext("2d").setTransform(dots, 0, 0, dots, 0, 0);
    least = Math.min(1, (width - 24) / data.right, (height - 24) / data.bottom);
  };
  const all = () => {
    zoom = least;
    left = (width - data.right * zoom) / 2;
    top = (height - data.bottom * zoom) / 2;
  };
  const clipped = (value, low, high) => Math.min(Math.max(value, low), high);
  const arrow = (pen, giver, reader) => {
    const x1 = data.x[giver] + BOX_W, y1 = data.y[giver] + BOX_H / 2, x2 = data.x[reader], y2 = data.y[reader] + BOX_H / 2;
    if (data.row[giver] === data.row[reader]) {
      const bend = Math.min((x2 - x1) / 2, 40);
      pen.moveTo(x1, y1);
      pen.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2, y2);
      return;
    }
    pen.moveTo(x1, y1);
    pen.lineTo(x1 + 14, y1);
    pen.moveTo(x2 - 14, y2);
    pen.lineTo(x2, y2);
  };
  const draw = () => {
    asked = false;
    const pen = canvas.getContext("2d"), shade = colours();
    pen.clearRect(0, 0, width, height);
    pen.save();
    pen.translate(left, top);
    pen.scale(zoom, zoom);
    const x0 = -left / zoom, y0 = -top / zoom, x1 = x0 + width / zoom, y1 = y0 + height / zoom;
    const seen = (i) => data.x[i] + BOX_W > x0 && data.x[i] < x1 && data.y[i] + BOX_H > y0 && data.y[i] < y1;
    pen.beginPath();
    for (let i = 0; i < data.arrows.length; i += 2) {
      const a = data.arrows[i], b = data.arrows[i + 1];
      if (seen(a) || seen(b) || (data.row[a] === data.row[b] && data.x[a] < x1 && data.x[b] > x0)) arrow(pen, a, b);
    }
    pen.strokeStyle = shade.line;
    pen.lineWidth = Math.max(1, 0.6 / zoom);
    pen.globalAlpha = 0.6;
    pen.stroke();
    const grown = zoom < 0.12 ? Math.min(0.8 / zoom, 16) : 0;
    units.forEach((unit, u) => {
      pen.fillStyle = shade.units[u];
      for (let i = 0; i < data.x.length; i++) {
        if (data.unit[i] !== u || !seen(i)) continue;
        pen.globalAlpha = hits.size && !hits.has(i) ? 0.25 : 1;
        pen.fillRect(data.x[i] - grown / 2, data.y[i] - grown / 2, BOX_W + grown, BOX_H + grown);
      }
    });
    pen.globalAlpha = 1;
    if (zoom > 0.3) label(pen, shade, seen);
    if (chosen >= 0) mark(pen, shade);
    pen.restore();
  };
  const label = (pen, shade, seen) => {
    pen.fillStyle = shade.paper;
    pen.textBaseline = "middle";
    for (let i = 0; i < data.x.length; i++) {
      if (!seen(i)) continue;
      const both = zoom > 0.75, middle = data.y[i] + BOX_H / 2;
      pen.font = `600 ${clipped(9.5 / zoom, 12, 26)}px system-ui, sans-serif`;
      pen.fillText(types[i], data.x[i] + 8, both ? middle - 6.5 : middle, BOX_W - 16);
      if (!both) continue;
      pen.font = "10.5px system-ui, sans-serif";
      pen.fillText(times[i], data.x[i] + 8, middle + 8, BOX_W - 16);
    }
  };
  const mark = (pen, shade) => {
    pen.strokeStyle = shade.ink;
    pen.lineWidth = Math.max(2, 1.5 / zoom);
    pen.beginPath();
    for (let i = 0; i < data.arrows.length; i += 2) {
      const a = data.arrows[i], b = data.arrows[i + 1];
      if (a !== chosen && b !== chosen) continue;
      arrow(pen, a, b);
      if (data.row[a] !== data.row[b]) {
        pen.moveTo(data.x[a] + BOX_W, data.y[a] + BOX_H / 2);
        pen.lineTo(data.x[b], data.y[b] + BOX_H / 2);
      }
    }
    pen.stroke();
    pen.lineWidth = Math.max(3, 2.5 / zoom);
    pen.strokeRect(data.x[chosen] - 3, data.y[chosen] - 3, BOX_W + 6, BOX_H + 6);
  };
  const redraw = () => {
    if (asked || !data) return;
    asked = true;
    requestAnimationFrame(draw);
  };
  const zoomTo = (factor, x = width / 2, y = height / 2) => {
    const next = clipped(zoom * factor, least * 0.8, MOST_ZOOM);
    left = x - (x - left) * next / zoom;
    top = y - (y - top) * next / zoom;
    zoom = next;
    redraw();
  };
  const centre = (i) => {
    zoom = Math.max(zoom, Math.min(1, MOST_ZOOM));
    left = width / 2 - (data.x[i] + BOX_W / 2) * zoom;
    top = height / 2 - (data.y[i] + BOX_H / 2) * zoom;
    redraw();
  };
  const add = (parent, tag, text) => {
    const made = document.createElement(tag);
    made.textContent = text;
    parent.append(made);
    return made;
  };
  const STATUS = {native: "takes it", lowered: "takes it, rewritten", taken: "takes it", unsupported: "refuses it", accepted_then_fails: "accepts it, then fails", ruled_out: "ruled out"};
  const tell = (i) => {
    told.replaceChildren();
    told.hidden = i < 0;
    if (i < 0) return;
    const close = add(told, "button", "×");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    close.addEventListener("click", () => choose(-1));
    add(told, "b", types[i]);
    add(told, "p", rows[i].cells[1].innerText || cell(i, 1)).className = "names";
    const facts = add(told, "dl", "");
    const limit = cell(i, 8) ? `, ${cell(i, 8)} bound` : "";
    [["Runs on", `${cell(i, 3)} in ${cell(i, 4)}, segment ${cell(i, 6)}`], ["Cost", `${cell(i, 7)} ms${limit}`],
      ["Evidence", cell(i, 9)], ["Kernel", cell(i, 5)], ["Shapes", cell(i, 10)]].forEach(([term, value]) => {
      add(facts, "dt", term);
      add(facts, "dd", value);
    });
    data.answers[i].forEach(([u, text, cost]) => {
      const [status, reason, source] = data.texts[text];
      const line = add(told, "p", "");
      add(line, "i", "").className = `key u${u}`;
      add(line, "b", `${units[u]} `);
      line.append(`${STATUS[status] ?? status}${cost === null ? "" : `, ${cost} ms`}${reason ? `: ${reason}` : ""}`);
      if (source) add(line, "small", source);
    });
  };
  const choose = (i) => {
    chosen = i;
    tell(i);
    redraw();
  };
  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left - left) / zoom, y = (event.clientY - box.top - top) / zoom;
    const slack = zoom < 0.3 ? 4 / zoom : 0;
    let best = -1, miss = Infinity;
    for (let i = 0; i < data.x.length; i++) {
      const dx = Math.max(data.x[i] - x, 0, x - data.x[i] - BOX_W), dy = Math.max(data.y[i] - y, 0, y - data.y[i] - BOX_H);
      if (dx <= slack && dy <= slack && dx + dy < miss) [best, miss] = [i, dx + dy];
    }
    return best;
  };
  const search = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    order = [];
    if (words.length) rows.forEach((row, i) => {
      const text = row.textContent.toLowerCase();
      if (words.every((word) => text.includes(word))) order.push(i);
    });
    hits = new Set(order);
    at = -1;
    found.textContent = words.length ? `${order.length.toLocaleString("en")} found${order.length ? "; Enter for the next" : ""}` : "";
    redraw();
  };
  const step = () => {
    if (!order.length) return;
    at = (at + 1) % order.length;
    choose(order[at]);
    centre(order[at]);
    found.textContent = `${(at + 1).toLocaleString("en")} of ${order.length.toLocaleString("en")}`;
  };
  let grip = null;
  const listen = () => {
    canvas.addEventListener("pointerdown", (event) => {
      grip = {x: event.clientX, y: event.clientY, left, top, moved: false};
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!grip) return;
      const dx = event.clientX - grip.x, dy = event.clientY - grip.y;
      grip.moved ||= Math.abs(dx) + Math.abs(dy) > 4;
      if (grip.moved) [left, top] = [grip.left + dx, grip.top + dy];
      redraw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (grip && !grip.moved) choose(under(event));
      grip = null;
    });
    canvas.addEventListener("pointercancel", () => { grip = null; });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      zoomTo(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
    }, {passive: false});
    canvas.addEventListener("dblclick", (event) => {
      const box = canvas.getBoundingClientRect();
      zoomTo(Math.max(2, 0.8 / zoom), event.clientX - box.left, event.clientY - box.top);
    });
    canvas.addEventListener("keydown", (event) => {
      const moves = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]};
      if (moves[event.key]) [left, top] = [left + moves[event.key][0], top + moves[event.key][1]];
      else if (event.key === "+" || event.key === "-") zoomTo(event.key === "+" ? 1.5 : 1 / 1.5);
      else if (event.key === "0") all();
      else if (event.key === "Escape") choose(-1);
      else return;
      event.preventDefault();
      redraw();
    });
    document.getElementById("graph-tools").addEventListener("click", (event) => {
      const what = event.target.dataset ? event.target.dataset.do : "";
      if (what === "all") { all(); redraw(); }
      else if (what) zoomTo(what === "in" ? 1.6 : 1 / 1.6);
    });
    find.addEventListener("input", search);
    find.addEventListener("keydown", (event) => { if (event.key === "Enter") step(); });
  };
  const open = () => {
    if (data) return;
    read();
    size();
    all();
    listen();
    draw();
  };
  const again = () => {
    if (!data) return;
    const whole = zoom === least;
    size();
    if (whole) all();
    draw();
  };
  if ("IntersectionObserver" in window) new IntersectionObserver((seen, watcher) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    open();
  }, {rootMargin: "200px"}).observe(canvas);
  else open();
  addEventListener("resize", again);
  addEventListener("beforeprint", () => { open(); again(); });
  addEventListener("afterprint", again);
  ["(prefers-color-scheme:dark)", "print"].forEach((query) => matchMedia(query).addEventListener("change", again));
})();

"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const {make, Panel} = Controls;
  const EMPTY = () => ({set: {}, gain: {}, lose: {}, remove: [], allow: [], objective: "latency"});
  const SOON_MS = 30, SLOW_SOON_MS = 250, SLOW_MS = 1000, QUIET_MS = 150;
  let model = null, panel = null, graph = null, settings = EMPTY();
  let timer = 0, request = null, lastTook = 0, shown = null, solves = 0;

  const ask = async (path, content, signal) => {
    const answer = await fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(content), signal});
    if (answer.status === 403) throw new Error(await answer.text());
    return answer;
  };
  const lines = async function* (answer) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const {done, value} = await reader.read();
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) yield JSON.parse(part);
    }
    if (rest.trim()) yield JSON.parse(rest);
  };

  const fail = (text) => {
    byId("error").hidden = !text;
    byId("error").textContent = text;
    document.body.classList.toggle("failed", Boolean(text));
  };
  const working = (stage, began) => {
    const spent = (performance.now() - began) / 1000;
    byId("stage").textContent = stage ? `${stage[0].toUpperCase()}${stage.slice(1)} … ${spent >= 1 ? `${spent.toFixed(0)} s` : ""}` : "";
  };

  const solve = async () => {
    request?.abort();
    const mine = request = new AbortController();
    const began = performance.now(), asked = JSON.stringify(settings);
    let stage = "solving";
    document.body.dataset.state = "solving";
    const late = setTimeout(() => { byId("busy").hidden = false; document.body.classList.add("stale"); }, QUIET_MS);
    const clock = setInterval(() => working(performance.now() - began > 400 ? stage : "", began), 200);
    try {
      const answer = await ask("/solve", settings, mine.signal);
      let ended = false;
      for await (const line of lines(answer)) {
        if (line.stage) stage = line.stage;
        if (line.error || line.solved) ended = true;
        if (line.error) fail(line.error);
        if (line.first) {
          fail("");
          show(line.first, asked);
          document.body.classList.remove("stale");
          clearTimeout(late);
          byId("busy").hidden = false;
        }
        if (line.solved) { fail(""); show(line.solved, asked); }
      }
      if (!ended) fail("Studio stopped in the middle of this; its terminal says why.");
    } catch (error) {
      if (mine.signal.aborted) return;
      fail(error instanceof TypeError ? "Studio no longer answers: start it again, then reload the page." : String(error.message));
    } finally {
      clearTimeout(late);
      clearInterval(clock);
      if (request === mine) {
        lastTook = performance.now() - began;
        document.body.dataset.state = "idle";
        document.body.dataset.solves = String(++solves);
        document.body.dataset.took = lastTook.toFixed(0);
        byId("busy").hidden = true;
        document.body.classList.remove("stale");
        working("", began);
      }
    }
  };
  const changed = () => {
    const list = panel.changes();
    byId("reset").disabled = !list.length && settings.objective === "latency";
    byId("changes").hidden = !list.length;
    byId("changes").replaceChildren();
    for (const change of list) {
      const chip = make(byId("changes"), "button", {type: "button", className: "chip"}, `${change.text}\u00a0×`);
      chip.title = "Take this change back";
      chip.addEventListener("click", () => { change.undo(); panel.refresh(); changed(); });
    }
    history.replaceState(null, "", list.length || settings.objective !== "latency" ? `#${encodeURIComponent(JSON.stringify(settings))}` : location.pathname);
    document.body.dataset.state = "waiting";
    clearTimeout(timer);
    timer = setTimeout(solve, lastTook > SLOW_MS ? SLOW_SOON_MS : SOON_MS);
  };

  const show = (solved, asked) => {
    shown = solved;
    byId("pictures").hidden = false;
    byId("value").textContent = solved.value;
    byId("sentence").textContent = solved.sentence;
    byId("against").textContent = solved.against.text;
    byId("against").className = solved.against.is_better === null ? "" : solved.against.is_better ? "better" : "worse";
    byId("figures").replaceChildren(...solved.figures.flatMap((figure) => {
      const term = document.createElement("dt"), told = document.createElement("dd");
      term.textContent = figure.label;
      told.textContent = figure.value;
      make(told, "small", {}, figure.note);
      return [term, told];
    }));
    showBars(solved.bars);
    showShares(solved.shares);
    showTimeline(solved.timeline);
    graph.show(solved.graph, solved.kernels);
    showFallbacks(solved.fallbacks);
    if (graph.chosen >= 0) tell(graph.chosen, asked);
  };
  const showBars = (bars) => {
    const root = byId("bars");
    while (root.children.length > bars.length) root.lastChild.remove();
    bars.forEach((bar, i) => {
      const row = root.children[i] ?? make(root, "div");
      if (!row.children.length) {
        make(row, "span", {className: "name"});
        make(make(row, "span", {className: "track"}), "i");
        make(row, "span", {className: "value"});
      }
      row.className = `bar ${bar.style}`;
      row.title = bar.title;
      row.children[0].textContent = bar.title;
      row.children[1].firstChild.style.width = `${bar.width}%`;
      row.children[2].textContent = bar.text;
    });
  };
  const showShares = (shares) => {
    const root = byId("shares");
    root.replaceChildren();
    const stack = make(make(root, "div", {className: "stack"}), "div");
    for (const each of shares) {
      const part = make(stack, "i", {className: each.style});
      part.style.flexGrow = each.share.toFixed(5);
      part.dataset.t = `${each.label}: ${each.text}`;
    }
    const keys = make(root, "p", {className: "keys"});
    for (const each of shares) {
      const key = make(keys, "span");
      make(key, "i", {className: `key ${each.style}`});
      key.append(`${each.label} ${each.text}${each.operators ? `, ${each.operators.toLocaleString("en")} operators` : ""}`);
    }
  };
  const showTimeline = (svg) => {
    const root = byId("timeline"), zoomed = root.querySelector("[aria-pressed=true]")?.dataset.z;
    root.innerHTML = svg;
    const wide = root.querySelector(".wide"), buttons = Array.from(root.querySelectorAll("[data-z]"));
    const zoom = (factor) => {
      wide.style.width = `${Number(factor) * 100}%`;
      buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.z === factor)));
      fitLabels();
    };
    buttons.forEach((button) => button.addEventListener("click", () => zoom(button.dataset.z)));
    if (zoomed && buttons.length) zoom(zoomed);
    else fitLabels();
  };
  const fitLabels = () => {
    const svg = byId("time");
    if (!svg) return;
    const width = svg.getBoundingClientRect().width;
    for (const label of svg.querySelectorAll("text[data-w]")) label.toggleAttribute("hidden", label.textContent.length * 6.2 + 6 > width * Number(label.dataset.w) / 100);
  };
  const showFallbacks = (fallbacks) => {
    byId("falls-section").hidden = !fallbacks.length;
    byId("falls").replaceChildren();
    for (const each of fallbacks) {
      const row = make(byId("falls"), "tr");
      make(row, "td", {className: "op"}, each.op);
      const where = make(row, "td");
      make(where, "i", {className: `key ${each.style}`});
      where.append(each.unit);
      const why = make(row, "td", {className: "why"}, each.reason);
      if (each.source) make(why, "small", {}, each.source);
      make(row, "td", {className: "n"}, String(each.count));
      make(row, "td", {className: "n strong"}, each.cost_ms);
    }
  };

  const STATUS = {native: "takes it", lowered: "takes it, rewritten", unsupported: "refuses it", accepted_then_fails: "accepts it, then fails"};
  const tell = async (index, asked = JSON.stringify(settings)) => {
    const told = byId("graph-told");
    told.hidden = index < 0;
    if (index < 0) return;
    const answer = await (await ask("/operator", {...JSON.parse(asked), index})).json();
    if (graph.chosen !== index) return;
    told.replaceChildren();
    const close = make(told, "button", {type: "button"}, "×");
    close.setAttribute("aria-label", "Close");
    close.addEventListener("click", () => graph.choose(-1));
    if (answer.error) { make(told, "p", {}, answer.error); return; }
    make(told, "b", {}, answer.op);
    make(told, "small", {}, answer.name);
    const fused = answer.fused ? `, one kernel with ${answer.fused} more` : "";
    make(told, "p", {}, `${answer.kernel} on ${model.units.find((unit) => unit.name === answer.unit).label} in ${answer.dtype}: ${answer.cost}${fused}`);
    for (const each of answer.answers) {
      const line = make(told, "p");
      const u = model.units.findIndex((unit) => unit.name === each.unit);
      make(line, "i", {className: `key u${u}`});
      line.append(`${model.units[u].label} ${STATUS[each.verdict] ?? each.verdict}${each.cost ? `, ${each.cost} by itself` : ""}`);
      if (each.reason) make(line, "small", {}, each.reason);
      if (each.source) make(line, "small", {}, each.source);
    }
  };

  const say = (text) => {
    byId("toast").textContent = text;
    byId("toast").hidden = false;
    clearTimeout(say.timer);
    say.timer = setTimeout(() => { byId("toast").hidden = true; }, 6000);
  };
  const save = async (path, how) => {
    try {
      const file = await (await ask(path, settings)).json();
      if (file.error) { fail(file.error); return; }
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([file.text], {type: "application/toml"}));
      link.download = file.name;
      link.click();
      URL.revokeObjectURL(link.href);
      say(`${file.name} is with your downloads: ${how(file.name)}`);
    } catch (error) {
      fail(String(error.message));
    }
  };
  const options = () => [...settings.allow.map((text) => ` --allow ${text}`), settings.objective === "latency" ? "" : ` --objective ${settings.objective}`].join("");

  document.addEventListener("pointermove", (event) => {
    const tip = byId("tip"), mark = event.target.closest?.("[data-i],[data-t]");
    const text = mark?.dataset.t ?? (mark && shown ? shown.kernels[Number(mark.dataset.i)] : "");
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const box = tip.getBoundingClientRect(), below = event.clientY + 18;
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${below + box.height > innerHeight ? event.clientY - box.height - 12 : below}px`;
  });
  addEventListener("resize", fitLabels);

  const remembered = () => {
    try {
      return {...EMPTY(), ...JSON.parse(decodeURIComponent(location.hash.slice(1)))};
    } catch {
      return EMPTY();
    }
  };
  const start = async () => {
    document.body.dataset.state = "starting";
    byId("busy").hidden = false;
    const began = performance.now();
    let stage = "reading the model";
    const clock = setInterval(() => working(stage, began), 200);
    try {
      for await (const line of lines(await ask("/solve", EMPTY()))) {
        if (line.stage) stage = line.stage;
        if (line.error) { fail(line.error); return; }
      }
      model = await (await fetch("/model")).json();
      if (model.error) { fail(model.error); return; }
    } catch {
      fail("Studio no longer answers: start it again, then reload the page.");
      return;
    } finally {
      clearInterval(clock);
    }
    settings = remembered();
    byId("where").textContent = `${model.model} on ${model.chip}, ${model.runtime}`;
    if (model.has_power) make(byId("objective"), "option", {value: "energy"}, "energy");
    byId("objective").value = settings.objective;
    byId("objective").addEventListener("change", (event) => { settings.objective = event.target.value; changed(); });
    for (const unit of model.units) {
      const key = make(byId("keys"), "span");
      make(key, "i", {className: `key u${model.units.indexOf(unit)}`});
      key.append(unit.label);
    }
    const build = () => {
      panel = new Panel(model, settings, changed);
      panel.build(byId("groups"));
    };
    byId("reset").addEventListener("click", () => {
      settings = EMPTY();
      byId("objective").value = settings.objective;
      build();
      changed();
    });
    byId("save-soc").addEventListener("click", () => save("/soc-file", (name) => `partita place MODEL --soc ${name}${options()}`));
    byId("save-study").addEventListener("click", () => save("/study-file", (name) => `partita study ${name}`));
    byId("pictures").hidden = false;
    graph = new GraphView.View(model.graph, model.units, (index) => tell(index));
    byId("pictures").hidden = true;
    build();
    changed();
  };
  start();
})();

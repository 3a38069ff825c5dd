"use strict";
/* The panel: a slider for each number, a switch for each unit, type and operator. Tells `onChange` of every move. */
const Controls = (() => {
  const STEPS = 400;
  const make = (parent, tag, props = {}, text = "") => {
    const made = document.createElement(tag);
    Object.assign(made, props);
    if (text) made.textContent = text;
    parent.append(made);
    return made;
  };
  const plain = (value) => String(Number(Number(value).toPrecision(4)));
  const scaleOf = (knob) => knob.measure === "bytes" ? {by: 1e6, measure: "MB"} : {by: 1, measure: knob.measure.replace(/^us$/, "µs")};
  const told = (knob, value) => `${plain(value / scaleOf(knob).by)} ${scaleOf(knob).measure}`.trim();
  const share = (knob, value) => {
    const at = knob.is_log ? Math.log(value / knob.least) / Math.log(knob.most / knob.least) : (value - knob.least) / (knob.most - knob.least);
    return Math.min(Math.max(Number.isFinite(at) ? at : 0, 0), 1);
  };
  const valueAt = (knob, at) => {
    const value = knob.is_log ? knob.least * (knob.most / knob.least) ** at : knob.least + at * (knob.most - knob.least);
    return Number(value.toPrecision(4));
  };

  class Panel {
    constructor(model, settings, onChange) {
      this.model = model;
      this.settings = settings;
      this.onChange = onChange;
      this.knobs = new Map(model.knobs.map((knob) => [knob.path, knob]));
      this.sliders = new Map();
      this.refreshers = [];
      this.count = 0;
    }

    build(root) {
      root.replaceChildren();
      const groups = new Map();
      for (const knob of this.model.knobs) if (knob.group) groups.set(knob.group, [...(groups.get(knob.group) ?? []), knob]);
      const units = this.model.units;
      const order = [...units.filter((unit) => !unit.is_host), ...units.filter((unit) => unit.is_host)];
      const accelerators = order.filter((unit) => !unit.is_host);
      const first = accelerators[accelerators.length - 1] ?? order[0];
      for (const unit of [first, ...order.filter((unit) => unit !== first)]) {
        const body = this.group(root, unit.label, unit === first, unit);
        for (const dtype of unit.optional_dtypes) this.typeSwitch(body, unit, dtype);
        for (const knob of groups.get(unit.name) ?? []) this.slider(body, knob);
        if (!unit.is_host) this.operators(body, unit);
      }
      const memory = this.group(root, "Memory and runtime", true);
      for (const name of ["Memory", "Runtime"]) for (const knob of groups.get(name) ?? []) this.slider(memory, knob);
      this.more(this.group(root, "Any other number", Object.keys(this.settings.set).some((path) => !this.sliders.has(path))));
      this.refresh();
    }

    group(root, title, isOpen, unit) {
      const details = make(root, "details", {className: "group", open: isOpen});
      const summary = make(details, "summary");
      if (unit) make(summary, "i", {className: `key u${this.model.units.indexOf(unit)}`});
      make(summary, "b", {}, title);
      if (unit) make(summary, "small", {}, unit.title);
      const body = make(details, "div", {className: "body"});
      if (unit && !unit.is_host) {
        const isOn = () => !this.settings.remove.includes(unit.name);
        const input = this.toggle(body, `The chip has this ${unit.label}`, isOn, (on) => {
          this.settings.remove = this.settings.remove.filter((name) => name !== unit.name);
          if (!on) this.settings.remove.push(unit.name);
        });
        input.dataset.unit = unit.name;
        this.refreshers.push(() => details.classList.toggle("off", !isOn()));
      }
      return body;
    }

    toggle(parent, text, isOn, set) {
      const label = make(parent, "label", {className: "switch"});
      const input = make(label, "input", {type: "checkbox"});
      input.setAttribute("role", "switch");
      make(label, "span", {}, text);
      input.addEventListener("change", () => { set(input.checked); this.moved(); });
      this.refreshers.push(() => { input.checked = isOn(); });
      return input;
    }

    typeSwitch(body, unit, dtype) {
      const text = `${unit.name}:${dtype}`;
      const input = this.toggle(body, `May compute in ${dtype}`, () => this.settings.allow.includes(text), (on) => {
        this.settings.allow = this.settings.allow.filter((other) => other !== text);
        if (on) this.settings.allow.push(text);
      });
      input.dataset.type = text;
    }

    slider(body, knob) {
      const {by, measure} = scaleOf(knob), id = `knob-${this.count++}`;
      const row = make(body, "div", {className: "knob"});
      const label = make(row, "label", {htmlFor: id}, knob.label);
      label.title = `${knob.path}\n${knob.source}`;
      const home = make(row, "button", {type: "button", className: "home", title: `Back to ${told(knob, knob.value)}`}, "↺");
      home.setAttribute("aria-label", `${knob.label}: back to ${told(knob, knob.value)}`);
      const field = make(row, "input", {type: "number", step: "any", min: 0, className: "field"});
      field.setAttribute("aria-label", `${knob.label}${measure ? `, in ${measure}` : ""}`);
      make(row, "span", {className: "measure"}, measure);
      const range = make(row, "input", {type: "range", id, min: 0, max: STEPS, step: 1});
      range.dataset.path = knob.path;
      const percent = (value) => `${(share(knob, value) * 100).toFixed(2)}%`;
      range.style.setProperty("--home", percent(knob.value));
      range.style.setProperty("--low", percent(knob.low ?? knob.value));
      range.style.setProperty("--high", percent(knob.high ?? knob.value));
      const value = () => this.settings.set[knob.path] ?? knob.value;
      const set = (next) => {
        if (Math.abs(next - knob.value) <= 1e-9 * Math.abs(knob.value)) delete this.settings.set[knob.path];
        else this.settings.set[knob.path] = next;
        this.moved();
      };
      range.addEventListener("input", () => {
        const at = Number(range.value) / STEPS;
        set(Math.abs(at - share(knob, knob.value)) < 0.5 / STEPS ? knob.value : valueAt(knob, at));
      });
      range.addEventListener("dblclick", () => set(knob.value));
      home.addEventListener("click", () => { set(knob.value); range.focus(); });
      field.addEventListener("change", () => {
        const typed = Number(field.value) * by;
        if (field.value === "" || !Number.isFinite(typed) || typed < 0) this.refresh();
        else set(typed);
      });
      const refresh = () => {
        const now = value(), isMoved = knob.path in this.settings.set;
        if (document.activeElement !== range || Math.abs(share(knob, now) * STEPS - Number(range.value)) > 0.51) range.value = String(Math.round(share(knob, now) * STEPS));
        if (document.activeElement !== field || !isMoved) field.value = plain(now / by);
        range.setAttribute("aria-valuetext", told(knob, now));
        row.classList.toggle("moved", isMoved);
        row.hidden = Boolean(knob.group && knob.allowed_by) && !isMoved && !this.settings.allow.includes(knob.allowed_by);
        home.style.visibility = isMoved ? "visible" : "hidden";
      };
      this.refreshers.push(refresh);
      this.sliders.set(knob.path, range);
      refresh();
      return range;
    }

    operators(body, unit) {
      const offers = this.model.offers.filter((offer) => offer.unit === unit.name);
      const refused = offers.filter((offer) => offer.refused).length;
      const details = make(body, "details", {className: "ops", open: refused > 0 && refused <= 8});
      make(details, "summary", {}, `Operators: ${offers.length} types${refused ? `, ${refused} refused` : ", all taken"}`);
      for (const offer of offers) this.operatorSwitch(details, unit, offer);
    }

    operatorSwitch(parent, unit, offer) {
      const has = (verb) => (this.settings[verb][unit.name] ?? []).includes(offer.op);
      const put = (verb, on) => {
        const rest = (this.settings[verb][unit.name] ?? []).filter((op) => op !== offer.op);
        if (on) rest.push(offer.op);
        if (rest.length) this.settings[verb][unit.name] = rest;
        else delete this.settings[verb][unit.name];
      };
      const all = offer.refused === 0, none = offer.refused === offer.count;
      const input = this.toggle(parent, offer.op, () => has("gain") || (!has("lose") && !none), (on) => {
        put("gain", on && !all);
        put("lose", !on && !none);
      });
      input.dataset.op = `${unit.name}:${offer.op}`;
      const note = offer.refused ? (none ? `${offer.count}, refused` : `${offer.refused} of ${offer.count} refused`) : `${offer.count}`;
      const label = input.parentElement;
      make(label, "small", {}, note);
      if (offer.reason) label.title = offer.reason;
      this.refreshers.push(() => {
        input.indeterminate = !all && !none && !has("gain") && !has("lose");
        label.classList.toggle("moved", has("gain") || has("lose"));
      });
    }

    more(body) {
      const rest = this.model.knobs.filter((knob) => !knob.group);
      const list = make(body, "datalist", {id: "paths"});
      for (const knob of rest) make(list, "option", {value: knob.path});
      const field = make(body, "input", {type: "search", className: "find", placeholder: `One of ${rest.length} more: utilisation …`});
      field.setAttribute("list", "paths");
      field.setAttribute("aria-label", "Add a slider for any number of the Soc");
      const add = () => {
        const knob = this.knobs.get(field.value.trim());
        if (!knob) return;
        field.value = "";
        (this.sliders.get(knob.path) ?? this.slider(body, knob)).focus();
      };
      field.addEventListener("change", add);
      field.addEventListener("input", () => { if (this.knobs.has(field.value.trim())) add(); });
      for (const path of Object.keys(this.settings.set)) if (!this.sliders.has(path) && this.knobs.has(path)) this.slider(body, this.knobs.get(path));
    }

    moved() {
      this.refresh();
      this.onChange();
    }

    refresh() { for (const refresh of this.refreshers) refresh(); }

    /* What differs from the Soc as it is: a text for each change, and how to take it back. */
    changes() {
      const s = this.settings, found = [];
      const labelOf = (name) => this.model.units.find((unit) => unit.name === name)?.label ?? name;
      for (const [path, value] of Object.entries(s.set)) {
        const knob = this.knobs.get(path);
        if (!knob) continue;
        const group = this.model.units.some((unit) => unit.name === knob.group) && !knob.path.startsWith("links.") ? `${labelOf(knob.group)}: ` : "";
        found.push({text: `${group}${knob.label} ${told(knob, knob.value)} → ${told(knob, value)}`, undo: () => { delete s.set[path]; }});
      }
      const drop = (verb, unit, op) => {
        s[verb][unit] = s[verb][unit].filter((other) => other !== op);
        if (!s[verb][unit].length) delete s[verb][unit];
      };
      for (const [verb, word] of [["gain", "takes"], ["lose", "without"]]) {
        for (const [unit, ops] of Object.entries(s[verb])) for (const op of ops) found.push({text: `${labelOf(unit)} ${word} ${op}`, undo: () => drop(verb, unit, op)});
      }
      for (const text of s.allow) found.push({text: `${labelOf(text.split(":")[0])} may use ${text.split(":")[1]}`, undo: () => { s.allow = s.allow.filter((other) => other !== text); }});
      for (const unit of s.remove) found.push({text: `no ${labelOf(unit)}`, undo: () => { s.remove = s.remove.filter((other) => other !== unit); }});
      return found;
    }
  }
  return {Panel, make};
})();

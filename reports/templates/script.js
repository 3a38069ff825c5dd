"use strict";
(() => {
  const table = document.getElementById("ops");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const tip = document.getElementById("tip");
  const cell = (row, column) => row.cells[column].textContent;

  const describe = (mark) => {
    if (mark.dataset.t) return mark.dataset.t;
    const row = rows[Number(mark.dataset.i)];
    const name = row.cells[1].innerText.trim();
    const limit = cell(row, 8) ? `, ${cell(row, 8)} bound` : "";
    return `${name}\n${cell(row, 2)} on ${cell(row, 3)} in ${cell(row, 4)}\n` +
      `${cell(row, 7)} ms${limit}, from ${cell(row, 9)}\n${cell(row, 10).trim()}`;
  };
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest ? event.target.closest("[data-i],[data-t]") : null;
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = describe(mark);
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const below = event.clientY + 18;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below + box.height > innerHeight ? event.clientY - box.height - 12 : below}px`;
  });

  const find = document.getElementById("find");
  const unit = document.getElementById("unit");
  const found = document.getElementById("found");
  const texts = [];
  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, i) => {
      texts[i] ??= row.textContent.toLowerCase();
      const shown = words.every((word) => texts[i].includes(word)) && (!unit.value || cell(row, 3) === unit.value);
      row.hidden = !shown;
      count += shown;
    });
    found.textContent = words.length || unit.value ? `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")}` : "";
  };
  find.addEventListener("input", filter);
  unit.addEventListener("change", filter);

  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending" || (column === 7 && !head.hasAttribute("aria-sort"));
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const order = new Intl.Collator("en", {numeric: true}).compare;
    const number = head.classList.contains("n");
    const compare = (a, b) => number ? Number(cell(a, column)) - Number(cell(b, column)) : order(cell(a, column), cell(b, column));
    body.append(...rows.slice().sort((a, b) => (down ? -1 : 1) * compare(a, b)));
  }));

  const svg = document.getElementById("time");
  const labels = Array.from(svg.querySelectorAll("text[data-w]"));
  const fit = () => {
    const width = svg.getBoundingClientRect().width;
    labels.forEach((label) => {
      const room = width * Number(label.dataset.w) / 100;
      label.toggleAttribute("hidden", label.textContent.length * 6.2 + 6 > room);
    });
  };
  const buttons = Array.from(document.querySelectorAll("#zoom button"));
  buttons.forEach((button) => button.addEventListener("click", () => {
    const scroll = document.querySelector(".scroll");
    const wide = document.querySelector(".wide");
    const middle = (scroll.scrollLeft + scroll.clientWidth / 2) / wide.clientWidth;
    wide.style.width = `${Number(button.dataset.z) * 100}%`;
    scroll.scrollLeft = middle * wide.clientWidth - scroll.clientWidth / 2;
    buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    fit();
  }));
  addEventListener("resize", fit);
  fit();
})();

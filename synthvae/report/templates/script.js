"use strict";
(() => {
  const number = (text) => {
    const plain = text.replace(/[\s,%]/g, "").replace("\u2212", "-");
    return plain === "" || Number.isNaN(Number(plain)) ? null : Number(plain);
  };
  const compare = (one, other) => {
    const [a, b] = [number(one), number(other)];
    if (a !== null && b !== null) return a - b;
    if (a !== null || b !== null) return a === null ? 1 : -1;
    return one.localeCompare(other);
  };
  const sort = (table, place, button) => {
    const head = button.closest("th");
    const up = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("thead th").forEach((cell) => cell.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => {
      const order = compare(a.cells[place].textContent.trim(), b.cells[place].textContent.trim());
      return up ? order : -order;
    });
    body.append(...rows);
  };
  document.querySelectorAll("table.sortable").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, place, button));
    });
  });
  const box = document.getElementById("filter");
  if (box === null) return;
  const told = document.getElementById("filtered");
  const part = document.getElementById("fidelity");
  const columns = [...part.querySelectorAll(".margin")].map((figure) => [
    figure, figure.querySelector(".title").textContent.toLowerCase(),
  ]);
  const more = part.querySelector("details.more:not(#all-columns)");
  box.parentElement.hidden = false;
  box.addEventListener("input", () => {
    const wanted = box.value.trim().toLowerCase();
    let shown = 0;
    columns.forEach(([figure, name]) => {
      figure.hidden = !name.includes(wanted);
      shown += figure.hidden ? 0 : 1;
    });
    if (more !== null) more.open = wanted !== "";
    told.textContent = wanted === "" ? "" : `${shown} of ${columns.length}`;
  });
})();

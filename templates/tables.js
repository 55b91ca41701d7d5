"use strict";
// Buttons in the heads of tables that sort their rows; without this script the tables are as they were written.
(function () {
  function value(row, at) {
    const text = row.cells[at].textContent.trim();
    const plain = text.replace(/\u202f/g, "").replace(/^−/, "-");
    const number = /^[-+]?\d/.test(plain) ? parseFloat(plain) : NaN;
    return { text: text, number: number, none: text === "" || text.startsWith("–") };
  }

  function compare(one, other, numbers) {
    if (one.none || other.none) return one.none - other.none;
    if (numbers) return one.number - other.number;
    return one.text.localeCompare(other.text, "en", { numeric: true });
  }

  function sort(table, at, down) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows).map((row) => ({ row: row, value: value(row, at) }));
    const numbers = rows.every((one) => one.value.none || !Number.isNaN(one.value.number));
    // what is not known stays at the end, whichever way
    rows.sort((one, other) => {
      const order = compare(one.value, other.value, numbers);
      return down && !one.value.none && !other.value.none ? -order : order;
    });
    body.append(...rows.map((one) => one.row));
  }

  for (const table of document.querySelectorAll("table[data-sort]")) {
    const heads = Array.from(table.tHead.rows[0].cells);
    if (Array.from(table.tBodies[0].rows).some((row) => row.cells.length !== heads.length)) continue;
    heads.forEach((head, at) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, at, down);
      });
    });
  }

  // what is wider than its place is moved with the keyboard too
  function reachable() {
    for (const place of document.querySelectorAll(".scroll")) {
      if (place.scrollWidth <= place.clientWidth) {
        for (const name of ["tabindex", "role", "aria-label"]) place.removeAttribute(name);
        continue;
      }
      const named = place.querySelector("caption") || place.closest("section").querySelector("h2");
      place.tabIndex = 0;
      place.setAttribute("role", "region");
      place.setAttribute("aria-label", named.textContent);
    }
  }
  reachable();
  addEventListener("resize", reachable);

  // paper shows what is folded
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not([open])")) {
      one.open = true;
      opened.push(one);
    }
  });
  addEventListener("afterprint", () => {
    for (const one of opened.splice(0)) one.open = false;
  });
})();

"use strict";

// The page says all it has to say without this script, which adds sorting and copying.

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, headings, column));
    heading.append(button);
  });
}

function sort(table, headings, column) {
  const heading = headings[column];
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(a.cells[column], b.cells[column], ascending ? 1 : -1));
  table.tBodies[0].append(...rows);
  headings.forEach((other) => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  say(`sorted by ${heading.textContent}, ${ascending ? "ascending" : "descending"}`);
}

function compare(a, b, sign) {
  const [x, y] = [a.dataset.value, b.dataset.value];
  if (x === undefined) {
    return sign * a.textContent.localeCompare(b.textContent);
  }
  if (x === "" || y === "") {
    return (x === "") - (y === ""); // what was not measured comes last, either way
  }
  return sign * (Number(x) - Number(y) || 0);
}

for (const button of document.querySelectorAll("button[data-copies]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

async function copy(button) {
  const code = document.getElementById(button.dataset.copies);
  getSelection().selectAllChildren(code);
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  say("copied");
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

function say(text) {
  document.getElementById("status").textContent = text;
}

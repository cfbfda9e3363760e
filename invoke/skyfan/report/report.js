// The report's table of images, its pictures, and its theme. Every text of the data becomes a text node or an
// attribute's value, never markup: element() is the only way in which this script makes elements.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(find(id).textContent);

  function element(name, attributes, ...content) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "onclick") made.addEventListener("click", value);
      else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...content.filter((part) => part !== null));
    return made;
  }

  // Pieces of data: in the page, or in files beside it. A file is a script, because pages from disk may not fetch.
  const pieces = new Map();
  const waiting = new Map();
  window.skyfanData = (name, columns) => waiting.get(name)?.(columns);

  function piece(name, folder) {
    if (!pieces.has(name)) {
      pieces.set(name, new Promise((done, failed) => {
        if (find(name)) return done(read(name));
        waiting.set(name, done);
        const script = element("script", { src: `${folder}/${name}.js` });
        script.addEventListener("load", () => { script.remove(); failed(new Error(name)); }); // too late if it is done
        script.addEventListener("error", () => { pieces.delete(name); script.remove(); failed(new Error(name)); });
        document.head.append(script);
      }));
    }
    return pieces.get(name);
  }

  const unpacked = (column) => (Array.isArray(column) ? column : column.places.map((place) => column.words[place]));

  function rowsOf(columns, start) {
    const keys = Object.keys(columns), lists = keys.map((key) => unpacked(columns[key]));
    return lists[0].map((_, row) => {
      const made = { at: start + row };
      keys.forEach((key, n) => { made[key] = lists[n][row]; });
      made.name ??= made.uri.slice(made.uri.lastIndexOf("/") + 1);
      return made;
    });
  }

  const FEW = 50;
  const NUMBER = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });
  const shown = (value, heading) => {
    if (value === null || value === undefined || value === "") return "–";
    if (!heading.number) return String(value);
    return heading.key === "depth" ? value.toFixed(2) : NUMBER.format(value);
  };

  function images() {
    const about = read("images-about");
    const body = find("images-table").tBodies[0], count = find("images-count");
    const search = find("images-search"), state = find("images-state"), kind = find("images-kind"), notes = find("images-notes");
    const heads = [...find("images-table").tHead.rows[0].cells];
    const parts = Math.ceil(about.total / about.rows);
    const code = (number) => String(number).padStart(3, "0");
    let all = [], complete = false, view = [], page = 0, order = { key: null, down: false }, opened = new Set(), turn = 0;

    const chunk = async (number) =>
      rowsOf(await piece(`images-${code(number)}`, about.folder), number * about.rows);

    async function loadAll() {
      if (complete) return;
      count.textContent = "Loading…";
      const found = await Promise.all(Array.from({ length: parts }, (_, number) => chunk(number)));
      all = found.flat();
      complete = true;
    }

    const wanted = () => Boolean(search.value.trim() || state.value || kind?.value || order.key);

    function matches() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const [instrument, filter] = kind?.value ? kind.value.split("\t") : [];
      return (row) => {
        if (state.value && row.state !== state.value) return false;
        if (instrument !== undefined && (row.instrument !== instrument || row.filter !== filter)) return false;
        if (!words.length) return true;
        row.text ??= [row.uri, row.name, row.state, row.instrument, row.filter, row.target, row.date, row.reasons].join(" ").toLowerCase();
        return words.every((word) => row.text.includes(word));
      };
    }

    function compare(a, b) {
      const [x, y] = order.key === "state" ? [a, b].map((row) => `${row.state} ${row.reasons}`) : [a[order.key], b[order.key]];
      const [empty, other] = [x === null || x === "", y === null || y === ""];
      if (empty || other) return empty - other || a.at - b.at; // unknown values last, either way
      return (x < y ? -1 : x > y ? 1 : 0) * (order.down ? -1 : 1) || a.at - b.at;
    }

    async function update() {
      const mine = ++turn;
      page = 0;
      try {
        if (wanted() || parts === 1) await loadAll();
        else if (!all.length) all = await chunk(0);
      } catch {
        count.textContent = `The data of this table are not beside the page: keep the folder ${about.folder.split("/")[0]} with it.`;
        return;
      }
      if (mine !== turn) return;
      view = wanted() ? all.filter(matches()) : all;
      if (order.key) view = [...view].sort(compare);
      await show();
    }

    async function show() {
      const total = wanted() || complete ? view.length : about.total;
      const first = page * FEW;
      while (!wanted() && !complete && first + FEW > view.length && view.length < about.total) {
        // The next piece in turn, without all others.
        all = view = view.concat(await chunk(Math.round(view.length / about.rows)));
      }
      const rows = view.slice(first, first + FEW);
      body.replaceChildren(...rows.map(line));
      for (const row of [...body.rows]) if (notes.checked || opened.has(Number(row.dataset.at))) open(row, true);
      count.textContent = total === about.total ? `${NUMBER.format(total)} ${about.noun}s` : `${NUMBER.format(total)} of ${NUMBER.format(about.total)} ${about.noun}s`;
      find("images-page").textContent = total ? `${NUMBER.format(first + 1)} to ${NUMBER.format(first + rows.length)} of ${NUMBER.format(total)}` : `No ${about.noun} matches.`;
      find("images-previous").disabled = page === 0;
      find("images-next").disabled = first + FEW >= total;
      body.closest("section").classList.toggle("single", total <= FEW);
      for (const head of heads) {
        const sorted = head.dataset.key === order.key;
        if (sorted) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      }
    }

    function line(row) {
      const cells = about.headings.map((heading, column) => {
        const classes = [heading.number && "number", heading.minor && "minor", heading.key === "date" && "date"].filter(Boolean).join(" ") || null;
        if (column === 0) {
          const button = element("button", { type: "button", "aria-expanded": "false", onclick: () => toggle(made) }, row.name);
          return element("th", { scope: "row" }, button);
        }
        if (heading.key === "state") {
          const mark = element("span", { class: `mark ${row.state}` }, row.state);
          return element("td", { class: "state" }, mark, " ", element("span", { class: "reasons" }, row.reasons.replaceAll(" ", ", ")));
        }
        return element("td", { class: classes }, shown(row[heading.key], heading));
      });
      const made = element("tr", { "data-at": row.at, class: row.state }, ...cells);
      made.row = row;
      return made;
    }

    function toggle(line) {
      const is = line.querySelector("button").getAttribute("aria-expanded") === "true";
      if (is) opened.delete(line.row.at); else opened.add(line.row.at);
      open(line, !is);
    }

    async function open(line, yes) {
      const button = line.querySelector("button"), below = line.nextElementSibling;
      button.setAttribute("aria-expanded", String(yes));
      if (below?.className === "details") below.remove();
      if (!yes) return;
      const cell = element("td", { colspan: about.headings.length });
      line.after(element("tr", { class: "details" }, cell));
      const number = Math.floor(line.row.at / about.rows), at = line.row.at - number * about.rows;
      let columns;
      try {
        columns = await piece(`details-${code(number)}`, about.folder);
      } catch {
        cell.append("The details are not beside the page.");
        return;
      }
      const more = { ...line.row };
      for (const [key, column] of Object.entries(columns)) more[key] = Array.isArray(column) ? column[at] : column.words[column.places[at]];
      const pair = (heading, minor) =>
        shown(more[heading.key], heading) === "–" ? null
          : element("div", { class: minor ? "repeated" : null }, element("dt", {}, heading.label), element("dd", {}, shown(more[heading.key], heading)));
      const words = line.row.state === "done" || line.row.state === "doubtful" ? more.notes.split("; ") : [more.notes];
      if (more.notes) cell.append(element("ul", { class: "notes" }, ...words.map((note) => element("li", {}, note))));
      cell.append(element("dl", {}, ...about.headings.filter((h) => h.minor).map((h) => pair(h, true)), ...about.details.map((h) => pair(h, h.minor))));
    }

    let pause;
    search.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(update, 150); });
    for (const control of [state, kind]) control?.addEventListener("change", update);
    notes.addEventListener("change", () => { opened = new Set(); show(); });
    find("images-clear").addEventListener("click", () => {
      search.value = state.value = "";
      if (kind) kind.value = "";
      notes.checked = false;
      order = { key: null, down: false };
      opened = new Set();
      update();
    });
    find("images-previous").addEventListener("click", () => { page -= 1; show(); });
    find("images-next").addEventListener("click", () => { page += 1; show(); });
    for (const head of heads) {
      head.firstChild.addEventListener("click", () => {
        const key = head.dataset.key, numeric = head.classList.contains("number");
        if (order.key !== key) order = { key, down: numeric };
        else if (order.down === numeric) order = { key, down: !numeric };
        else order = { key: null, down: false };
        update();
      });
    }
    // Links elsewhere on the page that show some of the images.
    for (const link of document.querySelectorAll("a[data-state], a[data-search]")) {
      link.addEventListener("click", () => {
        search.value = link.dataset.search || "";
        state.value = link.dataset.state || "";
        if (kind) kind.value = "";
        update();
      });
    }
    return update();
  }

  function pictures() {
    const dialog = find("viewer"), gallery = find("gallery");
    if (!dialog) return;
    const buttons = [...gallery.querySelectorAll("button")], switches = document.querySelectorAll(".outlines-switch");
    const [sky, outlines] = dialog.querySelectorAll("img");
    let number = 0;

    function load(image, small, name) {
      image.hidden = !small;
      if (!small) return;
      image.src = small; // at once; the large one follows if it is beside the page
      if (!name) return;
      const large = new Image();
      large.addEventListener("load", () => { if (buttons[number].dataset.name === name.own) image.src = large.src; });
      large.src = name.path;
    }

    function view(which) {
      number = (which + buttons.length) % buttons.length;
      const button = buttons[number], [base, over] = button.querySelectorAll("img"), { name, folder, base: large, over: lines } = button.dataset;
      load(sky, base.src, { own: name, path: `${folder}/${large}` });
      load(outlines, over?.src, lines && { own: name, path: `${folder}/${lines}` });
      sky.alt = base.alt;
      find("viewer-caption").textContent = `${button.dataset.caption} (${number + 1} of ${buttons.length})`;
    }

    buttons.forEach((button, which) => button.addEventListener("click", () => { view(which); dialog.showModal(); }));
    find("viewer-previous").addEventListener("click", () => view(number - 1));
    find("viewer-next").addEventListener("click", () => view(number + 1));
    find("viewer-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => buttons[number].focus());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") view(number - 1);
      else if (event.key === "ArrowRight") view(number + 1);
      else if (event.key === "o" || event.key === "O") turn(document.body.classList.contains("without-outlines"));
      else return;
      event.preventDefault();
    });
    function turn(on) {
      document.body.classList.toggle("without-outlines", !on);
      for (const box of switches) box.checked = on;
    }
    for (const box of switches) box.addEventListener("change", () => turn(box.checked));
  }

  // Tables whose headings sort: numbers as numbers, what is unknown last, each heading in turn down, up, as it was.
  function sortable(table) {
    const rows = [...table.tBodies[0].rows], heads = [...table.tHead.rows[0].cells];
    const value = (row, column) => {
      const text = row.cells[column].textContent.trim(), number = Number(text.replaceAll(",", "").replace("−", "-").replace(/ .*/, ""));
      return text === "–" || text === "" ? null : Number.isNaN(number) ? text : number;
    };
    heads.forEach((head, column) => {
      const button = element("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { none: "descending", descending: "ascending", ascending: "none" }[head.getAttribute("aria-sort") || "none"];
        for (const other of heads) other.removeAttribute("aria-sort");
        const sign = next === "descending" ? -1 : 1;
        const keyed = rows.map((row, at) => ({ row, at, key: value(row, column) }));
        if (next !== "none") {
          head.setAttribute("aria-sort", next);
          keyed.sort((a, b) => (a.key === null) - (b.key === null)
            || (a.key < b.key ? -sign : a.key > b.key ? sign : 0) || a.at - b.at);
        }
        table.tBodies[0].replaceChildren(...keyed.map(({ row }) => row));
      });
    });
  }

  function theme() {
    const button = find("theme"), names = ["auto", "light", "dark"];
    let kept = null;
    try { kept = localStorage.getItem("skyfan-theme"); } catch { /* a page from disk may have no storage */ }
    const set = (name) => {
      if (name === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = name;
      button.textContent = `Theme: ${name}`;
      button.dataset.now = name;
      try { localStorage.setItem("skyfan-theme", name); } catch { /* as above */ }
    };
    set(names.includes(kept) ? kept : "auto");
    button.addEventListener("click", () => set(names[(names.indexOf(button.dataset.now) + 1) % names.length]));
  }

  document.documentElement.classList.add("scripted");
  theme();
  pictures();
  document.querySelectorAll("table.sortable").forEach(sortable);
  window.skyfanReady = find("images-about") ? images() : Promise.resolve();
})();

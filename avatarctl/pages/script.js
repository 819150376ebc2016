"use strict";
// Nothing here is needed to read the page: it plays the film from a place that was chosen, and sorts and filters jobs.
(() => {
  const film = document.querySelector("video");
  const wave = document.querySelector(".wave");
  const head = document.querySelector(".playhead");
  const places = [...document.querySelectorAll("[data-seek]")];
  const sentences = places.filter((place) => place.dataset.until);

  const show = (seconds) => {
    film.currentTime = seconds;
    const playing = film.play();
    if (playing) playing.catch(() => {});
    if (film.getBoundingClientRect().bottom < 80 || film.getBoundingClientRect().top > window.innerHeight - 80) {
      const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
      film.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
    }
  };

  if (film) {
    for (const place of places) place.addEventListener("click", () => show(Number(place.dataset.seek)));
    if (wave) {
      wave.addEventListener("click", (event) => {
        const box = wave.getBoundingClientRect();
        show((Number(wave.dataset.duration) * (event.clientX - box.left)) / box.width);
      });
      wave.classList.add("playable");
    }
    film.addEventListener("timeupdate", () => {
      const now = film.currentTime;
      if (head) {
        head.hidden = false;
        head.style.left = `${(100 * now) / Number(wave.dataset.duration)}%`;
      }
      for (const place of sentences) {
        const said = Number(place.dataset.seek) <= now + 0.02 && now < Number(place.dataset.until);
        if (said) place.setAttribute("aria-current", "true");
        else place.removeAttribute("aria-current");
      }
    });
  }

  const table = document.querySelector("table.jobs");
  if (table) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const value = (row, column) => {
      const cell = row.cells[column];
      return "sort" in cell.dataset ? Number(cell.dataset.sort) : cell.textContent.trim();
    };
    [...table.tHead.rows[0].cells].forEach((cell, column) => {
      const button = cell.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const down = cell.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        rows.sort((a, b) => {
          const [x, y] = [value(a, column), value(b, column)];
          const order = typeof x === "number" ? x - y : x.localeCompare(y, undefined, { numeric: true });
          return down ? -order : order;
        });
        body.append(...rows);
      });
    });
    const search = document.querySelector("#search");
    const count = document.querySelector("#shown");
    const filters = [...document.querySelectorAll("[data-status]")];
    const choose = () => {
      const words = search.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
      const on = filters.filter((f) => f.getAttribute("aria-pressed") === "true").map((f) => f.dataset.status);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLocaleLowerCase();
        row.hidden = (on.length > 0 && !on.includes(row.dataset.job)) || !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = shown === rows.length ? "" : `${shown} of ${rows.length} shown`;
    };
    search.addEventListener("input", choose);
    for (const filter of filters) {
      filter.addEventListener("click", () => {
        filter.setAttribute("aria-pressed", String(filter.getAttribute("aria-pressed") !== "true"));
        choose();
      });
    }
    document.querySelector(".tools").hidden = false;
  }

  // On paper nothing can be unfolded.
  window.addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not([open])")) {
      one.open = true;
      one.dataset.printed = "";
    }
  });
  window.addEventListener("afterprint", () => {
    for (const one of document.querySelectorAll("details[data-printed]")) {
      one.open = false;
      delete one.dataset.printed;
    }
  });
})();
